//! A small shop for tests: its schema, and its rows in a session.
#![allow(dead_code, clippy::unwrap_used)]

pub mod generate;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::prelude::{SessionConfig, SessionContext};
use relcast_catalog::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId, parse_time};
use relcast_query::{BoundQuery, LabelPlan, QueryError, bind, parse};

pub const DAY: i64 = 86_400_000_000;

/// A moment from its text.
pub fn at(text: &str) -> i64 {
    parse_time(text).unwrap()
}

/// A session with the settings that every session of relcast has.
pub fn session() -> SessionContext {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.enable_ident_normalization = false;
    SessionContext::new_with_config(config)
}

fn column(name: &str, data_type: DataType, semantic: SemanticType) -> Column {
    Column { name: name.to_owned(), data_type, semantic, planned: false, known_from: None }
}

fn key(name: &str) -> Column {
    column(name, DataType::Int64, SemanticType::Key)
}

fn number(name: &str) -> Column {
    column(name, DataType::Int64, SemanticType::Numerical)
}

fn time(name: &str) -> Column {
    column(name, DataType::Timestamp(TimeUnit::Microsecond, None), SemanticType::Timestamp)
}

fn table(
    name: &str,
    columns: Vec<Column>,
    primary_key: &[&str],
    time_column: Option<&str>,
) -> Table {
    Table {
        name: name.to_owned(),
        columns,
        primary_key: primary_key.iter().map(|k| (*k).to_owned()).collect(),
        time_column: time_column.map(str::to_owned),
        end_time_column: None,
        known_from: KnownFrom::Static,
    }
}

/// customers ← orders ← items → products; reviews between customers and products; customers know
/// each other through referrals (two links); shelves have a composite key; posts point to posts.
pub fn shop() -> Schema {
    let text = |name| column(name, DataType::Utf8, SemanticType::Text);
    let category = |name| column(name, DataType::Utf8, SemanticType::Categorical);
    let tables = vec![
        table(
            "customers",
            vec![
                key("id"),
                number("age"),
                category("segment"),
                column("vip", DataType::Boolean, SemanticType::Boolean),
            ],
            &["id"],
            None,
        ),
        table(
            "items",
            vec![key("id"), key("order_id"), key("product_id"), number("quantity")],
            &["id"],
            None,
        ),
        table(
            "orders",
            vec![
                key("id"),
                key("customer_id"),
                time("placed"),
                column("amount", DataType::Float64, SemanticType::Numerical),
                category("status"),
                column("gift", DataType::Boolean, SemanticType::Boolean),
            ],
            &["id"],
            Some("placed"),
        ),
        table("posts", vec![key("id"), key("parent_id"), time("at")], &["id"], Some("at")),
        table(
            "products",
            vec![
                key("id"),
                text("name"),
                column("price", DataType::Float64, SemanticType::Numerical),
            ],
            &["id"],
            None,
        ),
        table(
            "referrals",
            vec![key("id"), key("from_id"), key("to_id"), time("at")],
            &["id"],
            Some("at"),
        ),
        table(
            "reviews",
            vec![
                key("id"),
                key("customer_id"),
                key("product_id"),
                number("stars"),
                time("written"),
            ],
            &["id"],
            Some("written"),
        ),
        table(
            "shelves",
            vec![key("shop"), key("shelf"), number("width")],
            &["shop", "shelf"],
            None,
        ),
        table(
            "stockings",
            vec![key("shop"), key("shelf"), time("at"), number("pieces")],
            &[],
            Some("at"),
        ),
    ];
    let mut schema = Schema { tables, ..Schema::default() };
    let id = |name: &str| schema.find_table(name).unwrap();
    let link = |child: &str, columns: &[&str], parent: &str| Link {
        child: id(child),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        parent: id(parent),
    };
    let mut links = vec![
        link("items", &["order_id"], "orders"),
        link("items", &["product_id"], "products"),
        link("orders", &["customer_id"], "customers"),
        link("posts", &["parent_id"], "posts"),
        link("referrals", &["from_id"], "customers"),
        link("referrals", &["to_id"], "customers"),
        link("reviews", &["customer_id"], "customers"),
        link("reviews", &["product_id"], "products"),
        link("stockings", &["shop", "shelf"], "shelves"),
    ];
    links.sort_by_key(|l| (l.child, l.columns.clone()));
    schema.links = links;
    schema.resolve_known_from();
    schema
}

/// The table of this name, to be changed.
pub fn table_mut<'a>(schema: &'a mut Schema, name: &str) -> &'a mut Table {
    let TableId(id) = schema.find_table(name).unwrap();
    &mut schema.tables[id as usize]
}

