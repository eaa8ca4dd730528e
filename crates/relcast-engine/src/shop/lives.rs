//! The customers' lives: what they order, how it goes, and when they have had enough.

use super::goods::Goods;
use super::random::Random;
use super::words::{self, DEPARTMENTS, Topic};
use super::{DAY, DAYS, END, START};

const CUSTOMERS: usize = 3500;
/// Days in which half of the anger is forgotten.
const HALF_LIFE: f64 = 50.0;

pub(super) struct Customer {
    pub(super) name: String,
    pub(super) birth_year: i64,
    pub(super) segment: &'static str,
    pub(super) channel: &'static str,
    pub(super) newsletter: bool,
    pub(super) signed_up: i64,
}

pub(super) struct Address {
    pub(super) customer: usize,
    pub(super) depot: usize,
    pub(super) city: String,
    pub(super) since: i64,
}

pub(super) struct Order {
    pub(super) customer: usize,
    /// Position of the address.
    pub(super) address: usize,
    pub(super) time: i64,
    pub(super) promised: i64,
    pub(super) delivered: i64,
    pub(super) payment: &'static str,
    /// (position of the product, quantity).
    pub(super) items: Vec<(usize, i64)>,
}

pub(super) struct Review {
    pub(super) customer: usize,
    pub(super) product: usize,
    pub(super) time: i64,
    pub(super) rating: i64,
    pub(super) note: String,
}

pub(super) struct Ticket {
    pub(super) customer: usize,
    /// When the order it is about was placed: with the customer, this names the order.
    pub(super) ordered: i64,
    pub(super) time: i64,
    pub(super) topic: Topic,
    pub(super) message: String,
    pub(super) answered: Option<i64>,
    pub(super) solved: bool,
}

/// All that happened; every list in the order of time, ties by customer.
pub(super) struct Lives {
    pub(super) customers: Vec<Customer>,
    pub(super) addresses: Vec<Address>,
    pub(super) orders: Vec<Order>,
    pub(super) reviews: Vec<Review>,
    pub(super) tickets: Vec<Ticket>,
}

impl Lives {
    pub(super) fn generate(seed: u64, goods: &Goods) -> Self {
        let mut customers: Vec<Customer> = (0..CUSTOMERS).map(|i| customer(seed, i)).collect();
        customers.sort_by_key(|customer| customer.signed_up);
        let mut all = Self {
            customers: Vec::new(),
            addresses: Vec::new(),
            orders: Vec::new(),
            reviews: Vec::new(),
            tickets: Vec::new(),
        };
        for (id, customer) in customers.iter().enumerate() {
            Life::of(seed, id, customer, goods, &mut all).run();
        }
        all.customers = customers;
        all.orders.sort_by_key(|order| (order.time, order.customer));
        all.reviews.sort_by_key(|review| (review.time, review.customer, review.product));
        all.tickets.sort_by_key(|ticket| (ticket.time, ticket.customer));
        all
    }
}

fn customer(seed: u64, index: usize) -> Customer {
    let mut random = Random::stream(seed, "customer", index);
    // The shop exists already: a quarter of the customers signs up in the first month.
    let day = if random.chance(0.25) { random.below(30) } else { random.below(DAYS as usize - 30) };
    Customer {
        name: words::person(&mut random),
        birth_year: 1945 + random.below(60) as i64,
        segment: if random.chance(0.15) { "business" } else { "private" },
        channel: random.pick(&["search", "friend", "advert", "market"]),
        newsletter: random.chance(0.4),
        signed_up: START + day as i64 * DAY + days(random.uniform()),
    }
}

/// One customer's life as it unfolds.
struct Life<'a> {
    random: Random,
    id: usize,
    goods: &'a Goods,
    all: &'a mut Lives,
    now: i64,
    /// Mean days between orders.
    pace: f64,
    /// How easily he leaves, in log odds.
    restless: f64,
    payment: &'static str,
    /// The department he mostly buys from.
    favourite: usize,
    /// What has gone wrong lately, fading.
    anger: f64,
    /// When `anger` was last brought up to date.
    anger_at: i64,
}

impl<'a> Life<'a> {
    fn of(seed: u64, id: usize, customer: &Customer, goods: &'a Goods, all: &'a mut Lives) -> Self {
        let mut random = Random::stream(seed, "life", id);
        let business = if customer.segment == "business" { 0.8 } else { 1.0 };
        let by_channel = match customer.channel {
            "friend" => -0.6,
            "advert" => 0.7,
            "market" => 0.2,
            _ => 0.0,
        };
        Self {
            pace: 19.0 * business * (0.4 * random.normal()).exp(),
            restless: by_channel + if customer.newsletter { -0.4 } else { 0.3 },
            payment: random.pick(&["card", "invoice", "transfer"]),
            favourite: random.below(DEPARTMENTS.len()),
            now: customer.signed_up,
            anger: 0.0,
            anger_at: customer.signed_up,
            random,
            id,
            goods,
            all,
        }
    }

    fn run(&mut self) {
        let mut address = self.move_to(self.now);
        let moves_at = self.now + days(self.random.between(100.0, 2500.0));
        self.now += days(0.01 + 2.0 * self.random.exponential());
        while self.now < END {
            if self.now >= moves_at && self.all.addresses[address].since < moves_at {
                address = self.move_to(moves_at);
            }
            self.order(address);
            let gap = if self.leaves() {
                if self.random.chance(0.6) {
                    return;
                }
                self.random.between(150.0, 500.0)
            } else {
                // A sum of three waits: neither clockwork nor pure chance.
                let wait = (0..3).map(|_| self.random.exponential()).sum::<f64>() / 3.0;
                0.5 + self.pace * wait * (0.15 * self.anger).exp()
            };
            self.now += days(gap / self.season());
        }
    }

