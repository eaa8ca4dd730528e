//! Names and notes, put together from parts.

use super::random::Random;

const SYLLABLES: [&str; 24] = [
    "ba", "da", "el", "fi", "ga", "hu", "ja", "ka", "li", "mo", "na", "or", "pe", "ra", "si", "ta",
    "ul", "va", "wen", "xi", "ya", "zo", "bri", "sto",
];
const ADJECTIVES: [&str; 12] = [
    "plain", "sturdy", "light", "folding", "quiet", "bright", "small", "large", "warm", "classic",
    "travel", "garden",
];

/// Departments and the kinds of goods in each.
pub(super) const DEPARTMENTS: [(&str, [&str; 4]); 8] = [
    ("kitchen", ["kettle", "pan", "knife", "bowl"]),
    ("garden", ["spade", "hose", "planter", "lantern"]),
    ("office", ["lamp", "chair", "shelf", "notebook"]),
    ("sport", ["mat", "bottle", "racket", "helmet"]),
    ("children", ["puzzle", "kite", "blocks", "scooter"]),
    ("bath", ["towel", "mirror", "basket", "scale"]),
    ("sound", ["speaker", "radio", "headset", "turntable"]),
    ("workshop", ["drill", "sander", "clamp", "toolbox"]),
];

const PRAISE: [&str; 6] = [
    "exactly as described",
    "would buy it again",
    "better than the one I had",
    "does what it should",
    "arrived well packed",
    "the whole family likes it",
];
const SO_SO: [&str; 4] = [
    "it is all right for the price",
    "smaller than it looks",
    "works, but loud",
    "nothing special",
];
const BLAME: [&str; 6] = [
    "broke after a week",
    "a part was missing",
    "came scratched and will not close",
    "stopped working on the second day",
    "feels cheap, I sent it back",
    "not what the picture shows",
];

/// A made-up word of `syllables` parts with a capital.
pub(super) fn name(random: &mut Random, syllables: usize) -> String {
    let word: String = (0..syllables).map(|_| random.pick(&SYLLABLES)).collect();
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A first and a last name.
pub(super) fn person(random: &mut Random) -> String {
    let (first, last) = (2 + random.below(2), 2 + random.below(2));
    format!("{} {}", name(random, first), name(random, last))
}

/// A product's name.
pub(super) fn product(random: &mut Random, kind: &str) -> String {
    format!("{} {kind} {}", random.pick(&ADJECTIVES), name(random, 2))
}

/// What a review says, by its rating of 1 to 5.
pub(super) fn review(random: &mut Random, kind: &str, rating: i64) -> String {
    let pool: &[&str] = match rating {
        4.. => &PRAISE,
        3 => &SO_SO,
        _ => &BLAME,
    };
    format!("The {kind}: {}.", random.pick(pool))
}

/// What a ticket is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Late,
    Defect,
    Question,
}

impl Topic {
    /// The word in the table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Late => "delivery",
            Self::Defect => "product",
            Self::Question => "question",
        }
    }

    /// What the customer writes.
    pub(super) fn message(self, random: &mut Random) -> String {
        let greeting = random.pick(&["Hello", "Good day", "Dear team"]);
        let complaint = random.pick(match self {
            Self::Late => &[
                "my parcel should have been here days ago",
                "the order is late again, where is it",
                "nobody can tell me when you will deliver",
            ],
            Self::Defect => &[
                "what you sent is broken, please replace it",
                "I want my money back for a faulty product",
                "the product stopped working, what now",
            ],
            Self::Question => &[
                "can I change the address of my account",
                "do you have this in another size",
                "how do I get an invoice for my order",
            ],
        });
        format!("{greeting}, {complaint}.")
    }
}
