//! New customers who order a second time or never again, and two ways to cheat about it.
//!
//! Time runs in periods of 30 days. A customer signs up and orders once in one period; in the next
//! one half of them order a second time, the others never again. Each customer is asked about at
//! one cutoff, the end of his first period. The four databases differ in what tells the answer:
//!
//! | database | honest optimum | who reads the future |
//! |---|---|---|
//! | [`untimed_items_leak`] | 0.5 | 1.0: items of the second order, which have no time of their own |
//! | [`untimed_items_control`] | 0.86: items of the first order | 1.0 |
//! | [`upgraded_at_leak`] | 0.5 | 1.0: a timestamp that is filled in at the second order |
//! | [`upgraded_at_control`] | 0.86: upgrades before the cutoff | above 0.9 |

use std::path::Path;

use crate::error::TestkitError;
use crate::random::Random;
use crate::table::{DAY, GeneratedDatabase, Table, date_micros, write_database};

const CUSTOMERS: usize = 8000;
const PERIODS: i64 = 25;
const PERIOD: i64 = 30 * DAY;
/// Distance of the two classes' item qualities in standard deviations: AUROC Φ(d/√2) = 0.86.
const QUALITY_GAP: f64 = 1.528;
/// Share of early upgrades among those who order again; one minus it among the others.
/// AUROC 1/2 + (0.86 - 0.14)/2 = 0.86.
const EARLY_UPGRADES: f64 = 0.86;

const QUERY: &str = "PREDICT COUNT(orders.*, 0, 30, days) > 0 FOR EACH customers.customer_id \
                     WHERE COUNT(orders.*, -INF, -30, days) = 0";

const ITEMS_YAML: &str = "\
tables:
  customers:
    primary_key: customer_id
    time_column: signed_up_at
  orders:
    primary_key: order_id
    time_column: ordered_at
    foreign_keys: { customer_id: customers }
  order_items:
    primary_key: item_id
    foreign_keys: { order_id: orders, customer_id: customers }
";

const UPGRADES_YAML: &str = "\
tables:
  customers:
    primary_key: customer_id
    time_column: signed_up_at
  orders:
    primary_key: order_id
    time_column: ordered_at
    foreign_keys: { customer_id: customers }
";

/// Customers, orders and order items without a time of their own, whose only signal lies in items
/// of orders after the cutoff. Items also point to the customer, so who takes them for static finds
/// them without touching a future order. Best honest AUROC 0.5; counting `refill` items gives 1.0.
///
/// # Errors
/// If the folder cannot be written.
pub fn untimed_items_leak(dir: &Path, seed: u64) -> Result<GeneratedDatabase, TestkitError> {
    write(dir, &World::generate(seed, Signal::Nothing).with_items(), ITEMS_YAML)
}

/// The same tables where the quality of the first order's items tells the answer: best honest AUROC
/// 0.86, by ranking customers by that quality. (Reading future items still gives 1.0.)
///
/// # Errors
/// If the folder cannot be written.
pub fn untimed_items_control(dir: &Path, seed: u64) -> Result<GeneratedDatabase, TestkitError> {
    write(dir, &World::generate(seed, Signal::FirstItems).with_items(), ITEMS_YAML)
}

/// Customers and orders, with `customers.upgraded_at` filled only for those who order again, at
/// their second order: later than any cutoff at which it matters. Best honest AUROC 0.5; "is
/// filled" gives 1.0.
///
/// # Errors
/// If the folder cannot be written.
pub fn upgraded_at_leak(dir: &Path, seed: u64) -> Result<GeneratedDatabase, TestkitError> {
    write(dir, &World::generate(seed, Signal::Nothing).with_upgrades(), UPGRADES_YAML)
}

/// The same tables where most who will order again upgrade before the cutoff, and few others do:
/// best honest AUROC 0.86, by "upgraded by now". (The rest of those who order again upgrade later,
/// as in [`upgraded_at_leak`].)
///
/// # Errors
/// If the folder cannot be written.
pub fn upgraded_at_control(dir: &Path, seed: u64) -> Result<GeneratedDatabase, TestkitError> {
    write(dir, &World::generate(seed, Signal::EarlyUpgrade).with_upgrades(), UPGRADES_YAML)
}

