//! What is there before any customer comes: depots, categories and products.

use super::random::Random;
use super::words::{self, DEPARTMENTS};
use super::{DAY, DAYS, START};

const DEPOTS: usize = 18;
const PRODUCTS: usize = 360;
const WEEKS: usize = DAYS as usize / 7 + 1;

/// A place from which a region is served.
pub(super) struct Depot {
    pub(super) name: String,
    pub(super) staff: i64,
    /// Probability that a parcel is late, per week of the data.
    late: Vec<f64>,
}

/// A category; departments have no parent.
pub(super) struct Category {
    pub(super) name: &'static str,
    /// Position of the department.
    pub(super) parent: Option<usize>,
}

/// Something on sale.
pub(super) struct Product {
    pub(super) name: String,
    /// Position of its category.
    pub(super) category: usize,
    pub(super) price: f64,
    pub(super) launched: i64,
    /// Hidden: how well it is made, about standard normal.
    pub(super) quality: f64,
}

/// All that the shop is made of.
pub(super) struct Goods {
    pub(super) depots: Vec<Depot>,
    /// Departments first, then the kinds of goods.
    pub(super) categories: Vec<Category>,
    /// In the order of their launch.
    pub(super) products: Vec<Product>,
    /// Per week, the probability that a ticket is never answered.
    ignored_tickets: Vec<f64>,
}

impl Goods {
    pub(super) fn generate(seed: u64) -> Self {
        let categories = categories();
        let mut products: Vec<Product> =
            (0..PRODUCTS).map(|i| product(seed, i, &categories)).collect();
        products.sort_by_key(|product| product.launched);
        Self {
            depots: (0..DEPOTS).map(|i| depot(seed, i)).collect(),
            categories,
            products,
            ignored_tickets: episodes(&mut Random::stream(seed, "desk", 0), 0.06, 0.05, 0.75),
        }
    }

    /// The probability that the depot delivers late what is ordered at `time`.
    pub(super) fn late(&self, depot: usize, time: i64) -> f64 {
        self.depots[depot].late[week(time)]
    }

    /// The probability that a ticket opened at `time` is never answered.
    pub(super) fn ignored(&self, time: i64) -> f64 {
        self.ignored_tickets[week(time)]
    }
}

fn week(time: i64) -> usize {
    ((time - START) / (7 * DAY)).clamp(0, WEEKS as i64 - 1) as usize
}

fn depot(seed: u64, index: usize) -> Depot {
    let mut random = Random::stream(seed, "depot", index);
    let name = format!("{} depot", words::name(&mut random, 3));
    let staff = 8 + random.below(40) as i64;
    Depot { name, staff, late: episodes(&mut random, 0.025, 0.04, 0.8) }
}

/// A level per week: `usual`, but about `bad` during episodes of 5 to 11 weeks, one of which begins
/// in a quiet week with probability `begin`.
fn episodes(random: &mut Random, begin: f64, usual: f64, bad: f64) -> Vec<f64> {
    let mut levels = Vec::with_capacity(WEEKS);
    let (mut left, mut level) = (0, usual);
    for _ in 0..WEEKS {
        if left == 0 {
            level = usual;
            if random.chance(begin) {
                left = 5 + random.below(7);
                level = bad * random.between(0.8, 1.1);
            }
        } else {
            left -= 1;
        }
        levels.push(level);
    }
    levels
}

fn categories() -> Vec<Category> {
    let departments = DEPARTMENTS.iter().map(|(name, _)| Category { name, parent: None });
    let kinds = DEPARTMENTS.iter().enumerate().flat_map(|(parent, (_, kinds))| {
        kinds.iter().map(move |name| Category { name, parent: Some(parent) })
    });
    departments.chain(kinds).collect()
}

fn product(seed: u64, index: usize, categories: &[Category]) -> Product {
    let mut random = Random::stream(seed, "product", index);
    let category = DEPARTMENTS.len() + index % (categories.len() - DEPARTMENTS.len());
    // Goods of one kind come from the same makers.
    let makers = Random::stream(seed, "makers", category).normal();
    let launched = if random.chance(0.6) {
        START
    } else {
        START + random.below(DAYS as usize - 120) as i64 * DAY
    };
    Product {
        name: words::product(&mut random, categories[category].name),
        category,
        price: ((6.0 + 25.0 * random.exponential()) * 20.0).round() / 20.0,
        launched,
        quality: 0.8 * makers + 0.6 * random.normal(),
    }
}
