//! What the grammar accepts, and what it means once bound.
#![allow(clippy::unwrap_used)]

mod common;

use common::generate;
use common::{bound, shop};
use proptest::prelude::*;
use relcast_query::ast::{Selection, Shape};
use relcast_query::{Entities, FillIn, PredictiveQuery, Span, TaskType, parse};

fn accepts(sql: &str) {
    bound(sql, &shop()).unwrap_or_else(|e| panic!("{sql}\n{e}"));
}

fn task(sql: &str) -> TaskType {
    *bound(sql, &shop()).unwrap_or_else(|e| panic!("{sql}\n{e}")).task_type()
}

#[test]
fn every_aggregate_is_accepted_in_any_case() {
    for aggregate in [
        "COUNT(orders.*, 0, 30, days)",
        "COUNT(orders.amount, 0, 30)",
        "count_distinct(orders.status, 0, 30, days)",
        "Sum(orders.amount, 0, 30, days)",
        "AVG(orders.amount, 0, 30, days)",
        "MIN(orders.amount, 0, 30, days)",
        "MAX(orders.gift, 0, 30, days)",
        "FIRST(orders.amount, 0, 30, days)",
        "LAST(orders.status, 0, 30, days)",
        "EXISTS(orders.*, 0, 30, days)",
        "EXISTS(orders.amount WHERE status = 'done', 0, 30, days)",
    ] {
        accepts(&format!("PREDICT {aggregate} FOR EACH customers.id"));
        accepts(&format!("predict {aggregate} for customers.id;"));
    }
}

#[test]
fn every_unit_is_accepted_in_singular_and_plural() {
    for (unit, horizon) in [
        ("second", "30 seconds"),
        ("seconds", "30 seconds"),
        ("minutes", "30 minutes"),
        ("hour", "30 hours"),
        ("DAYS", "30 days"),
        ("weeks", "210 days"),
        ("month", "30 months"),
        ("years", "30 years"),
    ] {
        let query = bound(
            &format!("PREDICT COUNT(orders.*, 0, 30, {unit}) FOR EACH customers.id"),
            &shop(),
        )
        .unwrap();
        assert_eq!(query.horizon().to_string(), horizon);
    }
}

#[test]
fn every_operator_is_accepted() {
    for condition in [
        "amount = 1",
        "amount == 1",
        "amount <> 1",
        "amount != 1",
        "amount < 1",
        "amount <= 1",
        "amount > -1.5",
        "amount >= +1",
        "status IN ('a', 'b')",
        "status NOT IN ('a')",
        "amount BETWEEN 1 AND 2 AND gift",
        "amount NOT BETWEEN 1 AND 2",
        "status LIKE 'a%'",
        "status NOT ILIKE 'a%'",
        "status IS NULL",
        "status IS NOT NULL",
        "status CONTAINS 'a'",
        "status NOT CONTAINS 'a'",
        "status STARTS WITH 'a'",
        "status ENDS WITH 'a'",
        "NOT gift",
        "gift = 1",
        "amount * 2 + 1 > 3 - amount / 4 % 5",
        "CASE WHEN gift THEN 1 ELSE 0 END = 1",
        "CASE status WHEN 'a' THEN TRUE WHEN 'b' THEN FALSE END",
        "placed > 2020-01-31",
        "placed <= '2020-01-31 12:00'",
        "placed > TIMESTAMP '2020-01-31T12:00:00Z'",
        "orders.amount > 1 OR (gift AND amount IS NULL)",
        "customers.age > 3",
    ] {
        accepts(&format!(
            "PREDICT COUNT(orders.* WHERE {condition}, 0, 30, days) FOR EACH customers.id"
        ));
    }
}

#[test]
fn a_bare_date_is_no_subtraction() {
    accepts("PREDICT COUNT(orders.* WHERE placed > 2020-01-31, 0, 30) FOR EACH customers.id");
    accepts("PREDICT COUNT(orders.* WHERE amount > 2020 - 01 - 31, 0, 30) FOR EACH customers.id");
}

#[test]
fn paths_go_up_and_down_and_via_names_one() {
    for target in [
        "COUNT(items.*, 0, 30)",
        "SUM(products.price VIA reviews, 0, 30)",
        "SUM(products.price VIA (reviews.customer_id, reviews.product_id), 0, 91, days)",
        "SUM(products.price VIA (orders, items, products) WHERE items.quantity > 1, 0, 30)",
        "COUNT(referrals.* VIA referrals.from_id, 0, 30)",
        "COUNT(items.* WHERE products.price > 3 AND orders.gift, 0, 30)",
    ] {
        accepts(&format!("PREDICT {target} FOR EACH customers.id"));
    }
    accepts("PREDICT COUNT(posts.*, 0, 30) FOR EACH posts.id");
    accepts("PREDICT COUNT(posts.* VIA posts.parent_id, 0, 30) FOR EACH posts.id");
    accepts(
        "PREDICT COUNT(stockings.* VIA stockings.(shop, shelf), 0, 30) FOR EACH shelves.(shop, shelf)",
    );
    accepts("PREDICT COUNT(orders.*, 0, 30) FOR EACH reviews.id");
}