pub fn bound(sql: &str, schema: &Schema) -> Result<BoundQuery, QueryError> {
    bind(&parse(sql)?, schema)
}

pub fn plan(sql: &str, schema: &Schema) -> LabelPlan {
    let query = bound(sql, schema).unwrap_or_else(|e| panic!("{sql}: {e}"));
    LabelPlan::from_query(&query, schema).unwrap()
}

pub fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub fn keys(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn booleans(values: &[Option<bool>]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

/// Days of January 2020 as times; None is NULL.
pub fn days(values: &[Option<i64>]) -> ArrayRef {
    let times = values.iter().map(|d| d.map(|d| at("2020-01-01") + (d - 1) * DAY));
    Arc::new(times.collect::<TimestampMicrosecondArray>())
}

pub fn register(context: &SessionContext, name: &str, columns: Vec<(&str, ArrayRef)>) {
    context
        .register_batch(
            name,
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(n, c)| (n, c, true)),
            )
            .unwrap(),
        )
        .unwrap();
}

/// The shop's rows: everything happens in January 2020.
pub fn shop_session() -> SessionContext {
    let context = session();
    register(
        &context,
        "customers",
        vec![
            ("id", keys(&[1, 2, 3, 4])),
            ("age", ints(&[Some(30), Some(50), None, Some(20)])),
            ("segment", texts(&[Some("home"), Some("firm"), None, Some("home")])),
            ("vip", booleans(&[Some(true), Some(false), None, Some(false)])),
        ],
    );
    register(
        &context,
        "orders",
        vec![
            ("id", keys(&[10, 11, 12, 13, 14, 15])),
            ("customer_id", ints(&[Some(1), Some(1), Some(1), Some(2), None, Some(2)])),
            ("placed", days(&[Some(5), Some(12), Some(15), Some(15), Some(15), None])),
            ("amount", floats(&[Some(5.0), Some(10.5), None, Some(2.0), Some(100.0), Some(7.0)])),
            (
                "status",
                texts(&[
                    Some("done"),
                    Some("open"),
                    Some("done"),
                    Some("lost"),
                    Some("done"),
                    Some("done"),
                ]),
            ),
            (
                "gift",
                booleans(&[Some(true), Some(true), Some(false), None, Some(true), Some(true)]),
            ),
        ],
    );
    register(
        &context,
        "items",
        vec![
            ("id", keys(&[100, 101, 102, 103, 104])),
            ("order_id", ints(&[Some(11), Some(11), Some(12), Some(13), Some(99)])),
            ("product_id", ints(&[Some(7), Some(8), Some(7), Some(8), Some(7)])),
            ("quantity", ints(&[Some(2), Some(1), Some(4), Some(3), Some(50)])),
        ],
    );
    register(
        &context,
        "products",
        vec![
            ("id", keys(&[7, 8, 9])),
            ("name", texts(&[Some("red hat"), Some("blue shoe"), Some("hat")])),
            ("price", floats(&[Some(1.5), Some(20.0), Some(3.0)])),
        ],
    );
    register(
        &context,
        "reviews",
        vec![
            ("id", keys(&[20, 21, 22])),
            ("customer_id", ints(&[Some(1), Some(1), Some(3)])),
            ("product_id", ints(&[Some(7), Some(8), Some(7)])),
            ("stars", ints(&[Some(5), Some(1), Some(3)])),
            ("written", days(&[Some(12), Some(15), Some(15)])),
        ],
    );
    register(
        &context,
        "referrals",
        vec![
            ("id", keys(&[30, 31])),
            ("from_id", ints(&[Some(1), Some(2)])),
            ("to_id", ints(&[Some(2), Some(3)])),
            ("at", days(&[Some(12), Some(15)])),
        ],
    );
    register(
        &context,
        "posts",
        vec![
            ("id", keys(&[1, 2, 3])),
            ("parent_id", ints(&[None, Some(1), Some(1)])),
            ("at", days(&[Some(5), Some(12), Some(15)])),
        ],
    );
    register(
        &context,
        "shelves",
        vec![
            ("shop", keys(&[1, 1, 2])),
            ("shelf", keys(&[1, 2, 1])),
            ("width", ints(&[Some(10), Some(20), Some(30)])),
        ],
    );
    register(
        &context,
        "stockings",
        vec![
            ("shop", ints(&[Some(1), Some(1), Some(2)])),
            ("shelf", ints(&[Some(1), Some(2), Some(1)])),
            ("at", days(&[Some(12), Some(12), Some(5)])),
            ("pieces", ints(&[Some(3), Some(4), Some(5)])),
        ],
    );
    context
}
