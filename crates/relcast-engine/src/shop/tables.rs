//! The shop as Parquet files, and what `relcast.yaml` says about them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;

use super::goods::Goods;
use super::lives::Lives;
use super::{DAY, END, ShopError};

const YAML: &str = "\
# The demonstration shop: three years, generated.
tables:
  depots:
    primary_key: depot_id
  customers:
    primary_key: customer_id
    time_column: signed_up_at
    columns:
      name: { ignored: true }
  addresses:
    primary_key: address_id
    time_column: since
    foreign_keys: { customer_id: customers, depot_id: depots }
  categories:
    primary_key: category_id
    foreign_keys: { parent_id: categories }
  products:
    primary_key: product_id
    time_column: launched_at
    foreign_keys: { category_id: categories }
  orders:
    primary_key: order_id
    time_column: ordered_at
    foreign_keys: { customer_id: customers, address_id: addresses }
    columns:
      promised_at: { planned: true }
      days_late: { known_from: delivered_at }
  # Known with their order.
  order_items:
    primary_key: item_id
    foreign_keys: { order_id: orders, product_id: products }
  reviews:
    primary_key: review_id
    time_column: written_at
    foreign_keys: { customer_id: customers, product_id: products }
    columns:
      note: { type: text }
  tickets:
    primary_key: ticket_id
    time_column: opened_at
    foreign_keys: { customer_id: customers, order_id: orders }
    columns:
      message: { type: text }
      solved: { known_from: answered_at }
";

