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

/// What happens when something goes wrong for a part of the rows.
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
    /// From when on a date is known; applied where tables are registered.
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
    /// Quantiles to predict, each between 0 and 1.
    pub quantiles: Option<Vec<f64>>,
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
                    at: Some(name.at),
                    message: format!("option \"{}\" is given twice", name.text),
                    hint: Some("keep one of them".to_owned()),
                });
            }
            options.set_value(&name.text, value, Some(name.at))?;
        }
        Ok(options)
    }

    /// Sets one option from text, as `--set key=value` gives it.
    ///
    /// # Errors
    /// An unknown name, or a value of the wrong type or range.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), QueryError> {
        self.set_value(key.trim(), &OptionValue::from_text(value), None)
    }

    /// Refuses options that can be written but do nothing yet: one that is silently passed over
    /// would be taken for one that worked.
    ///
    /// # Errors
    /// [`QueryError::Option`] naming the first of them.
    pub fn refuse_ignored(&self) -> Result<(), QueryError> {
        let refused = |message: String, hint: &str| {
            Err(QueryError::Option { at: None, message, hint: Some(hint.to_owned()) })
        };
        if let Some(model) = self.model.as_deref().filter(|m| !KINDS_OF_MODEL.contains(m)) {
            let hint = format!("there is one kind, {}", KINDS_OF_MODEL.join(", also called "));
            return refused(format!("models of kind \"{model}\" cannot be trained yet"), &hint);
        }
        let ignored = [
            ("embedding", self.embedding),
            ("horizon", self.horizon.is_some()),
            ("interval", self.interval.is_some()),
            ("keep", !self.keep.is_empty()),
            ("on_error", self.on_error != OnError::default()),
            ("quantiles", self.quantiles.is_some()),
        ];
        if self.history != History::default() {
            return refused(
                "option \"history\" changes neither labels nor training: models are evaluated under both".to_owned(),
                "leave it out; EVALUATE MODEL … WITH (history = …) and `evaluate --history` choose one",
            );
        }
        if let (Some(layers), Some(fanout)) = (self.layers, &self.fanout)
            && layers != fanout.len()
        {
            return refused(
                format!("layers = {layers} and a fanout of {} hops disagree", fanout.len()),
                "a layer is a hop: leave out layers, or give fanout one number per layer",
            );
        }
        match ignored.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                refused(format!("option \"{name}\" does nothing yet"), "leave it out")
            }
            None => Ok(()),
        }
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
                // Better refused than ignored: dates are read as midnights.
                if self.date_known == DateKnown::EndOfDay {
                    return reader.wrong("'start_of_day', the only choice yet");
                }
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
            "interval" => self.interval = Some(reader.share()?),
            "quantiles" => self.quantiles = Some(reader.list(Reader::share)?),
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

    #[test]
    fn options_that_do_nothing_yet_are_refused_by_name() {
        for (name, value) in [
            ("embedding", "true"),
            ("horizon", "1 year"),
            ("interval", "0.9"),
            ("keep", "(a.b)"),
            ("on_error", "skip"),
            ("quantiles", "(0.1, 0.5)"),
        ] {
            let mut options = Options::default();
            options.set(name, value).unwrap();
            let message = options.refuse_ignored().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("option \"{name}\" does nothing yet; ")),
                "{message}"
            );
        }
        let mut options = Options::default();
        for model in KINDS_OF_MODEL {
            options.set("model", model).unwrap();
            options.refuse_ignored().unwrap();
        }
        options.set("model", "gbdt").unwrap();
        let message = options.refuse_ignored().unwrap_err().to_string();
        assert_eq!(
            message,
            "models of kind \"gbdt\" cannot be trained yet; there is one kind, sage, also called auto"
        );
        let mut options = Options::default();
        for (name, value) in [("epochs", "3"), ("entities", "all"), ("on_error", "abort")] {
            options.set(name, value).unwrap();
        }
        options.refuse_ignored().unwrap();
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
        let refusal = |values: &[(&str, &str)]| {
            let mut options = Options::default();
            for (name, value) in values {
                options.set(name, value).unwrap();
            }
            options.refuse_ignored().err().as_ref().map(ToString::to_string)
        };
        assert_eq!(refusal(&[("layers", "2"), ("fanout", "(16, 6)")]), None);
        let message = refusal(&[("layers", "3"), ("fanout", "(16, 6)")]).unwrap();
        assert!(message.starts_with("layers = 3 and a fanout of 2 hops disagree; "), "{message}");
        let message = refusal(&[("history", "frozen")]).unwrap();
        assert!(
            message.starts_with("option \"history\" changes neither labels nor training"),
            "{message}"
        );
        assert_eq!(refusal(&[("history", "rolling")]), None);
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
            error("date_known", "end_of_day"),
            "option \"date_known\" expects 'start_of_day', the only choice yet, found end_of_day"
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
        options.refuse_ignored().unwrap();
        options.set("budget", "none").unwrap();
        assert_eq!(options.budget, None);
    }
}
