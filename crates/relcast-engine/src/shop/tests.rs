//! The shop keeps its promises, and its story can be read from the tables.

use relcast_train::baselines::{BoostingTask, FeatureColumns, fit_predict};
use relcast_train::metrics::auroc;

use super::lives::{Order, Review, Ticket};
use super::*;

const HORIZON: i64 = 60 * DAY;

#[test]
fn the_same_seed_gives_the_same_files_of_the_promised_size() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    let summary = generate(&first, 7).unwrap();
    generate(&second, 7).unwrap();
    assert_eq!(summary.tables.len(), 9);
    assert!((150_000..250_000).contains(&summary.rows), "{summary:?}");
    for (table, rows) in &summary.tables {
        let file = format!("{table}.parquet");
        let bytes = std::fs::read(first.join(&file)).unwrap();
        assert!(*rows > 0 && bytes == std::fs::read(second.join(&file)).unwrap(), "{table}");
    }
    let yaml = std::fs::read_to_string(first.join("relcast.yaml")).unwrap();
    for (table, _) in &summary.tables {
        assert!(yaml.contains(&format!("\n  {table}:\n")), "{table}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taken");
    std::fs::write(&file, "").unwrap();
    assert!(generate(&file, 0).unwrap_err().to_string().contains("taken"));
}

#[test]
fn everybody_orders_in_order_and_from_an_address_of_his_own() {
    let (_, lives) = world();
    for order in &lives.orders {
        let address = &lives.addresses[order.address];
        assert!(order.time >= lives.customers[order.customer].signed_up && order.time < END);
        assert_eq!(address.customer, order.customer);
        assert!(
            address.since <= order.time && order.delivered > order.time && !order.items.is_empty()
        );
    }
    assert!(lives.orders.is_sorted_by_key(|order| (order.time, order.customer)));
    for ticket in &lives.tickets {
        assert!(ticket.time > ticket.ordered && ticket.answered.is_none_or(|at| at > ticket.time));
    }
}

#[test]
fn the_customer_table_alone_says_little_and_the_other_tables_much() {
    let (goods, lives) = world();
    let past = Histories::of(&lives);
    let cutoffs = |from: i64, to: i64| (from..=to).map(|k| END - k * HORIZON);
    let train = past.examples(&goods, &lives, cutoffs(4, 12));
    let test = past.examples(&goods, &lives, cutoffs(1, 2));
    let churn = test.labels.iter().sum::<f64>() / test.labels.len() as f64;
    assert!((0.1..0.4).contains(&churn), "{churn}");

    let score = |columns: std::ops::Range<usize>| {
        let take = |examples: &Examples| FeatureColumns {
            rows: examples.labels.len(),
            columns: examples.columns[columns.clone()].to_vec(),
        };
        let p = fit_predict(&take(&train), &train.labels, &take(&test), BoostingTask::Binary);
        auroc(&test.labels, &p.unwrap()).unwrap()
    };
    let (own, orders, all) =
        (score(0..OWN), score(0..OWN + ORDERS), score(0..OWN + ORDERS + OTHERS));
    println!(
        "own columns {own:.3}, with own orders {orders:.3}, all tables {all:.3}, churn {churn:.3}"
    );
    assert!((0.53..0.66).contains(&own), "{own}");
    assert!(all > 0.78 && all > own + 0.15 && all > orders + 0.01, "{own} {orders} {all}");
}

fn world() -> (Goods, Lives) {
    let goods = Goods::generate(0);
    let lives = Lives::generate(0, &goods);
    (goods, lives)
}

/// Columns of the customer's own row, of his orders' times, and from everywhere else.
const OWN: usize = 5;
const ORDERS: usize = 3;
const OTHERS: usize = 6;

struct Examples {
    columns: Vec<Vec<f64>>,
    labels: Vec<f64>,
}

/// What happened, by customer; within each by time.
struct Histories<'a> {
    orders: Vec<Vec<&'a Order>>,
    reviews: Vec<Vec<&'a Review>>,
    tickets: Vec<Vec<&'a Ticket>>,
}