fn write(dir: &Path, tables: &[Table], yaml: &str) -> Result<GeneratedDatabase, TestkitError> {
    write_database(dir, tables, yaml)?;
    Ok(GeneratedDatabase {
        dir: dir.to_owned(),
        query: QUERY,
        val_timestamp: start() + (PERIODS - 7) * PERIOD,
        test_timestamp: start() + (PERIODS - 4) * PERIOD,
        num_eval_timestamps: 3,
        horizon_days: PERIOD / DAY,
    })
}

fn start() -> i64 {
    date_micros(2021, 1, 1)
}

/// What known before the cutoff tells the answer.
#[derive(Clone, Copy, PartialEq)]
enum Signal {
    Nothing,
    FirstItems,
    EarlyUpgrade,
}

struct Customer {
    signed_up: i64,
    age: f64,
    first_order: i64,
    /// The answer: a second order in the period after the cutoff.
    second_order: Option<i64>,
    upgraded: Option<i64>,
}

struct Order {
    customer: usize,
    time: i64,
    amount: f64,
}

struct Item {
    order: usize,
    customer: usize,
    kind: &'static str,
    quality: f64,
}

struct World {
    customers: Vec<Customer>,
    /// By time.
    orders: Vec<Order>,
    items: Vec<Item>,
}

impl World {
    fn generate(seed: u64, signal: Signal) -> Self {
        let mut random = Random::new(seed);
        let customers: Vec<Customer> =
            (0..CUSTOMERS).map(|_| customer(signal, &mut random)).collect();
        let mut orders = Vec::new();
        for (id, customer) in customers.iter().enumerate() {
            for time in [Some(customer.first_order), customer.second_order].into_iter().flatten() {
                let amount = (10.0 + 90.0 * random.uniform()).round();
                orders.push(Order { customer: id, time, amount });
            }
        }
        orders.sort_unstable_by_key(|order| (order.time, order.customer));
        let items = items(&customers, &orders, signal, &mut random);
        Self { customers, orders, items }
    }

    fn with_items(&self) -> [Table; 3] {
        let items = &self.items;
        let order_items = Table::new("order_items")
            .int("item_id", 1..=items.len() as i64)
            .int("order_id", items.iter().map(|item| item.order as i64 + 1))
            .int("customer_id", items.iter().map(|item| item.customer as i64 + 1))
            .text("kind", items.iter().map(|item| item.kind))
            .float("quality", items.iter().map(|item| item.quality));
        [self.customers(), self.orders(), order_items]
    }

    fn with_upgrades(&self) -> [Table; 2] {
        let upgraded = self.customers.iter().map(|customer| customer.upgraded);
        [self.customers().time("upgraded_at", upgraded), self.orders()]
    }

    fn customers(&self) -> Table {
        Table::new("customers")
            .int("customer_id", 1..=self.customers.len() as i64)
            .time("signed_up_at", self.customers.iter().map(|customer| Some(customer.signed_up)))
            .float("age", self.customers.iter().map(|customer| customer.age))
    }

    fn orders(&self) -> Table {
        Table::new("orders")
            .int("order_id", 1..=self.orders.len() as i64)
            .int("customer_id", self.orders.iter().map(|order| order.customer as i64 + 1))
            .time("ordered_at", self.orders.iter().map(|order| Some(order.time)))
            .float("amount", self.orders.iter().map(|order| order.amount))
    }
}

fn customer(signal: Signal, random: &mut Random) -> Customer {
    let begins = start() + random.below(PERIODS as usize - 1) as i64 * PERIOD;
    let cutoff = begins + PERIOD;
    let signed_up = begins + 1 + (random.uniform() * 0.5 * PERIOD as f64) as i64;
    let first_order = between(signed_up, cutoff, random);
    let second_order = random.chance(0.5).then(|| between(cutoff, cutoff + PERIOD, random));
    let early = if second_order.is_some() { EARLY_UPGRADES } else { 1.0 - EARLY_UPGRADES };
    let upgraded = if signal == Signal::EarlyUpgrade && random.chance(early) {
        Some(between(first_order, cutoff, random))
    } else {
        second_order
    };
    let age = (18.0 + 60.0 * random.uniform()).floor();
    Customer { signed_up, age, first_order, second_order, upgraded }
}

