//! The options of `WITH (…)` and of `--set`: names, types, ranges.

use serde::{Deserialize, Serialize};

use crate::ast::Name;
use crate::error::{Place, QueryError, did_you_mean};
use crate::time::Span;
use relcast_catalog::parse_time;

/// The value of an option as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OptionValue {
    /// A number, as written.
    Number(String),
    /// A text, a bare word or a date.
    Text(String),
    /// TRUE or FALSE.
    Boolean(bool),
    /// A list in parentheses or brackets.
    List(Vec<OptionValue>),
}

impl OptionValue {
    /// Reads a value from plain text, as the command line gives it: `40`, `true`, `(0.1, 0.5)`, `2020-01-31`, `rolling`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = text.trim();
        let inner = text
            .strip_prefix('(')
            .and_then(|t| t.strip_suffix(')'))
            .or_else(|| text.strip_prefix('[').and_then(|t| t.strip_suffix(']')));
        if let Some(inner) = inner {
            let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Self::List(items.map(Self::single).collect());
        }
        Self::single(text)
    }

    /// A value that is no list: no option takes lists of lists.
    fn single(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "true" => Self::Boolean(true),
            "false" => Self::Boolean(false),
            _ if text.parse::<f64>().is_ok_and(f64::is_finite) => Self::Number(text.to_owned()),
            _ => Self::Text(text.trim_matches('\'').to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(t) | Self::Text(t) => t.clone(),
            Self::Boolean(b) => b.to_string(),
            Self::List(items) => {
                format!("({})", items.iter().map(Self::text).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What of the past is visible when the test split is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// At each cutoff everything known by then.
    #[default]
    Rolling,
    /// Nothing later than the start of the test split.
    Frozen,
}

/// Which entities take part at a cutoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entities {
    /// Those that exist by then.
    #[default]
    Seen,
    /// All rows of the table.
    All,
}

/// From when on a date is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateKnown {
    /// From its midnight.
    #[default]
    StartOfDay,
    /// From the midnight that ends it.
    EndOfDay,
}

/// What happens when something goes wrong for a part of the rows: label rows that cannot be learnt
/// from, or rows of FOR … IN (SELECT …) that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Nothing is written.
    #[default]
    Abort,
    /// The part is left out and reported.
    Skip,
}

/// The options of a statement. `None` means that the engine decides.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Start of the validation split: microseconds, UTC.
    pub val_timestamp: Option<i64>,
    /// Start of the test split: microseconds, UTC.
    pub test_timestamp: Option<i64>,
    /// The earliest training cutoff: microseconds, UTC.
    pub train_start: Option<i64>,
    /// The most evaluation cutoffs per split.
    pub num_eval_timestamps: Option<usize>,
    /// The step between training cutoffs; the horizon if left out.
    pub cutoff_step: Option<Span>,
    /// The horizon, where the statement's target does not say it.
    pub horizon: Option<Span>,
    /// What of the past is visible for the test split.
    pub history: History,
    /// Which entities take part.
    pub entities: Entities,
    /// From when on a date is known; has done its work when a query is bound and a plan is made.
    pub date_known: DateKnown,
    /// The seed of every random stream.
    pub seed: u64,
    /// How long training may take by the clock; it resolves to `epochs` and `max_train_rows`.
    pub budget: Option<Span>,
    /// The kind of model.
    pub model: Option<String>,
    /// Neighbours per hop.
    pub fanout: Option<Vec<usize>>,
    /// Layers of the network.
    pub layers: Option<usize>,
    /// Width of the network.
    pub channels: Option<usize>,
    /// Passes over the training rows.
    pub epochs: Option<usize>,
    /// Seeds per batch.
    pub batch_size: Option<usize>,
    /// The optimiser's step.
    pub learning_rate: Option<f64>,
    /// The most training rows; more are sampled down.
    pub max_train_rows: Option<usize>,
    /// Whether rare classes weigh more.
    pub class_weights: Option<bool>,
    /// The share that prediction intervals should cover, between 0 and 1.
    pub interval: Option<f64>,
    /// The two quantiles that `lower` and `upper` are, ascending, between 0 and 1.
    pub quantiles: Option<[f64; 2]>,
    /// The probability from which on the class is true.
    pub threshold: Option<f64>,
    /// How many classes to return with their probabilities.
    pub top_classes: Option<usize>,
    /// Whether to return the entity's embedding.
    pub embedding: bool,
    /// What happens when something goes wrong for a part of the rows.
    pub on_error: OnError,
    /// Columns to keep although they give the target away.
    pub keep: Vec<String>,
}

