//! A small shop to bind queries against.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use relcast_catalog::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId};

const WHOLE: DataType = DataType::Int64;
const FLOAT: DataType = DataType::Float64;
const TEXT: DataType = DataType::Utf8;
const YES: DataType = DataType::Boolean;
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// customers ← orders ← items → products; customers know each other through referrals (two links);
/// shelves have a composite key; posts point to posts.
pub(crate) fn shop() -> Schema {
    use SemanticType::{Boolean, Categorical, Key, Numerical, Text, Timestamp};
    let tables = vec![
        table(
            "customers",
            vec![
                ("id", WHOLE, Key),
                ("age", WHOLE, Numerical),
                ("segment", TEXT, Categorical),
                ("vip", YES, Boolean),
            ],
            &["id"],
            None,
        ),
        table(
            "items",
            vec![
                ("id", WHOLE, Key),
                ("order_id", WHOLE, Key),
                ("product_id", TEXT, Key),
                ("quantity", WHOLE, Numerical),
            ],
            &["id"],
            None,
        ),
        table(
            "orders",
            vec![
                ("id", WHOLE, Key),
                ("customer_id", WHOLE, Key),
                ("placed", TIME, Timestamp),
                ("amount", FLOAT, Numerical),
                ("status", TEXT, Categorical),
                ("gift", YES, Boolean),
            ],
            &["id"],
            Some("placed"),
        ),
        table(
            "posts",
            vec![("id", WHOLE, Key), ("parent_id", WHOLE, Key), ("at", TIME, Timestamp)],
            &["id"],
            Some("at"),
        ),
        table(
            "products",
            vec![("id", TEXT, Key), ("name", TEXT, Text), ("price", FLOAT, Numerical)],
            &["id"],
            None,
        ),
        table(
            "referrals",
            vec![
                ("id", WHOLE, Key),
                ("from_id", WHOLE, Key),
                ("to_id", WHOLE, Key),
                ("at", TIME, Timestamp),
            ],
            &["id"],
            Some("at"),
        ),
        table(
            "shelves",
            vec![("shop", WHOLE, Key), ("shelf", TEXT, Key), ("width", WHOLE, Numerical)],
            &["shop", "shelf"],
            None,
        ),
        table(
            "stockings",
            vec![("shop", WHOLE, Key), ("shelf", TEXT, Key), ("at", TIME, Timestamp)],
            &[],
            Some("at"),
        ),
    ];
    let mut schema = Schema { tables, ..Schema::default() };
    let id = |name: &str| schema.find_table(name).unwrap_or(TableId(0));
    let link = |child: &str, columns: &[&str], parent: &str| Link {
        child: id(child),
        columns: owned(columns),
        parent: id(parent),
    };
    let links = vec![
        link("items", &["order_id"], "orders"),
        link("items", &["product_id"], "products"),
        link("orders", &["customer_id"], "customers"),
        link("posts", &["parent_id"], "posts"),
        link("referrals", &["from_id"], "customers"),
        link("referrals", &["to_id"], "customers"),
        link("stockings", &["shop", "shelf"], "shelves"),
    ];
    schema.links = links;
    schema.resolve_known_from();
    schema
}

fn table(
    name: &str,
    columns: Vec<(&str, DataType, SemanticType)>,
    primary_key: &[&str],
    time_column: Option<&str>,
) -> Table {
    let column = |(name, data_type, semantic): (&str, DataType, SemanticType)| Column {
        name: name.to_owned(),
        data_type,
        semantic,
        planned: false,
        known_from: None,
    };
    Table {
        name: name.to_owned(),
        columns: columns.into_iter().map(column).collect(),
        primary_key: owned(primary_key),
        time_column: time_column.map(str::to_owned),
        end_time_column: None,
        known_from: KnownFrom::Static,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