#[test]
fn names_fall_back_to_any_case_and_quotes_are_read() {
    let query =
        bound("PREDICT COUNT(\"Orders\".*, 0, 30) > 0 FOR EACH `CUSTOMERS`.\"ID\"", &shop())
            .unwrap();
    assert_eq!(query.entity_columns(), ["id"]);
}

#[test]
fn for_takes_keys_lists_and_selects() {
    let base = "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id";
    let selection =
        |rest: &str| parse(&format!("{base} {rest}")).unwrap().entity.unwrap().selection;
    assert_eq!(selection(""), Selection::Each);
    assert!(matches!(selection("= 5"), Selection::Keys(k) if k.len() == 1));
    assert!(matches!(selection("IN (1, 2, 3)"), Selection::Keys(k) if k.len() == 3));
    assert_eq!(
        selection("IN (SELECT id FROM customers WHERE (age > 3)) WHERE age > 4"),
        Selection::Select("SELECT id FROM customers WHERE (age > 3)".to_owned())
    );
    assert!(matches!(
        selection("IN (SELECT id, '2020-01-01' FROM customers)"),
        Selection::Select(_)
    ));
    accepts("PREDICT COUNT(stockings.*, 0, 30) FOR shelves.(shelf, shop) IN ((1, 2), (3, 4))");
    accepts("PREDICT COUNT(stockings.*, 0, 30) FOR shelves.(shop, shelf) = (1, 2)");
}

#[test]
fn clauses_follow_in_their_order() {
    let query = parse(
        "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.id\n WHERE COUNT(orders.*, -90, 0, days) > 0 AND age > 18\n ASSUMING COUNT(reviews.*, 0, 30) > 0\n AS OF '2020-01-31' + INTERVAL '1 month' USING MODEL churn VERSION 3\n WITH (entities = 'all', cutoff_step = '7 days', fanout = (16, 8), val_timestamp = 2019-06-01, seed = 7, embedding = true)",
    )
    .unwrap();
    assert_eq!(query.as_of, Some(common::at("2020-02-29")));
    assert_eq!(query.model.as_ref().unwrap().version, Some(3));
    assert_eq!(query.options.len(), 6);
    let bound = relcast_query::bind(&query, &shop()).unwrap();
    assert_eq!(bound.options().entities, Entities::All);
    assert_eq!(bound.options().cutoff_step, Span::parse("7 days"));
    assert_eq!(bound.options().fanout, Some(vec![16, 8]));
}

#[test]
fn a_query_may_leave_its_target_to_the_model() {
    let model = parse("PREDICT COUNT(orders.*, 0, 30) = 0 FOR EACH customers.id WHERE age > 18 WITH (seed = 3, epochs = 2)").unwrap();
    let query =
        parse("PREDICT USING MODEL churn FOR EACH customers.id = 5 WITH (seed = 4)").unwrap();
    assert!(query.target.is_none());
    let full = query.completed_by(&model);
    let bound = relcast_query::bind(&full, &shop()).unwrap();
    assert!(bound.names_entities());
    assert_eq!((bound.options().seed, bound.options().epochs), (4, Some(2)));
    assert!(full.condition.is_some());
    assert!(parse("PREDICT USING MODEL churn").unwrap().entity.is_none());
}