/// The names of all options, sorted.
pub const OPTION_NAMES: [&str; 27] = [
    "batch_size",
    "budget",
    "channels",
    "class_weights",
    "cutoff_step",
    "date_known",
    "embedding",
    "entities",
    "epochs",
    "fanout",
    "history",
    "horizon",
    "interval",
    "keep",
    "layers",
    "learning_rate",
    "max_train_rows",
    "model",
    "num_eval_timestamps",
    "on_error",
    "quantiles",
    "seed",
    "test_timestamp",
    "threshold",
    "top_classes",
    "train_start",
    "val_timestamp",
];

/// The largest values of the sizes of a fit. Far beyond what helps, and short of what would take all
/// memory or never end.
const MOST_CHANNELS: usize = 2_048;
const MOST_LAYERS: usize = 6;
const MOST_NEIGHBOURS: usize = 1_024;
const MOST_EPOCHS: usize = 10_000;
const MOST_SEEDS_PER_BATCH: usize = 16_384;

/// What the option `model` may say: there is one kind so far, so `auto` chooses it.
const KINDS_OF_MODEL: [&str; 2] = ["sage", "auto"];

/// The options that a prediction by a model may be given; all others are decided in training.
const OF_PREDICTIONS: [&str; 7] =
    ["embedding", "entities", "interval", "on_error", "quantiles", "threshold", "top_classes"];

/// An option that would do nothing.
pub(crate) struct Ignored {
    pub(crate) name: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Where the option `name` stands among those `written`.
#[must_use]
pub fn option_place(written: &[(Name, OptionValue)], name: &str) -> Option<Place> {
    let (name, _) = written.iter().find(|(written, _)| is(written, name))?;
    place_of(name)
}

/// Where a name stands; nowhere if it comes from outside of a statement.
fn place_of(name: &Name) -> Option<Place> {
    Some(name.at).filter(|at| *at != Place::default())
}

impl Options {
    /// Options from a statement's WITH.
    ///
    /// # Errors
    /// An unknown name, a name given twice, or a value of the wrong type or range.
    pub fn from_statement(written: &[(Name, OptionValue)]) -> Result<Self, QueryError> {
        let mut options = Self::default();
        for (i, (name, value)) in written.iter().enumerate() {
            let earlier = written.get(..i).unwrap_or_default();
            if earlier.iter().any(|(n, _)| n.text.eq_ignore_ascii_case(&name.text)) {
                return Err(QueryError::Option {
                    at: place_of(name),
                    message: format!("option \"{}\" is given twice", name.text),
                    hint: Some("keep one of them".to_owned()),
                });
            }
            options.set_value(&name.text, value, place_of(name))?;
        }
        let find = |option: &str| written.iter().find(|(name, _)| is(name, option));
        if let (Some((interval, _)), Some((quantiles, _))) = (find("interval"), find("quantiles")) {
            return Err(QueryError::Option {
                at: place_of(interval).max(place_of(quantiles)),
                message: "options \"interval\" and \"quantiles\" both say what lower and upper are"
                    .to_owned(),
                hint: Some("keep one of them".to_owned()),
            });
        }
        Ok(options)
    }

    /// The options `written` for a prediction by a model, by name and value, to be set over those of
    /// its training.
    ///
    /// # Errors
    /// As [`Options::from_statement`], and for an option that is decided in training.
    pub fn of_prediction(
        written: &[(Name, OptionValue)],
    ) -> Result<Vec<(String, String)>, QueryError> {
        Self::from_statement(written)?;
        let decided = |(name, _): &&(Name, OptionValue)| !is_of_predictions(name);
        if let Some((name, _)) = written.iter().find(decided) {
            return Err(QueryError::Option {
                at: place_of(name),
                message: format!(
                    "option \"{}\" is decided when a model is trained",
                    name.text.to_ascii_lowercase()
                ),
                hint: Some(format!(
                    "a prediction takes {}; the others belong to CREATE MODEL",
                    OF_PREDICTIONS.join(", ")
                )),
            });
        }
        Ok(written.iter().map(|(name, value)| (name.text.clone(), value.text())).collect())
    }

    /// Of the options `written` for a query, those that training reads: whoever asks the same with
    /// others of predictions asks the same model.
    #[must_use]
    pub fn of_training(written: &[(Name, OptionValue)]) -> Vec<(Name, OptionValue)> {
        let shared = |name: &Name| ["entities", "on_error"].iter().any(|n| is(name, n));
        let of_training =
            |(name, _): &&(Name, OptionValue)| shared(name) || !is_of_predictions(name);
        written.iter().filter(of_training).cloned().collect()
    }

