//! Customers who stop ordering because of what happens to others at their warehouse.
//!
//! Time runs in periods of 30 days. In each period about a quarter of the warehouses, drawn anew
//! every time, has a bad one: in its last three weeks complaints pour in. In the period after it,
//! nearly none of that warehouse's customers orders anything; customers of other warehouses go on.
//! Which warehouse is bad has no memory, so a customer's own orders and columns tell nothing about
//! the next period: the signal lies three links away (customer → warehouse ← complaints).

use std::path::Path;

use crate::error::TestkitError;
use crate::random::Random;
use crate::table::{DAY, GeneratedDatabase, Table, date_micros, write_database};

/// Whether a foreign key still says the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permute {
    /// Every customer points to his own warehouse.
    No,
    /// `customers.warehouse_id` is shuffled over all customers: nothing can be predicted any more.
    ForeignKey,
    /// Every order gets a customer and a time by chance, so labels are shuffled: nothing tells them.
    Labels,
}

const CUSTOMERS: usize = 3000;
const WAREHOUSES: usize = 60;
const PERIODS: i64 = 25;
const PERIOD: i64 = 30 * DAY;
/// Share of warehouses with a bad period.
const BAD: f64 = 0.25;
/// Complaints in a bad period and in any other, on average.
const COMPLAINTS: (f64, f64) = (14.0, 0.6);
/// Probability to order nothing after a bad period and after any other.
const SILENT: (f64, f64) = (0.97, 0.03);

const QUERY: &str = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id";

const YAML: &str = "\
tables:
  warehouses:
    primary_key: warehouse_id
  customers:
    primary_key: customer_id
    time_column: signed_up_at
    foreign_keys: { warehouse_id: warehouses }
  orders:
    primary_key: order_id
    time_column: ordered_at
    foreign_keys: { customer_id: customers }
  complaints:
    primary_key: complaint_id
    time_column: created_at
    foreign_keys: { warehouse_id: warehouses }
";

/// Writes warehouses, customers, orders and complaints of two years into `dir`.
///
/// On the returned query, at its test cutoffs, the number of complaints at the customer's
/// warehouse in the last 30 days reaches an AUROC of about 0.96 (at least 0.9); anything read from
/// the customer's own row and own orders stays at 0.5 (at most 0.6). With [`Permute::ForeignKey`]
/// and [`Permute::Labels`] nothing does better than 0.5.
///
/// # Errors
/// If the folder cannot be written.
pub fn warehouse_churn(
    dir: &Path,
    seed: u64,
    permute: Permute,
) -> Result<GeneratedDatabase, TestkitError> {
    let world = World::generate(seed, permute);
    write_database(dir, &world.tables(), YAML)?;
    let start = start();
    Ok(GeneratedDatabase {
        dir: dir.to_owned(),
        query: QUERY,
        val_timestamp: start + (PERIODS - 7) * PERIOD,
        test_timestamp: start + (PERIODS - 4) * PERIOD,
        num_eval_timestamps: 3,
        horizon_days: PERIOD / DAY,
    })
}

fn start() -> i64 {
    date_micros(2021, 1, 1)
}

struct Customer {
    /// The warehouse in the table: the true one unless permuted.
    warehouse: usize,
    signed_up: i64,
    age: f64,
    plan: &'static str,
    score: f64,
}

struct World {
    customers: Vec<Customer>,
    warehouse_sizes: Vec<f64>,
    /// (customer, time, amount), by time.
    orders: Vec<(usize, i64, f64)>,
    /// (warehouse, time, severity), by time.
    complaints: Vec<(usize, i64, f64)>,
}

impl World {
    fn generate(seed: u64, permute: Permute) -> Self {
        let mut random = Random::new(seed);
        let bad: Vec<Vec<bool>> =
            (0..PERIODS).map(|_| (0..WAREHOUSES).map(|_| random.chance(BAD)).collect()).collect();
        let mut customers: Vec<Customer> = (0..CUSTOMERS).map(|_| customer(&mut random)).collect();
        let mut orders = orders(&customers, &bad, &mut random);
        orders.sort_unstable_by_key(|(customer, time, _)| (*time, *customer));
        let mut complaints = complaints(&bad, &mut random);
        complaints.sort_unstable_by_key(|(warehouse, time, _)| (*time, *warehouse));
        if permute == Permute::ForeignKey {
            let mut warehouses: Vec<usize> = customers.iter().map(|c| c.warehouse).collect();
            random.shuffle(&mut warehouses);
            for (customer, warehouse) in customers.iter_mut().zip(warehouses) {
                customer.warehouse = warehouse;
            }
        }
        if permute == Permute::Labels {
            let span = (PERIODS * PERIOD) as f64;
            for order in &mut orders {
                order.0 = random.below(CUSTOMERS);
                order.1 = start() + (random.uniform() * span) as i64;
            }
            orders.sort_unstable_by_key(|(customer, time, _)| (*time, *customer));
        }
        let warehouse_sizes = (0..WAREHOUSES).map(|_| 1000.0 + 9000.0 * random.uniform()).collect();
        Self { customers, warehouse_sizes, orders, complaints }
    }