/// Writes all tables and `relcast.yaml` into `dir`; gives tables and their rows.
pub(super) fn write(
    dir: &Path,
    goods: &Goods,
    lives: &Lives,
) -> Result<Vec<(String, usize)>, ShopError> {
    std::fs::create_dir_all(dir)
        .map_err(|source| ShopError::Io { path: dir.to_owned(), source })?;
    let mut written = Vec::new();
    for (table, columns) in goods_tables(goods).into_iter().chain(lives_tables(goods, lives)) {
        written.push((table.to_owned(), write_table(dir, table, columns)?));
    }
    let path = dir.join("relcast.yaml");
    std::fs::write(&path, YAML).map_err(|source| ShopError::Io { path, source })?;
    Ok(written)
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn write_table(dir: &Path, table: &'static str, columns: Columns) -> Result<usize, ShopError> {
    let batch =
        RecordBatch::try_from_iter(columns).map_err(|source| ShopError::Table { table, source })?;
    let path = dir.join(format!("{table}.parquet"));
    let file =
        File::create(&path).map_err(|source| ShopError::Io { path: path.clone(), source })?;
    let failed = |source| ShopError::Parquet { path: path.clone(), source };
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(batch.num_rows())
}

fn goods_tables(goods: &Goods) -> Vec<(&'static str, Columns)> {
    let (depots, categories, products) = (&goods.depots, &goods.categories, &goods.products);
    vec![
        (
            "depots",
            vec![
                ("depot_id", ids(depots.len())),
                ("name", texts(depots.iter().map(|d| d.name.as_str()))),
                ("staff", ints(depots.iter().map(|d| d.staff))),
            ],
        ),
        (
            "categories",
            vec![
                ("category_id", ids(categories.len())),
                ("name", texts(categories.iter().map(|c| c.name))),
                ("parent_id", optional_ids(categories.iter().map(|c| c.parent))),
            ],
        ),
        (
            "products",
            vec![
                ("product_id", ids(products.len())),
                ("category_id", keys(products.iter().map(|p| p.category))),
                ("name", texts(products.iter().map(|p| p.name.as_str()))),
                ("price", floats(products.iter().map(|p| p.price))),
                ("launched_at", times(products.iter().map(|p| p.launched))),
            ],
        ),
    ]
}

fn lives_tables(goods: &Goods, lives: &Lives) -> Vec<(&'static str, Columns)> {
    let customers = &lives.customers;
    let addresses: Vec<_> = lives.addresses.iter().filter(|a| a.since <= END).collect();
    let reviews: Vec<_> = lives.reviews.iter().filter(|r| r.time <= END).collect();
    vec![
        (
            "customers",
            vec![
                ("customer_id", ids(customers.len())),
                ("name", texts(customers.iter().map(|c| c.name.as_str()))),
                ("birth_year", ints(customers.iter().map(|c| c.birth_year))),
                ("segment", texts(customers.iter().map(|c| c.segment))),
                ("channel", texts(customers.iter().map(|c| c.channel))),
                ("newsletter", bools(customers.iter().map(|c| Some(c.newsletter)))),
                ("signed_up_at", times(customers.iter().map(|c| c.signed_up))),
            ],
        ),
        (
            "addresses",
            vec![
                ("address_id", ids(addresses.len())),
                ("customer_id", keys(addresses.iter().map(|a| a.customer))),
                ("depot_id", keys(addresses.iter().map(|a| a.depot))),
                ("city", texts(addresses.iter().map(|a| a.city.as_str()))),
                ("since", times(addresses.iter().map(|a| a.since))),
            ],
        ),
        ("orders", orders(lives)),
        ("order_items", order_items(goods, lives)),
        (
            "reviews",
            vec![
                ("review_id", ids(reviews.len())),
                ("customer_id", keys(reviews.iter().map(|r| r.customer))),
                ("product_id", keys(reviews.iter().map(|r| r.product))),
                ("written_at", times(reviews.iter().map(|r| r.time))),
                ("rating", ints(reviews.iter().map(|r| r.rating))),
                ("note", texts(reviews.iter().map(|r| r.note.as_str()))),
            ],
        ),
        ("tickets", tickets(lives)),
    ]
}

fn orders(lives: &Lives) -> Columns {
    let orders = &lives.orders;
    let delivered = |time: i64| Some(time).filter(|time| *time <= END);
    let late = orders.iter().map(|o| {
        let days = (o.delivered - o.promised) as f64 / DAY as f64;
        delivered(o.delivered).map(|_| (days.max(0.0) * 10.0).round() / 10.0)
    });
    vec![
        ("order_id", ids(orders.len())),
        ("customer_id", keys(orders.iter().map(|o| o.customer))),
        ("address_id", keys(orders.iter().map(|o| o.address))),
        ("ordered_at", times(orders.iter().map(|o| o.time))),
        ("payment", texts(orders.iter().map(|o| o.payment))),
        ("promised_at", times(orders.iter().map(|o| o.promised))),
        ("delivered_at", optional_times(orders.iter().map(|o| delivered(o.delivered)))),
        ("days_late", Arc::new(late.collect::<Float64Array>())),
    ]
}

fn order_items(goods: &Goods, lives: &Lives) -> Columns {
    let items = || {
        let orders = lives.orders.iter().enumerate();
        orders.flat_map(|(order, placed)| placed.items.iter().map(move |item| (order, item)))
    };
    vec![
        ("item_id", ids(items().count())),
        ("order_id", keys(items().map(|(order, _)| order))),
        ("product_id", keys(items().map(|(_, item)| item.0))),
        ("quantity", ints(items().map(|(_, item)| item.1))),
        ("unit_price", floats(items().map(|(_, item)| goods.products[item.0].price))),
    ]
}

fn tickets(lives: &Lives) -> Columns {
    let orders: HashMap<(usize, i64), usize> =
        lives.orders.iter().enumerate().map(|(i, o)| ((o.customer, o.time), i)).collect();
    let tickets: Vec<_> = lives.tickets.iter().filter(|t| t.time <= END).collect();
    let answered = || tickets.iter().map(|t| t.answered.filter(|time| *time <= END));
    let solved = tickets.iter().zip(answered()).map(|(t, answered)| answered.map(|_| t.solved));
    vec![
        ("ticket_id", ids(tickets.len())),
        ("customer_id", keys(tickets.iter().map(|t| t.customer))),
        (
            "order_id",
            optional_ids(tickets.iter().map(|t| orders.get(&(t.customer, t.ordered)).copied())),
        ),
        ("opened_at", times(tickets.iter().map(|t| t.time))),
        ("topic", texts(tickets.iter().map(|t| t.topic.word()))),
        ("message", texts(tickets.iter().map(|t| t.message.as_str()))),
        ("answered_at", optional_times(answered())),
        ("solved", bools(solved)),
    ]
}

/// The keys 1 to `n`: a row's position plus one.
fn ids(n: usize) -> ArrayRef {
    keys(0..n)
}

/// Foreign keys from positions.
fn keys(positions: impl Iterator<Item = usize>) -> ArrayRef {
    optional_ids(positions.map(Some))
}

fn optional_ids(positions: impl Iterator<Item = Option<usize>>) -> ArrayRef {
    Arc::new(positions.map(|p| p.map(|p| p as i64 + 1)).collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn bools(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    optional_times(values.map(Some))
}

fn optional_times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>())
}