    /// The quantiles that `lower` and `upper` are, where they are asked for.
    #[must_use]
    pub fn band(&self) -> Option<[f64; 2]> {
        let around = |share: f64| [(1.0 - share) / 2.0, (1.0 + share) / 2.0];
        self.quantiles.or(self.interval.map(around))
    }

    /// Sets one option from text, as `--set key=value` gives it.
    ///
    /// # Errors
    /// An unknown name, or a value of the wrong type or range.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), QueryError> {
        self.set_value(key.trim(), &OptionValue::from_text(value), None)
    }

    /// The first option that can be written but does nothing, whatever is predicted.
    pub(crate) fn find_ignored(&self) -> Option<Ignored> {
        let ignored = |name, message: String, hint: &str| {
            Some(Ignored { name, message, hint: hint.to_owned() })
        };
        if let Some(model) = self.model.as_deref().filter(|m| !KINDS_OF_MODEL.contains(m)) {
            let hint = format!("there is one kind, {}", KINDS_OF_MODEL.join(", also called "));
            let message = format!("models of kind \"{model}\" cannot be trained yet");
            return ignored("model", message, &hint);
        }
        if self.history != History::default() {
            return ignored(
                "history",
                "option \"history\" changes neither labels nor training: models are evaluated under both".to_owned(),
                "leave it out; EVALUATE MODEL … WITH (history = …) and `evaluate --history` choose one",
            );
        }
        if let (Some(layers), Some(fanout)) = (self.layers, &self.fanout)
            && layers != fanout.len()
        {
            return ignored(
                "layers",
                format!("layers = {layers} and a fanout of {} hops disagree", fanout.len()),
                "a layer is a hop: leave out layers, or give fanout one number per layer",
            );
        }
        let nothing_yet = [("horizon", self.horizon.is_some()), ("keep", !self.keep.is_empty())];
        let (name, _) = nothing_yet.into_iter().find(|(_, given)| *given)?;
        ignored(name, format!("option \"{name}\" does nothing yet"), "leave it out")
    }

    fn set_value(
        &mut self,
        key: &str,
        value: &OptionValue,
        at: Option<Place>,
    ) -> Result<(), QueryError> {
        let name = key.to_ascii_lowercase();
        let reader = Reader { name: &name, value, at };
        match name.as_str() {
            "val_timestamp" => self.val_timestamp = Some(reader.time()?),
            "test_timestamp" => self.test_timestamp = Some(reader.time()?),
            "train_start" => self.train_start = Some(reader.time()?),
            "num_eval_timestamps" => self.num_eval_timestamps = Some(reader.count()?),
            "cutoff_step" => self.cutoff_step = Some(reader.span()?),
            "horizon" => self.horizon = Some(reader.span()?),
            "history" => {
                self.history =
                    reader.choice(&[("rolling", History::Rolling), ("frozen", History::Frozen)])?;
            }
            "entities" => {
                self.entities =
                    reader.choice(&[("seen", Entities::Seen), ("all", Entities::All)])?;
            }
            "date_known" => {
                self.date_known = reader.choice(&[
                    ("start_of_day", DateKnown::StartOfDay),
                    ("end_of_day", DateKnown::EndOfDay),
                ])?;
            }
            "seed" => self.seed = reader.whole()?,
            "budget" => self.budget = reader.budget()?,
            "model" => self.model = Some(reader.word()?),
            "fanout" => {
                let neighbours = reader.list(|item| item.count_up_to(MOST_NEIGHBOURS))?;
                if neighbours.is_empty() || neighbours.len() > MOST_LAYERS {
                    return reader.wrong(&format!("1 to {MOST_LAYERS} numbers, one per hop"));
                }
                self.fanout = Some(neighbours);
            }
            "layers" => self.layers = Some(reader.count_up_to(MOST_LAYERS)?),
            "channels" => self.channels = Some(reader.count_up_to(MOST_CHANNELS)?),
            "epochs" => self.epochs = Some(reader.count_up_to(MOST_EPOCHS)?),
            "batch_size" => self.batch_size = Some(reader.count_up_to(MOST_SEEDS_PER_BATCH)?),
            "learning_rate" => self.learning_rate = Some(reader.positive()?),
            "max_train_rows" => self.max_train_rows = Some(reader.count()?),
            "class_weights" => self.class_weights = Some(reader.boolean()?),
            // Each says what lower and upper are: the later one counts.
            "interval" => (self.interval, self.quantiles) = (Some(reader.share()?), None),
            "quantiles" => (self.interval, self.quantiles) = (None, Some(reader.two_shares()?)),
            "threshold" => self.threshold = Some(reader.share()?),
            "top_classes" => self.top_classes = Some(reader.count()?),
            "embedding" => self.embedding = reader.boolean()?,
            "on_error" => {
                self.on_error =
                    reader.choice(&[("abort", OnError::Abort), ("skip", OnError::Skip)])?;
            }
            "keep" => self.keep = reader.list(Reader::word)?,
            _ => {
                return Err(QueryError::Option {
                    at,
                    message: format!("no option \"{key}\""),
                    hint: did_you_mean(key, OPTION_NAMES),
                });
            }
        }
        Ok(())
    }
}