#[test]
fn the_target_decides_the_task() {
    let each = "FOR EACH customers.id";
    assert_eq!(task(&format!("PREDICT COUNT(orders.*, 0, 30) = 0 {each}")), TaskType::Binary);
    assert_eq!(task(&format!("PREDICT EXISTS(orders.*, 0, 30) {each}")), TaskType::Binary);
    assert_eq!(task(&format!("PREDICT LAST(orders.gift, 0, 30) {each}")), TaskType::Binary);
    assert_eq!(
        task(&format!("PREDICT SUM(orders.amount, 0, 30) / 2 {each}")),
        TaskType::Regression
    );
    assert_eq!(task(&format!("PREDICT LAST(orders.amount, 0, 30) {each}")), TaskType::Regression);
    assert_eq!(task(&format!("PREDICT LAST(orders.status, 0, 30) {each}")), TaskType::Multiclass);
    assert_eq!(
        task(&format!("PREDICT COUNT(orders.*, 0, 30) CLASSIFY TOP 3 {each}")),
        TaskType::Multiclass
    );
    assert_eq!(
        task(&format!(
            "PREDICT CASE WHEN COUNT(orders.*, 0, 30) > 3 THEN 'many' ELSE 'few' END {each}"
        )),
        TaskType::Multiclass
    );
    let list = "LIST_DISTINCT(reviews.product_id, 0, 30)";
    assert_eq!(task(&format!("PREDICT {list} RANK TOP 10 {each}")), TaskType::Ranking { k: 10 });
    assert_eq!(task(&format!("PREDICT {list} CLASSIFY {each}")), TaskType::Multilabel);
    assert_eq!(
        task(&format!("PREDICT COUNT(orders.*, 0, 7) FORECAST 4 TIMEFRAMES {each}")),
        TaskType::Forecast { steps: 4 }
    );
    assert_eq!(
        task(&format!("PREDICT customers.segment {each}")),
        TaskType::FillIn(FillIn::Multiclass)
    );
    assert_eq!(task(&format!("PREDICT age > 40 {each}")), TaskType::FillIn(FillIn::Binary));
    assert_eq!(
        task(&format!("PREDICT customers.age {each}")),
        TaskType::FillIn(FillIn::Regression)
    );
}

#[test]
fn ranking_knows_its_items() {
    let schema = shop();
    let query = bound(
        "PREDICT LIST_DISTINCT(reviews.product_id, 0, 30) RANK TOP 10 FOR EACH customers.id",
        &schema,
    )
    .unwrap();
    assert_eq!(query.item().unwrap().table, schema.find_table("products"));
    let query = bound(
        "PREDICT LIST_DISTINCT(orders.status, 0, 30) CLASSIFY FOR EACH customers.id",
        &schema,
    )
    .unwrap();
    assert_eq!(query.item().unwrap().table, None);
}

#[test]
fn the_horizon_is_the_largest_end() {
    let horizon = |target: &str| {
        let sql = format!(
            "PREDICT {target} FOR EACH customers.id ASSUMING COUNT(orders.*, 0, 40, days) > 0"
        );
        bound(&sql, &shop()).unwrap().horizon().to_string()
    };
    assert_eq!(horizon("COUNT(orders.*, 0, 30, days)"), "40 days");
    assert_eq!(horizon("COUNT(orders.*, 0, 2, months)").as_str(), "2 months");
    // A month may be shorter or longer than 30 days, and no window may cross into the next split.
    assert_eq!(horizon("COUNT(orders.*, 0, 1, month)").as_str(), "40 days");
    let sql = "PREDICT COUNT(orders.*, 0, 30) + COUNT(orders.*, 0, 1, month) FOR EACH customers.id";
    assert_eq!(bound(sql, &shop()).unwrap().horizon().to_string(), "31 days");
    assert_eq!(horizon("COUNT(orders.*, 0, 14, days) FORECAST 4 TIMEFRAMES"), "56 days");
}

#[test]
fn a_shape_after_the_target_is_read() {
    let shape = |text: &str| parse(&format!("PREDICT x {text} FOR EACH a.b")).unwrap().shape;
    assert_eq!(shape(""), Shape::Plain);
    assert_eq!(shape("classify"), Shape::Classify { top: None });
    assert_eq!(shape("RANK TOP 5"), Shape::Rank { k: 5 });
}

fn token() -> impl Strategy<Value = String> {
    let words = [
        "PREDICT",
        "FOR",
        "EACH",
        "COUNT",
        "SUM",
        "LIST_DISTINCT",
        "(",
        ")",
        ",",
        ".",
        "*",
        "orders",
        "customers",
        "id",
        "amount",
        "0",
        "30",
        "-",
        "INF",
        "days",
        "WHERE",
        "ASSUMING",
        "AS",
        "OF",
        "VIA",
        "IN",
        "NOT",
        "BETWEEN",
        "AND",
        "OR",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "'x'",
        "\"q\"",
        "`q`",
        "=",
        "<",
        "2020-01-31",
        "2020-99-99",
        "WITH",
        "USING",
        "MODEL",
        "RANK",
        "TOP",
        "FORECAST",
        "TIMEFRAMES",
        "CLASSIFY",
        "NULL",
        "IS",
        "LIKE",
        "STARTS",
        "\n",
        "'",
        "\"",
        "é",
        "1e400",
        "99999999999999999999",
        ";",
        "SELECT",
        "[",
        "]",
        "DATE",
        "INTERVAL",
    ];
    prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_parser_never_panics(start in 0usize..3, tokens in prop::collection::vec(token(), 0..40), space in prop::bool::ANY) {
        let start = ["", "PREDICT ", "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id "][start];
        let sql = format!("{start}{}", tokens.join(if space { " " } else { "" }));
        if let Ok(query) = parse(&sql) {
            let _ = relcast_query::bind(&query, &shop());
        }
    }

    #[test]
    fn a_printed_query_parses_back_to_itself(sql in generate::query()) {
        let query = parse(&sql).unwrap();
        let printed = query.to_string();
        prop_assert_eq!(without_places(&parse(&printed).unwrap()), without_places(&query), "{}", printed);
    }
}