    fn tables(&self) -> Vec<Table> {
        let customers = &self.customers;
        vec![
            Table::new("warehouses")
                .int("warehouse_id", 1..=WAREHOUSES as i64)
                .float("floor_area", self.warehouse_sizes.iter().copied()),
            Table::new("customers")
                .int("customer_id", 1..=customers.len() as i64)
                .int("warehouse_id", customers.iter().map(|c| c.warehouse as i64 + 1))
                .time("signed_up_at", customers.iter().map(|c| Some(c.signed_up)))
                .float("age", customers.iter().map(|c| c.age))
                .text("plan", customers.iter().map(|c| c.plan))
                .float("score", customers.iter().map(|c| c.score)),
            Table::new("orders")
                .int("order_id", 1..=self.orders.len() as i64)
                .int("customer_id", self.orders.iter().map(|o| o.0 as i64 + 1))
                .time("ordered_at", self.orders.iter().map(|o| Some(o.1)))
                .float("amount", self.orders.iter().map(|o| o.2)),
            Table::new("complaints")
                .int("complaint_id", 1..=self.complaints.len() as i64)
                .int("warehouse_id", self.complaints.iter().map(|c| c.0 as i64 + 1))
                .time("created_at", self.complaints.iter().map(|c| Some(c.1)))
                .float("severity", self.complaints.iter().map(|c| c.2)),
        ]
    }
}

fn customer(random: &mut Random) -> Customer {
    Customer {
        warehouse: random.below(WAREHOUSES),
        // Four in five are there from the first period on, the rest come during the first year.
        signed_up: if random.chance(0.8) {
            start() + (random.uniform() * PERIOD as f64) as i64
        } else {
            start() + (random.uniform() * 12.0 * PERIOD as f64) as i64
        },
        age: (18.0 + 60.0 * random.uniform()).floor(),
        plan: ["basic", "plus", "family"][random.below(3)],
        score: random.normal(),
    }
}

fn orders(
    customers: &[Customer],
    bad: &[Vec<bool>],
    random: &mut Random,
) -> Vec<(usize, i64, f64)> {
    let mut orders = Vec::new();
    for (id, customer) in customers.iter().enumerate() {
        for period in 0..PERIODS {
            let begins = start() + period * PERIOD;
            if customer.signed_up >= begins + PERIOD {
                continue;
            }
            let after_bad = period > 0 && bad[period as usize - 1][customer.warehouse];
            if random.chance(if after_bad { SILENT.0 } else { SILENT.1 }) {
                continue;
            }
            for _ in 0..=random.poisson(0.6) {
                let from = begins.max(customer.signed_up);
                let time =
                    begins + PERIOD - (random.uniform() * (begins + PERIOD - from) as f64) as i64;
                orders.push((id, time, (10.0 + 90.0 * random.uniform()).round()));
            }
        }
    }
    orders
}

fn complaints(bad: &[Vec<bool>], random: &mut Random) -> Vec<(usize, i64, f64)> {
    let mut complaints = Vec::new();
    for (period, warehouses) in (0_i64..).zip(bad) {
        let ends = start() + (period + 1) * PERIOD;
        for (warehouse, is_bad) in warehouses.iter().enumerate() {
            let (mean, span) =
                if *is_bad { (COMPLAINTS.0, 21 * DAY) } else { (COMPLAINTS.1, PERIOD) };
            for _ in 0..random.poisson(mean) {
                let time = ends - (random.uniform() * span as f64) as i64;
                complaints.push((warehouse, time, (1.0 + 4.0 * random.uniform()).round()));
            }
        }
    }
    complaints
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auroc::auroc_by_pairs;

    /// AUROC at the test cutoffs of: complaints at the warehouse; the customer's own recent orders,
    /// all own orders, time since the last order, age and score.
    fn figures(permute: Permute) -> (f64, Vec<f64>) {
        let dir = tempfile::tempdir().unwrap();
        let database = warehouse_churn(dir.path(), 3, permute).unwrap();
        let world = World::generate(3, permute);
        let mut times = vec![Vec::new(); world.customers.len()];
        world.orders.iter().for_each(|(customer, time, _)| times[*customer].push(*time));
        let mut labels = Vec::new();
        let mut scores: Vec<Vec<f64>> = vec![Vec::new(); 6];
        for t in database.test_cutoffs() {
            for (id, customer) in world.customers.iter().enumerate() {
                let within = |from: i64, to: i64| {
                    times[id].iter().copied().filter(move |time| *time > from && *time <= to)
                };
                labels.push(f64::from(u8::from(within(t, t + PERIOD).next().is_none())));
                let recent = |c: &&(usize, i64, f64)| {
                    c.0 == customer.warehouse && c.1 > t - PERIOD && c.1 <= t
                };
                let values = [
                    world.complaints.iter().filter(recent).count() as f64,
                    within(t - PERIOD, t).count() as f64,
                    within(0, t).count() as f64,
                    within(0, t).max().unwrap_or(0) as f64,
                    customer.age,
                    customer.score,
                ];
                scores.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
        }
        let figures: Vec<f64> =
            scores.iter().map(|s| auroc_by_pairs(&labels, s).unwrap()).collect();
        (figures[0], figures[1..].to_vec())
    }

    #[test]
    fn only_the_warehouse_tells_who_leaves() {
        let (oracle, own) = figures(Permute::No);
        assert!(oracle > 0.9, "{oracle}");
        assert!(own.iter().all(|auroc| (auroc - 0.5).abs() < 0.1), "{own:?}");
    }

    #[test]
    fn a_permuted_foreign_key_tells_nothing() {
        let (oracle, own) = figures(Permute::ForeignKey);
        assert!((oracle - 0.5).abs() < 0.06, "{oracle}");
        assert!(own.iter().all(|auroc| (auroc - 0.5).abs() < 0.1), "{own:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_files() {
        let read = |seed| {
            let dir = tempfile::tempdir().unwrap();
            warehouse_churn(dir.path(), seed, Permute::No).unwrap();
            std::fs::read(dir.path().join("orders.parquet")).unwrap()
        };
        assert_eq!(read(1), read(1));
        assert_ne!(read(1), read(2));
    }
}