fn is(name: &Name, option: &str) -> bool {
    name.text.eq_ignore_ascii_case(option)
}

fn is_of_predictions(name: &Name) -> bool {
    OF_PREDICTIONS.iter().any(|option| is(name, option))
}

/// Reads one option's value as the type it should have.
struct Reader<'a> {
    name: &'a str,
    value: &'a OptionValue,
    at: Option<Place>,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, expected: &str) -> Result<T, QueryError> {
        self.wrong_with_hint(expected, None)
    }

    fn wrong_with_hint<T>(&self, expected: &str, hint: Option<String>) -> Result<T, QueryError> {
        Err(QueryError::Option {
            at: self.at,
            message: format!(
                "option \"{}\" expects {expected}, found {}",
                self.name,
                self.value.text()
            ),
            hint,
        })
    }

    fn word(&self) -> Result<String, QueryError> {
        match self.value {
            OptionValue::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => self.wrong("a text"),
        }
    }

    fn time(&self) -> Result<i64, QueryError> {
        let time = match self.value {
            OptionValue::Text(text) => parse_time(text),
            _ => None,
        };
        time.map_or_else(|| self.wrong("a time such as '2020-01-31'"), Ok)
    }

    fn span(&self) -> Result<Span, QueryError> {
        let span = match self.value {
            OptionValue::Text(text) | OptionValue::Number(text) => Span::parse(text),
            _ => None,
        };
        match span {
            Some(span) if span.comparable() > 0 => Ok(span),
            _ => self.wrong("a duration such as '30 days'"),
        }
    }

    /// A duration of the clock with its unit; `none` lifts a budget that was given before.
    fn budget(&self) -> Result<Option<Span>, QueryError> {
        let span = match self.value {
            OptionValue::Text(text) if text.eq_ignore_ascii_case("none") => return Ok(None),
            OptionValue::Text(text) if text.chars().any(char::is_alphabetic) => Span::parse(text),
            _ => None,
        };
        match span {
            Some(Span::Micros(micros)) if micros > 0 => Ok(span),
            _ => self.wrong("a duration such as '30s' or '5 minutes'"),
        }
    }

    fn whole(&self) -> Result<u64, QueryError> {
        let whole = match self.value {
            OptionValue::Number(text) => text.parse().ok(),
            _ => None,
        };
        whole.map_or_else(|| self.wrong("a whole number"), Ok)
    }

    fn count(&self) -> Result<usize, QueryError> {
        match self.whole().ok().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n > 0 => Ok(n),
            _ => self.wrong("a whole number above 0"),
        }
    }

    fn count_up_to(&self, most: usize) -> Result<usize, QueryError> {
        match self.count() {
            Ok(n) if n <= most => Ok(n),
            _ => self.wrong(&format!("a whole number from 1 to {most}")),
        }
    }

    fn number(&self) -> Option<f64> {
        match self.value {
            OptionValue::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn positive(&self) -> Result<f64, QueryError> {
        match self.number() {
            Some(n) if n > 0.0 && n.is_finite() => Ok(n),
            _ => self.wrong("a number above 0"),
        }
    }

    fn share(&self) -> Result<f64, QueryError> {
        match self.number() {
            Some(n) if n > 0.0 && n < 1.0 => Ok(n),
            _ => self.wrong("a number between 0 and 1"),
        }
    }

    fn two_shares(&self) -> Result<[f64; 2], QueryError> {
        match self.list(Self::share)?.as_slice() {
            [low, high] if low < high => Ok([*low, *high]),
            _ => {
                self.wrong("two numbers between 0 and 1, such as (0.1, 0.9), the smaller one first")
            }
        }
    }

    fn boolean(&self) -> Result<bool, QueryError> {
        match self.value {
            OptionValue::Boolean(b) => Ok(*b),
            _ => self.wrong("true or false"),
        }
    }

    fn list<T>(
        &self,
        item: impl Fn(&Reader<'a>) -> Result<T, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        let items = match self.value {
            OptionValue::List(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        items.iter().map(|value| item(&Reader { name: self.name, value, at: self.at })).collect()
    }

    fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, QueryError> {
        let found = match self.value {
            OptionValue::Text(text) => {
                choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))
            }
            _ => None,
        };
        if let Some((_, choice)) = found {
            return Ok(*choice);
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
        let nearest = did_you_mean(&self.value.text(), choices.iter().map(|(name, _)| *name));
        self.wrong_with_hint(&names.join(" or "), nearest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_option_can_be_set_from_text() {
        let values = [
            ("batch_size", "512"),
            ("budget", "10 minutes"),
            ("channels", "64"),
            ("class_weights", "true"),
            ("cutoff_step", "7 days"),
            ("date_known", "start_of_day"),
            ("embedding", "true"),
            ("entities", "all"),
            ("epochs", "3"),
            ("fanout", "(16, 8)"),
            ("history", "frozen"),
            ("horizon", "1 year"),
            ("interval", "0.9"),
            ("keep", "(a.b, c)"),
            ("layers", "2"),
            ("learning_rate", "0.01"),
            ("max_train_rows", "1000"),
            ("model", "gbdt"),
            ("num_eval_timestamps", "40"),
            ("on_error", "skip"),
            ("quantiles", "(0.1, 0.5)"),
            ("seed", "7"),
            ("test_timestamp", "2020-01-31"),
            ("threshold", "0.3"),
            ("top_classes", "5"),
            ("train_start", "'2019-01-01'"),
            ("val_timestamp", "2020-01-01 12:00:00"),
        ];
        assert_eq!(values.map(|(name, _)| name), OPTION_NAMES);
        let mut options = Options::default();
        for (name, value) in values {
            options.set(name, value).unwrap();
        }
        assert_eq!(options.fanout, Some(vec![16, 8]));
        assert_eq!(options.keep, ["a.b", "c"]);
        assert_eq!(options.cutoff_step, Span::parse("7 days"));
        assert_eq!((options.history, options.entities), (History::Frozen, Entities::All));
    }

    fn ignored(values: &[(&str, &str)]) -> Option<String> {
        let mut options = Options::default();
        for (name, value) in values {
            options.set(name, value).unwrap();
        }
        options.find_ignored().map(|Ignored { message, hint, .. }| format!("{message}; {hint}"))
    }

    #[test]
    fn options_that_do_nothing_yet_are_named() {
        for (name, value) in [("horizon", "1 year"), ("keep", "(a.b)")] {
            let message = ignored(&[(name, value)]).unwrap();
            assert_eq!(message, format!("option \"{name}\" does nothing yet; leave it out"));
        }
        for model in KINDS_OF_MODEL {
            assert_eq!(ignored(&[("model", model)]), None);
        }
        assert_eq!(
            ignored(&[("model", "gbdt")]).unwrap(),
            "models of kind \"gbdt\" cannot be trained yet; there is one kind, sage, also called auto"
        );
        assert_eq!(ignored(&[("epochs", "3"), ("entities", "all"), ("on_error", "skip")]), None);
    }

    #[test]
    fn interval_and_quantiles_say_the_same_two_bounds() {
        let mut options = Options::default();
        assert_eq!(options.band(), None);
        options.set("interval", "0.5").unwrap();
        assert_eq!(options.band(), Some([0.25, 0.75]));
        options.set("quantiles", "(0.1, 0.5)").unwrap();
        assert_eq!((options.interval, options.band()), (None, Some([0.1, 0.5])));
        options.set("interval", "0.9").unwrap();
        assert_eq!(options.quantiles, None);
        for wrong in ["0.1", "(0.5, 0.1)", "(0.1, 0.5, 0.9)", "(0, 1)"] {
            assert!(options.set("quantiles", wrong).is_err(), "{wrong}");
        }
    }

    fn written(options: &[(&str, OptionValue)]) -> Vec<(Name, OptionValue)> {
        let named = |(column, (name, value)): (u64, &(&str, OptionValue))| {
            let at = Place { line: 1, column };
            (Name { text: (*name).to_owned(), at }, value.clone())
        };
        (1..).zip(options).map(named).collect()
    }

    #[test]
    fn options_of_predictions_and_of_training_are_told_apart() {
        let list = ["0.1", "0.5"].map(|text| OptionValue::Number(text.to_owned()));
        let all = written(&[
            ("Quantiles", OptionValue::List(list.to_vec())),
            ("on_error", OptionValue::Text("skip".to_owned())),
            ("epochs", OptionValue::Number("1".to_owned())),
        ]);
        let given = Options::of_prediction(&all[..2]).unwrap();
        let mut options = Options::default();
        for (name, value) in &given {
            options.set(name, value).unwrap();
        }
        assert_eq!((options.band(), options.on_error), (Some([0.1, 0.5]), OnError::Skip));
        let message = Options::of_prediction(&all).unwrap_err().to_string();
        assert!(
            message.starts_with(
                "line 1, column 3: option \"epochs\" is decided when a model is trained; "
            ),
            "{message}"
        );
        assert_eq!(Options::of_training(&all), all[1..]);
        let both = written(&[
            ("interval", OptionValue::Number("0.9".to_owned())),
            ("quantiles", all[0].1.clone()),
        ]);
        let message = Options::from_statement(&both).unwrap_err().to_string();
        assert!(message.starts_with("line 1, column 2: options \"interval\" and"), "{message}");
    }

    #[test]
    fn sizes_have_an_upper_bound() {
        for (name, most, beyond) in [
            ("channels", "2048", "200000"),
            ("layers", "6", "16"),
            ("fanout", "(1024, 1)", "(1025, 1)"),
            ("epochs", "10000", "10001"),
            ("batch_size", "16384", "99999999999999999999999"),
        ] {
            let mut options = Options::default();
            options.set(name, most).unwrap();
            let message = options.set(name, beyond).unwrap_err().to_string();
            let start = format!("option \"{name}\" expects a whole number from 1 to ");
            assert!(message.starts_with(&start), "{message}");
        }
        for fanout in ["()", "(1, 1, 1, 1, 1, 1, 1)"] {
            let message = Options::default().set("fanout", fanout).unwrap_err().to_string();
            assert!(message.contains("expects 1 to 6 numbers, one per hop"), "{message}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_or_do_nothing_in_training_are_refused() {
        assert_eq!(ignored(&[("layers", "2"), ("fanout", "(16, 6)")]), None);
        let message = ignored(&[("layers", "3"), ("fanout", "(16, 6)")]).unwrap();
        assert!(message.starts_with("layers = 3 and a fanout of 2 hops disagree; "), "{message}");
        let message = ignored(&[("history", "frozen")]).unwrap();
        assert!(
            message.starts_with("option \"history\" changes neither labels nor training"),
            "{message}"
        );
        assert_eq!(ignored(&[("history", "rolling")]), None);
    }

    #[test]
    fn a_wrong_option_says_what_was_expected() {
        let mut options = Options::default();
        let mut error = |key, value| options.set(key, value).unwrap_err().to_string();
        assert_eq!(error("epoch", "3"), "no option \"epoch\"; did you mean \"epochs\"?");
        assert_eq!(
            error("epochs", "0"),
            "option \"epochs\" expects a whole number from 1 to 10000, found 0"
        );
        assert_eq!(
            error("max_train_rows", "0"),
            "option \"max_train_rows\" expects a whole number above 0, found 0"
        );
        assert_eq!(
            error("history", "froze"),
            "option \"history\" expects 'rolling' or 'frozen', found froze; did you mean \"frozen\"?"
        );
        assert_eq!(
            error("date_known", "end_of_days"),
            "option \"date_known\" expects 'start_of_day' or 'end_of_day', found end_of_days; did you mean \"end_of_day\"?"
        );
        assert_eq!(
            error("interval", "90"),
            "option \"interval\" expects a number between 0 and 1, found 90"
        );
        assert_eq!(
            error("budget", "soon"),
            "option \"budget\" expects a duration such as '30s' or '5 minutes', found soon"
        );
        for no_clock in ["30", "1 month", "0s", "-5s"] {
            assert!(error("budget", no_clock).contains("expects a duration"), "{no_clock}");
        }
    }

    #[test]
    fn a_budget_is_a_time_of_the_clock_and_can_be_lifted() {
        let mut options = Options::default();
        options.set("budget", "30s").unwrap();
        assert_eq!(options.budget, Span::parse("30 seconds"));
        assert!(options.find_ignored().is_none());
        options.set("budget", "none").unwrap();
        assert_eq!(options.budget, None);
    }
}
