//! Random queries over the small shop that follow the grammar and mean something.

use proptest::prelude::*;
use proptest::sample::select;

/// A query with its clauses, in no particular style of writing.
pub fn query() -> impl Strategy<Value = String> {
    let clause = |word: &'static str, condition: BoxedStrategy<String>| {
        prop_oneof![Just(String::new()), condition.prop_map(move |c| format!("\n{word} {c}"))]
    };
    let options = select(vec![
        "",
        " WITH (entities = 'all')",
        " with (entities = all, fanout = (8, 4), embedding = true, val_timestamp = 2020-01-09)",
    ]);
    let as_of =
        select(vec!["", " AS OF 2020-01-14", " as of '2020-01-10 12:00' + interval '1 day'"]);
    let parts = (
        target(),
        clause("WHERE", entity_condition()),
        clause("assuming", condition(number(aggregate(ahead())))),
        as_of,
        options,
    );
    parts.prop_map(|(target, filter, assuming, as_of, options)| {
        format!("PREDICT {target} FOR EACH customers.id{filter}{assuming}{as_of}{options}")
    })
}

fn target() -> BoxedStrategy<String> {
    let lists = select(vec![
        "LIST_DISTINCT(items.product_id, 0, 10) RANK TOP 3",
        "LIST_DISTINCT(orders.status WHERE gift, 0, 10) CLASSIFY",
        "LIST_DISTINCT(reviews.product_id, 1, 2, weeks) CLASSIFY TOP 2",
        "LAST(orders.status, 0, 10)",
        "FIRST(orders.status, 0, 10) CLASSIFY",
        "COUNT(orders.*, 0, 3) FORECAST 3 TIMEFRAMES",
    ]);
    prop_oneof![
        3 => number(aggregate(ahead())),
        3 => condition(number(aggregate(ahead()))),
        1 => lists.prop_map(str::to_owned),
    ]
    .boxed()
}

fn entity_condition() -> BoxedStrategy<String> {
    let column =
        select(vec!["age", "customers.age", "\"id\"", "`age` + 0"]).prop_map(str::to_owned);
    let text = select(vec![
        "segment = 'home'",
        "segment NOT LIKE '%''m'",
        "segment IS NULL",
        "vip",
        "NOT vip",
        "customers.segment IN ('firm', 'home')",
    ]);
    let value = prop_oneof![column, aggregate(back())].boxed();
    prop_oneof![condition(number(value)), text.prop_map(str::to_owned)].boxed()
}

/// Windows that look ahead, for the target.
fn ahead() -> BoxedStrategy<String> {
    let unit = select(vec!["", ", day", ", DAYS", ", hours", ", weeks", ", months", ", years"]);
    (0i64..4, 1i64..40, unit)
        .prop_map(|(start, width, unit)| format!("{start}, {}{unit}", start + width))
        .boxed()
}

/// Windows that look back, for WHERE.
fn back() -> BoxedStrategy<String> {
    select(vec!["-30, 0", "-INF, 0, days", "-3, -1, weeks", "-INF, -1", "-6, 0, months"])
        .prop_map(str::to_owned)
        .boxed()
}

/// An aggregate that is a number.
fn aggregate(window: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let read = select(vec![
        "COUNT(orders.*",
        "count(orders.amount",
        "COUNT_DISTINCT(orders.status",
        "SUM(orders.amount",
        "SUM(orders.gift",
        "AVG(\"orders\".`amount`",
        "MIN(orders.amount",
        "MAX(orders.gift",
        "FIRST(orders.amount",
        "LAST(orders.amount VIA orders.customer_id",
    ]);
    let joined = select(vec![
        "SUM(items.quantity",
        "SUM(products.price VIA (reviews.customer_id, reviews.product_id)",
        "COUNT(referrals.* VIA referrals.to_id",
        "AVG(products.price VIA (orders, items) WHERE items.quantity > 1",
        "COUNT(items.* WHERE products.name CONTAINS 'hat' AND orders.gift",
    ]);
    let filter = prop_oneof![
        Just(String::new()),
        row_condition().prop_map(|condition| format!(" WHERE {condition}")),
    ];
    let own = (read, filter).prop_map(|(read, filter)| format!("{read}{filter}"));
    (prop_oneof![own, joined.prop_map(str::to_owned)], window)
        .prop_map(|(aggregate, window)| format!("{aggregate}, {window})"))
        .boxed()
}

fn row_condition() -> BoxedStrategy<String> {
    let tests = select(vec![
        "status = 'done'",
        "status ILIKE 'D%'",
        "status NOT STARTS WITH 'x'",
        "orders.status ENDS WITH 'n'",
        "gift",
        "gift = 1",
        "placed > 2020-01-11",
        "placed <= '2020-01-14 06:00'",
        "placed BETWEEN 2020-01-01 AND TIMESTAMP '2020-01-15T12:00:00Z'",
        "customers.age > 3",
        "CASE status WHEN 'done' THEN TRUE ELSE gift END",
    ]);
    let column = select(vec!["amount", "orders.amount"]).prop_map(str::to_owned).boxed();
    prop_oneof![tests.prop_map(str::to_owned), condition(number(column))].boxed()
}

/// A number made of `leaf` and constants.
fn number(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(3, 8, 2, |inner| {
        let constant = select(vec!["0", "1", "2.5", "-3", "1e3"]).prop_map(str::to_owned);
        let operand = prop_oneof![3 => inner.clone(), 1 => constant];
        let operator = select(vec!["+", "-", "*", "/", "%"]);
        let sum = (inner.clone(), operator, operand)
            .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"));
        let case = (inner.clone(), inner.clone())
            .prop_map(|(a, b)| format!("CASE WHEN {a} > {b} THEN {a} ELSE 1 END"));
        prop_oneof![4 => sum, 1 => inner.prop_map(|a| format!("- {a}")), 1 => case]
    })
    .boxed()
}

/// A condition over numbers.
fn condition(number: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let operator = select(vec!["=", "==", "<>", "!=", "<", "<=", ">", ">="]);
    let compared = prop_oneof![
        (number.clone(), operator, number.clone())
            .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        number.clone().prop_map(|n| format!("{n} NOT BETWEEN 1 AND 3")),
        number.clone().prop_map(|n| format!("{n} IN (0, 2, 3.5)")),
        number.clone().prop_map(|n| format!("{n} IS NOT NULL")),
        number.prop_map(|n| format!("{n} = NULL")),
    ];
    compared
        .prop_recursive(2, 4, 2, |inner| {
            let operator = select(vec!["AND", "or"]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
                inner.prop_map(|a| format!("NOT ({a})")),
            ]
        })
        .boxed()
}