    /// Adds an address and gives its position.
    fn move_to(&mut self, since: i64) -> usize {
        let depot = self.random.below(self.goods.depots.len());
        let city = words::name(&mut Random::stream(depot as u64, "city", self.random.below(6)), 3);
        self.all.addresses.push(Address { customer: self.id, depot, city, since });
        self.all.addresses.len() - 1
    }

    /// People buy more before the year ends.
    fn season(&self) -> f64 {
        let day_of_year = ((self.now - START) / DAY) % 365;
        if (310..355).contains(&day_of_year) { 1.35 } else { 1.0 }
    }

    /// Whether he has had enough after the order just placed.
    fn leaves(&mut self) -> bool {
        let log_odds = -4.3 + 1.9 * self.anger + self.restless;
        self.random.chance(1.0 / (1.0 + (-log_odds).exp()))
    }

    fn annoy(&mut self, time: i64, amount: f64) {
        let elapsed = (time - self.anger_at).max(0) as f64 / DAY as f64;
        self.anger = (self.anger * 0.5_f64.powf(elapsed / HALF_LIFE) + amount).max(-0.5);
        self.anger_at = self.anger_at.max(time);
    }

    fn order(&mut self, address: usize) {
        let time = self.now;
        self.annoy(time, 0.0);
        let depot = self.all.addresses[address].depot;
        let promised = time + 3 * DAY;
        let is_late = self.random.chance(self.goods.late(depot, time));
        let late_days =
            if is_late { self.random.between(1.0, 9.0) } else { -self.random.between(0.2, 2.0) };
        let delivered = promised + days(late_days);
        let items = self.basket();
        let payment = self.payment;
        self.all.orders.push(Order {
            customer: self.id,
            address,
            time,
            promised,
            delivered,
            payment,
            items: items.clone(),
        });
        if is_late {
            self.annoy(time, 0.3 + 0.1 * late_days);
            if self.random.chance(0.1 + 0.05 * late_days) {
                let opened = promised + days(self.random.between(0.3, late_days + 1.0));
                self.ticket(opened, time, Topic::Late);
            }
        }
        for (product, _) in items {
            self.use_product(product, time, delivered);
        }
        if self.random.chance(0.04) {
            let opened = time + days(self.random.between(0.1, 6.0));
            self.ticket(opened, time, Topic::Question);
        }
    }

    /// One to four products on sale, mostly from the favourite department.
    fn basket(&mut self) -> Vec<(usize, i64)> {
        let on_sale = self.goods.products.partition_point(|product| product.launched <= self.now);
        let mut items: Vec<(usize, i64)> = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let mut product = self.random.below(on_sale);
            for _ in 0..12 {
                let category = self.goods.products[product].category;
                if self.goods.categories[category].parent == Some(self.favourite)
                    || self.random.chance(0.04)
                {
                    break;
                }
                product = self.random.below(on_sale);
            }
            if items.iter().all(|(known, _)| *known != product) {
                items.push((product, 1 + self.random.below(3) as i64 / 2));
            }
        }
        items
    }

    fn use_product(&mut self, product: usize, ordered: i64, delivered: i64) {
        let quality = self.goods.products[product].quality;
        let breaks = self.random.chance(1.0 / (1.0 + (2.6 + 2.2 * quality).exp()));
        if breaks {
            self.annoy(ordered, 0.55);
            if self.random.chance(0.3) {
                let opened = delivered + days(self.random.between(0.5, 12.0));
                self.ticket(opened, ordered, Topic::Defect);
            }
        } else {
            self.annoy(ordered, -0.03);
        }
        if self.random.chance(if breaks { 0.35 } else { 0.2 }) {
            let seen =
                4.0 + 0.9 * quality - if breaks { 1.8 } else { 0.0 } + 0.6 * self.random.normal();
            let rating = seen.round().clamp(1.0, 5.0) as i64;
            let time = delivered + days(self.random.between(0.5, 15.0));
            let kind = self.goods.categories[self.goods.products[product].category].name;
            let note = words::review(&mut self.random, kind, rating);
            self.all.reviews.push(Review { customer: self.id, product, time, rating, note });
        }
    }

    fn ticket(&mut self, time: i64, ordered: i64, topic: Topic) {
        let is_ignored = self.random.chance(self.goods.ignored(time));
        let wait = 0.1 + 1.2 * self.random.exponential();
        let answered = (!is_ignored).then(|| time + days(wait));
        let solved = self.random.chance(if topic == Topic::Question { 0.9 } else { 0.6 });
        let message = topic.message(&mut self.random);
        self.all.tickets.push(Ticket {
            customer: self.id,
            ordered,
            time,
            topic,
            message,
            answered,
            solved,
        });
        self.annoy(
            ordered,
            match answered {
                None => 0.9,
                Some(_) if solved => -0.25,
                Some(_) => 0.15,
            },
        );
    }
}

/// Days as microseconds.
fn days(days: f64) -> i64 {
    (days * DAY as f64) as i64
}