/// All of a query but where its parts stand.
fn without_places(query: &PredictiveQuery) -> String {
    let text = format!("{query:?}");
    let mut parts = text.split("Place {");
    let first = parts.next().unwrap().to_owned();
    first + &parts.map(|part| part.split_once('}').unwrap().1).collect::<String>()
}

#[test]
fn every_clause_prints_and_parses_back() {
    for sql in [
        "PREDICT USING MODEL \"my \"\"model\" VERSION 3 FOR EACH a.b = 'it''s'",
        "PREDICT x CLASSIFY FOR a.(b, c) IN ((1, NULL), (-2, TRUE)) WITH (keep = (a.b, c))",
        "PREDICT x FOR a.b IN (SELECT b, '2020-01-01' FROM a WHERE (b > 1)) WHERE y = 2020-01-31",
        "PREDICT CASE a WHEN 1 THEN -b ELSE (c - 1) - 1 END RANK TOP 3 FOR EACH a.b AS OF 2020-01-31 USING MODEL m",
        "PREDICT x FOR a.b IN (SELECT b FROM a -- all\n) WITH (model = 'it''s', keep = ['a''b'])",
        "PREDICT a - (b - c) * -(d + e) / (f % g) < 1 OR (h OR (i AND (j AND k))) FOR EACH a.b",
        "PREDICT NOT (a = b) = (c IS NULL) AND (CASE WHEN d THEN e END) NOT IN (f, (g > 1)) FOR EACH a.b",
    ] {
        let query = parse(sql).unwrap();
        assert_eq!(without_places(&parse(&query.to_string()).unwrap()), without_places(&query));
    }
}

#[test]
fn printing_adds_no_depth() {
    let sum = vec!["a"; 150].join(" + ");
    let chain = (0..90).fold("a".to_owned(), |chain, _| format!("b OR ({chain})"));
    for target in [
        format!("{}a", "NOT ".repeat(95)),
        format!("{}a", "- ".repeat(95)),
        format!("{}a{}", "(".repeat(95), ")".repeat(95)),
        format!("{}a{}", "CASE WHEN b THEN ".repeat(45), " END".repeat(45)),
        sum.clone(),
        sum.replace('+', "*"),
        format!("({sum}) > 1 OR {chain}"),
    ] {
        let query = parse(&format!("PREDICT {target} FOR EACH t.k")).unwrap();
        let again = parse(&query.to_string()).unwrap_or_else(|e| panic!("{target}: {e}"));
        assert_eq!(without_places(&again), without_places(&query));
    }
}

#[test]
fn operators_bind_as_in_sql() {
    for (short, long) in [
        ("a OR b OR c OR d", "a OR (b OR (c OR d))"),
        ("a AND b AND c AND d", "(a AND (b AND c)) AND d"),
        ("a OR b AND NOT c = d", "a OR (b AND (NOT (c = d)))"),
        ("a + b * c - d", "(a + (b * c)) - d"),
        ("a / b % c", "(a / b) % c"),
        ("- a * b", "(- a) * b"),
        ("a BETWEEN b AND c AND d", "(a BETWEEN b AND c) AND d"),
    ] {
        let parsed = |text: &str| parse(&format!("PREDICT {text} FOR EACH t.k"));
        let [short, long] = [short, long].map(|text| parsed(text).unwrap());
        assert_eq!(without_places(&short), without_places(&long));
    }
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    for open in ["(", "NOT ", "- ", "CASE WHEN "] {
        let sql = format!("PREDICT {} 1 FOR EACH a.b", open.repeat(50_000));
        assert!(parse(&sql).unwrap_err().to_string().contains("nested at most"), "{open}");
    }
}

#[test]
fn a_long_condition_is_read_and_a_long_sum_refused() {
    let chain = |term: &str, operator: &str, count: usize| vec![term; count].join(operator);
    for operator in [" OR ", " AND "] {
        accepts(&format!(
            "PREDICT COUNT(orders.* WHERE {}, 0, 30) FOR EACH customers.id",
            chain("gift", operator, 30_000)
        ));
    }
    for operator in ["+", "*", "-"] {
        let sql = format!("PREDICT {} > 1 FOR EACH customers.id", chain("age", operator, 30_000));
        let error = parse(&sql).unwrap_err();
        assert!(error.to_string().contains("at most 200 sums and products"), "{error}");
    }
}