/// One to three items per order; those of one order are of one quality.
fn items(
    customers: &[Customer],
    orders: &[Order],
    signal: Signal,
    random: &mut Random,
) -> Vec<Item> {
    let mut items = Vec::new();
    for (order, placed) in orders.iter().enumerate() {
        let customer = &customers[placed.customer];
        let first = placed.time == customer.first_order;
        let mut quality = random.normal();
        if first && signal == Signal::FirstItems && customer.second_order.is_some() {
            quality += QUALITY_GAP;
        }
        let kind = if first { "starter" } else { "refill" };
        for _ in 0..=random.below(3) {
            items.push(Item { order, customer: placed.customer, kind, quality });
        }
    }
    items
}

/// A moment in (after, until], later than `after` whenever there is room.
fn between(after: i64, until: i64, random: &mut Random) -> i64 {
    until - (random.uniform() * (until - after) as f64) as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auroc::auroc_by_pairs;

    fn auroc(world: &World, score: impl Fn(usize, &Customer) -> f64) -> f64 {
        let labels: Vec<f64> =
            world.customers.iter().map(|c| f64::from(u8::from(c.second_order.is_some()))).collect();
        let scores: Vec<f64> =
            world.customers.iter().enumerate().map(|(id, c)| score(id, c)).collect();
        auroc_by_pairs(&labels, &scores).unwrap()
    }

    /// Quality of the first order's items and number of items of later orders, per customer.
    fn item_scores(world: &World) -> (Vec<f64>, Vec<f64>) {
        let mut scores = (vec![0.0; CUSTOMERS], vec![0.0; CUSTOMERS]);
        for item in &world.items {
            if item.kind == "starter" {
                scores.0[item.customer] = item.quality;
            } else {
                scores.1[item.customer] += 1.0;
            }
        }
        scores
    }

    /// The end of the customer's first period, at which he is asked about.
    fn cutoff(customer: &Customer) -> i64 {
        start() + ((customer.first_order - start() - 1) / PERIOD + 1) * PERIOD
    }

    #[test]
    fn items_of_future_orders_tell_all_and_past_ones_what_they_should() {
        for (signal, honest) in [(Signal::Nothing, 0.5), (Signal::FirstItems, 0.86)] {
            let world = World::generate(1, signal);
            let (past, future) = item_scores(&world);
            let auroc_past = auroc(&world, |id, _| past[id]);
            assert!((auroc_past - honest).abs() < 0.02, "{auroc_past}");
            assert_eq!(auroc(&world, |id, _| future[id]), 1.0);
        }
    }

    #[test]
    fn a_future_upgrade_tells_all_and_a_past_one_what_it_should() {
        for (signal, honest) in [(Signal::Nothing, 0.5), (Signal::EarlyUpgrade, 0.86)] {
            let world = World::generate(2, signal);
            let by_now = |_: usize, c: &Customer| {
                f64::from(u8::from(c.upgraded.is_some_and(|at| at <= cutoff(c))))
            };
            let filled = |_: usize, c: &Customer| f64::from(u8::from(c.upgraded.is_some()));
            assert!((auroc(&world, by_now) - honest).abs() < 0.02);
            assert!(auroc(&world, filled) > 0.9);
        }
    }

    #[test]
    fn what_is_known_otherwise_tells_nothing_and_cutoffs_fit() {
        let world = World::generate(3, Signal::Nothing);
        for score in [
            auroc(&world, |_, c| c.age),
            auroc(&world, |_, c| (cutoff(c) - c.first_order) as f64),
            auroc(&world, |_, c| (cutoff(c) - c.signed_up) as f64),
        ] {
            assert!((score - 0.5).abs() < 0.03, "{score}");
        }
        for customer in &world.customers {
            let cutoff = cutoff(customer);
            assert!(customer.signed_up <= customer.first_order && customer.first_order <= cutoff);
            assert!(customer.second_order.is_none_or(|at| at > cutoff && at <= cutoff + PERIOD));
        }
    }

    type Write = fn(&Path, u64) -> Result<GeneratedDatabase, TestkitError>;

    #[test]
    fn all_four_write_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let write: [Write; 4] =
            [untimed_items_leak, untimed_items_control, upgraded_at_leak, upgraded_at_control];
        for (n, write) in write.into_iter().enumerate() {
            let database = write(&dir.path().join(n.to_string()), 5).unwrap();
            for file in ["customers.parquet", "orders.parquet", "relcast.yaml"] {
                assert!(database.dir.join(file).is_file());
            }
            assert_eq!(database.dir.join("order_items.parquet").is_file(), n < 2);
            assert!(database.query_with_splits().contains("val_timestamp = '2022-06-25'"));
        }
    }
}