impl<'a> Histories<'a> {
    fn of(lives: &'a Lives) -> Self {
        let n = lives.customers.len();
        let mut all =
            Self { orders: vec![vec![]; n], reviews: vec![vec![]; n], tickets: vec![vec![]; n] };
        lives.orders.iter().for_each(|order| all.orders[order.customer].push(order));
        lives.reviews.iter().for_each(|review| all.reviews[review.customer].push(review));
        lives.tickets.iter().for_each(|ticket| all.tickets[ticket.customer].push(ticket));
        all
    }

    /// Labels and columns of all who ordered in the 90 days before each cutoff.
    fn examples(
        &self,
        goods: &Goods,
        lives: &Lives,
        cutoffs: impl Iterator<Item = i64>,
    ) -> Examples {
        let mut examples =
            Examples { columns: vec![vec![]; OWN + ORDERS + OTHERS], labels: vec![] };
        for t in cutoffs {
            let ratings = ratings(goods, lives, t);
            let lateness = lateness(goods, lives, t);
            for (id, customer) in lives.customers.iter().enumerate() {
                let known: Vec<&Order> =
                    self.orders[id].iter().copied().filter(|order| order.time <= t).collect();
                let recent =
                    |days: i64| known.iter().filter(move |order| order.time > t - days * DAY);
                let (Some(last), true) = (known.last(), recent(90).next().is_some()) else {
                    continue;
                };
                let later = |order: &&&Order| order.time > t && order.time <= t + HORIZON;
                let has_left = self.orders[id].iter().find(later).is_none();
                examples.labels.push(f64::from(u8::from(has_left)));

                let age = |time: i64| (t - time) as f64 / DAY as f64;
                let late = recent(75).filter(|order| order.delivered <= t);
                let late: f64 =
                    late.map(|o| ((o.delivered - o.promised) as f64 / DAY as f64).max(0.0)).sum();
                let unanswered = self.tickets[id].iter().filter(|ticket| {
                    let is_open = ticket.answered.is_none_or(|at| at > t);
                    ticket.time <= t && ticket.time > t - 90 * DAY && is_open
                });
                let complaints = self.tickets[id].iter().filter(|ticket| {
                    let topic = ticket.topic != words::Topic::Question;
                    ticket.time <= t && ticket.time > t - 60 * DAY && topic
                });
                let rated =
                    self.reviews[id].iter().filter(|r| r.time <= t && r.time > t - 90 * DAY);
                let bought =
                    recent(60).flat_map(|order| order.items.iter().map(|item| ratings[item.0]));
                let row = [
                    customer.birth_year as f64,
                    f64::from(u8::from(customer.segment == "business")),
                    customer.channel.len() as f64,
                    f64::from(u8::from(customer.newsletter)),
                    age(customer.signed_up),
                    age(last.time),
                    recent(90).count() as f64,
                    age(known[0].time) / known.len() as f64,
                    late,
                    unanswered.count() as f64,
                    complaints.count() as f64,
                    mean(rated.map(|review| review.rating as f64)),
                    mean(bought),
                    lateness[lives.addresses[last.address].depot],
                ];
                examples.columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
            }
        }
        examples
    }
}

/// Everybody's mean rating per product, known at `t`.
fn ratings(goods: &Goods, lives: &Lives, t: i64) -> Vec<f64> {
    let mut of_product = vec![Vec::new(); goods.products.len()];
    let known = lives.reviews.iter().filter(|review| review.time <= t);
    known.for_each(|review| of_product[review.product].push(review.rating as f64));
    of_product.into_iter().map(|ratings| mean(ratings.into_iter())).collect()
}

/// Everybody's mean days late per depot in the 40 days before `t`.
fn lateness(goods: &Goods, lives: &Lives, t: i64) -> Vec<f64> {
    let mut of_depot = vec![Vec::new(); goods.depots.len()];
    for order in lives.orders.iter().filter(|o| o.delivered <= t && o.delivered > t - 40 * DAY) {
        let days = (order.delivered - order.promised) as f64 / DAY as f64;
        of_depot[lives.addresses[order.address].depot].push(days.max(0.0));
    }
    of_depot.into_iter().map(|days| mean(days.into_iter())).collect()
}

/// The mean; NaN (missing) of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0, 0.0), |(n, sum), value| (n + 1, sum + value));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}
