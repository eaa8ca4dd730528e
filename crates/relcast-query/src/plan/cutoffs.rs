//! Cutoffs of the splits: validation and test step forward from their starts, training steps back.
//!
//! No label window crosses into the next split: a split's last cutoff plus the horizon is at most
//! the start of the next one, and for test the end of the data.

use serde::{Deserialize, Serialize};

use relcast_catalog::format_time;

use crate::error::QueryError;
use crate::options::Options;
use crate::time::{Horizon, Span};

/// More cutoffs than this are not even counted.
const MOST: usize = 1_000_000;
/// The most cutoffs of a split: the label rows of all of them are held in memory.
const MOST_OF_SPLIT: usize = 20_000;

/// One of the three parts that the past is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What a model is fitted to.
    Train,
    /// What a model is chosen by.
    Val,
    /// What a model is judged by.
    Test,
}

impl Split {
    /// All splits in the order of time.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The split's name, as label files spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// The cutoffs of each split, ascending: microseconds, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cutoffs {
    /// Training cutoffs.
    pub train: Vec<i64>,
    /// Validation cutoffs.
    pub val: Vec<i64>,
    /// Test cutoffs.
    pub test: Vec<i64>,
    /// How far each label looks ahead.
    pub horizon: Horizon,
    /// How far apart the cutoffs to learn from lie.
    pub step: Span,
    /// The newest time in what the target reads. Labels are taken from no later one, but for those of
    /// a task in SQL: all tables decide where its windows lie.
    pub data_end: i64,
    /// Start of the validation split.
    pub val_timestamp: i64,
    /// Start of the test split.
    pub test_timestamp: i64,
}

impl Cutoffs {
    /// The cutoffs of one split, ascending.
    #[must_use]
    pub fn of(&self, split: Split) -> &[i64] {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
            Split::Test => &self.test,
        }
    }

    /// The cutoffs from the start of validation on, as far apart as those to learn from, whose
    /// windows have closed by `until`; ascending.
    #[must_use]
    pub fn closed_from_validation(&self, until: i64) -> Vec<i64> {
        if self.horizon.comparable() <= 0 {
            return Vec::new();
        }
        let cutoffs = steps(self.step).map(|s| s.after(self.val_timestamp));
        cutoffs.take_while(|c| self.horizon.after(*c) <= until).take(MOST).collect()
    }

    /// All cutoffs, ascending, each once.
    #[must_use]
    pub fn all(&self) -> Vec<i64> {
        let mut all = [self.train.as_slice(), &self.val, &self.test].concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The times that cutoffs are laid out between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Training starts no earlier, unless an option says otherwise.
    pub(super) train_from: i64,
    /// The first time in the data.
    pub(super) first: i64,
    /// The last time that labels may be taken from.
    pub(super) last: i64,
}

/// The cutoffs for windows of this horizon. `declared` are the starts of validation and test where
/// the source declares them; options go before them.
pub(super) fn lay_out(
    extent: Extent,
    horizon: Horizon,
    options: &Options,
    declared: (Option<i64>, Option<i64>),
) -> Result<Cutoffs, QueryError> {
    let step = options.cutoff_step.unwrap_or(horizon);
    if horizon.comparable() <= 0 || step.comparable() <= 0 {
        return Err(too_few(
            "the horizon and cutoff_step must be longer than nothing",
            extent,
            horizon,
        ));
    }
    let first = options.train_start.unwrap_or(extent.first);
    let train_from = options.train_start.unwrap_or(extent.train_from);
    let possible = count_possible(first, extent.last, horizon);
    if possible < 3 {
        let why = format!(
            "train, validation and test need at least 3 cutoffs, the data have room for {possible}"
        );
        return Err(too_few(&why, extent, horizon));
    }
    let (val_timestamp, test_timestamp, most) =
        starts(extent.last, horizon, options, declared, possible);
    if val_timestamp >= test_timestamp {
        let why = format!(
            "val_timestamp {} is not before test_timestamp {}",
            format_time(val_timestamp),
            format_time(test_timestamp)
        );
        return Err(too_few(&why, extent, horizon));
    }
    let most = options.num_eval_timestamps.or(most).unwrap_or(MOST);
    let val = step_forward(val_timestamp, horizon.before(test_timestamp), horizon, most);
    let test = step_forward(test_timestamp, horizon.before(extent.last), horizon, most);
    let train = step_back(horizon.before(val_timestamp), train_from, step);
    for (split, cutoffs) in [("train", &train), ("val", &val), ("test", &test)] {
        if cutoffs.is_empty() {
            let why = format!(
                "the {split} split has no cutoff (val_timestamp {}, test_timestamp {})",
                format_time(val_timestamp),
                format_time(test_timestamp)
            );
            return Err(too_few(&why, extent, horizon));
        }
        if cutoffs.len() > MOST_OF_SPLIT {
            return Err(too_many(split, cutoffs.len(), step));
        }
    }
    let data_end = extent.last;
    Ok(Cutoffs { train, val, test, horizon, step, data_end, val_timestamp, test_timestamp })
}

/// The starts of validation and test, and the most evaluation cutoffs where nothing declares the starts.
fn starts(
    last: i64,
    horizon: Horizon,
    options: &Options,
    declared: (Option<i64>, Option<i64>),
    possible: usize,
) -> (i64, i64, Option<usize>) {
    let tenth = (possible / 10).max(1);
    let back_from = |time: i64| steps_before(time, horizon, tenth);
    // Declared starts that leave no room before the end of the data, as with an early AS OF, give way.
    let fits = |time: &i64| horizon.after(*time) <= last;
    let declared_test = declared.1.filter(fits);
    let declared_val = declared.0.filter(|_| declared.1.is_none() || declared_test.is_some());
    let val = options.val_timestamp.or(declared_val);
    let test = options.test_timestamp.or(declared_test);
    match (val, test) {
        (Some(val), Some(test)) => (val, test, None),
        (None, Some(test)) => (back_from(test), test, Some(tenth)),
        (Some(val), None) => (val, back_from(last).max(horizon.after(val)), Some(tenth)),
        (None, None) => (back_from(back_from(last)), back_from(last), Some(tenth)),
    }
}

fn steps_before(time: i64, horizon: Horizon, steps: usize) -> i64 {
    let span = i64::try_from(steps).ok().and_then(|s| horizon.times(s));
    span.map_or(i64::MIN, |s| s.before(time))
}

/// How many cutoffs a horizon apart have their whole window between `first` and `last`.
fn count_possible(first: i64, last: i64, horizon: Horizon) -> usize {
    (1..=MOST).take_while(|k| steps_before(last, horizon, *k) >= first).count()
}

fn step_forward(start: i64, last: i64, step: Span, most: usize) -> Vec<i64> {
    steps(step).map(|s| s.after(start)).take_while(|c| *c <= last).take(most).collect()
}

fn step_back(start: i64, first: i64, step: Span) -> Vec<i64> {
    let mut cutoffs: Vec<i64> =
        steps(step).map(|s| s.before(start)).take_while(|c| *c >= first).take(MOST).collect();
    cutoffs.reverse();
    cutoffs
}

/// Zero steps, one step, two steps, … from one base, so that months are clamped only once.
fn steps(step: Span) -> impl Iterator<Item = Span> {
    (0..).map_while(move |k| step.times(k))
}

/// The cutoffs of a fill-in task: each row's own time, split at the starts of validation and test.
pub(super) fn at_own_times(
    times: &[i64],
    options: &Options,
    declared: (Option<i64>, Option<i64>),
) -> Result<Cutoffs, QueryError> {
    let quantile = |tenths: usize| times.get(times.len() * tenths / 10).copied();
    let (Some(first), Some(last), Some(at_80), Some(at_90)) =
        (times.first().copied(), times.last().copied(), quantile(8), quantile(9))
    else {
        return Err(QueryError::Split {
            message: "the entity table has no rows with a time".to_owned(),
        });
    };
    let val_timestamp = options.val_timestamp.or(declared.0).unwrap_or(at_80);
    let test_timestamp = options.test_timestamp.or(declared.1).unwrap_or(at_90);
    let start = options.train_start.unwrap_or(first);
    let part = |from: i64, to: i64| {
        times.iter().copied().filter(|t| (from..to).contains(t)).collect::<Vec<_>>()
    };
    let cutoffs = Cutoffs {
        train: part(start, val_timestamp),
        val: part(val_timestamp, test_timestamp),
        test: part(test_timestamp, i64::MAX),
        horizon: Span::ZERO,
        step: Span::ZERO,
        data_end: last,
        val_timestamp,
        test_timestamp,
    };
    let empty = Split::ALL.into_iter().find(|split| cutoffs.of(*split).is_empty());
    match empty {
        None => Ok(cutoffs),
        Some(split) => Err(too_few(
            &format!("the {} split has no rows", split.name()),
            Extent { train_from: first, first, last },
            Span::ZERO,
        )),
    }
}

/// The cutoffs that label rows bring, ascending in `times`, as splits: those of validation and test
/// from their starts on, each with its window within its split. `last` is the last time that labels
/// may be taken from; without one all of them have closed.
///
/// Where nothing says the starts, the last tenth of the cutoffs goes to test, and as many before it
/// to validation.
pub(super) fn at_rows(
    times: &[i64],
    last: Option<i64>,
    horizon: Horizon,
    options: &Options,
    declared: (Option<i64>, Option<i64>),
) -> Result<Cutoffs, QueryError> {
    let data_end = last.or(times.last().map(|c| horizon.after(*c))).unwrap_or(i64::MIN);
    let start = options.train_start.unwrap_or(i64::MIN);
    let from = times.partition_point(|c| *c < start);
    let closed_by = |until: i64| times.partition_point(|c| horizon.after(*c) <= until).max(from);
    let closed = &times[from..closed_by(data_end)];
    let tenth = (closed.len() / 10).max(1);
    let last_tenth = |until: i64| {
        let end = closed_by(until.min(data_end));
        (end > from).then(|| times[end.saturating_sub(tenth).max(from)])
    };
    let fits = |time: &i64| closed.last().is_some_and(|last| last >= time);
    let declared_test = declared.1.filter(fits);
    let declared_val = declared.0.filter(|_| declared.1.is_none() || declared_test.is_some());
    let test = options.test_timestamp.or(declared_test).or_else(|| last_tenth(data_end));
    let val = options.val_timestamp.or(declared_val).or_else(|| last_tenth(test?));
    let (val_timestamp, test_timestamp) = (val.unwrap_or(i64::MIN), test.unwrap_or(i64::MAX));
    let most = options.num_eval_timestamps.unwrap_or(MOST);
    let part = |from: i64, to: i64, most: usize| -> Vec<i64> {
        let within = closed.iter().copied().filter(|c| *c >= from && horizon.after(*c) <= to);
        within.take(most).collect()
    };
    let cutoffs = Cutoffs {
        train: part(i64::MIN, val_timestamp, usize::MAX),
        val: part(val_timestamp, test_timestamp, most),
        test: part(test_timestamp, data_end, most),
        horizon,
        step: horizon,
        data_end,
        val_timestamp,
        test_timestamp,
    };
    let Some(empty) = Split::ALL.into_iter().find(|split| cutoffs.of(*split).is_empty()) else {
        return Ok(cutoffs);
    };
    Err(QueryError::Split {
        message: format!(
            "the {} split has no label rows: they stand at {} cutoffs, of which {} have their labels closed by {} (horizon {horizon}), and no window may cross into the next split; bring rows at more cutoffs, shorten the horizon, or set val_timestamp, test_timestamp or train_start",
            empty.name(),
            times.len(),
            closed.len(),
            format_time(data_end),
        ),
    })
}

fn too_many(split: &str, count: usize, step: Span) -> QueryError {
    let count =
        if count >= MOST { format!("{MOST} cutoffs or more") } else { format!("{count} cutoffs") };
    let hint = match split {
        "train" => format!("set cutoff_step to more than {step}, or a later train_start"),
        _ => "set num_eval_timestamps".to_owned(),
    };
    QueryError::Split {
        message: format!(
            "the {split} split has {count}, at most {MOST_OF_SPLIT} can be held; {hint}"
        ),
    }
}

fn too_few(why: &str, extent: Extent, horizon: Horizon) -> QueryError {
    QueryError::Split {
        message: format!(
            "{why} (horizon {horizon}, data from {} to {}); shorten the horizon or set val_timestamp, test_timestamp or train_start",
            format_time(extent.first),
            format_time(extent.last)
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use relcast_catalog::parse_time;

    fn day(text: &str) -> i64 {
        parse_time(text).unwrap()
    }

    fn texts(cutoffs: &[i64]) -> Vec<String> {
        cutoffs.iter().map(|c| format_time(*c)).collect()
    }

    #[test]
    fn windows_stay_within_their_split() {
        let extent = Extent {
            train_from: day("2020-01-01"),
            first: day("2020-01-01"),
            last: day("2020-12-31"),
        };
        let month = Span::parse("30 days").unwrap();
        let declared = (Some(day("2020-07-01")), Some(day("2020-10-01")));
        let cutoffs = lay_out(extent, month, &Options::default(), declared).unwrap();
        assert_eq!(texts(&cutoffs.val), ["2020-07-01", "2020-07-31", "2020-08-30"]);
        assert_eq!(texts(&cutoffs.test), ["2020-10-01", "2020-10-31", "2020-11-30"]);
        assert_eq!(texts(&cutoffs.train).last().unwrap(), "2020-06-01");
        assert_eq!(texts(&cutoffs.train).first().unwrap(), "2020-01-03");
    }

    #[test]
    fn calendar_horizons_step_by_the_calendar() {
        let extent = Extent {
            train_from: day("2000-01-01"),
            first: day("2000-01-01"),
            last: day("2010-12-31"),
        };
        let declared = (Some(day("2005-01-01")), Some(day("2008-01-01")));
        let cutoffs = lay_out(extent, Span::Months(12), &Options::default(), declared).unwrap();
        assert_eq!(texts(&cutoffs.val), ["2005-01-01", "2006-01-01", "2007-01-01"]);
        assert_eq!(
            texts(&cutoffs.train),
            ["2000-01-01", "2001-01-01", "2002-01-01", "2003-01-01", "2004-01-01"]
        );
    }

    #[test]
    fn closed_cutoffs_stand_where_those_of_validation_would_whatever_the_month_ends() {
        let extent = Extent {
            train_from: day("2000-01-01"),
            first: day("2000-01-01"),
            last: day("2010-12-31"),
        };
        let declared = (Some(day("2005-01-31")), Some(day("2006-01-31")));
        let cutoffs = lay_out(extent, Span::Months(1), &Options::default(), declared).unwrap();
        assert_eq!(
            texts(&cutoffs.val)[..4],
            ["2005-01-31", "2005-02-28", "2005-03-31", "2005-04-30"]
        );
        let closed = cutoffs.closed_from_validation(cutoffs.data_end);
        assert_eq!(closed[..cutoffs.val.len()], cutoffs.val);
        assert!(closed.iter().all(|c| Span::Months(1).after(*c) <= cutoffs.data_end));
        assert_eq!(cutoffs.closed_from_validation(day("2005-03-30")), cutoffs.val[..2]);
        assert_eq!(cutoffs.closed_from_validation(day("2005-02-27")), [0i64; 0]);
    }

    #[test]
    fn without_declared_starts_a_tenth_goes_to_each_evaluation_split() {
        let extent = Extent { train_from: 0, first: 0, last: day("1970-02-10") };
        let cutoffs =
            lay_out(extent, Span::parse("1 day").unwrap(), &Options::default(), (None, None))
                .unwrap();
        assert_eq!((cutoffs.train.len(), cutoffs.val.len(), cutoffs.test.len()), (32, 4, 4));
        assert!(cutoffs.horizon.after(*cutoffs.train.last().unwrap()) <= cutoffs.val_timestamp);
        assert!(cutoffs.horizon.after(*cutoffs.val.last().unwrap()) <= cutoffs.test_timestamp);
        assert!(cutoffs.horizon.after(*cutoffs.test.last().unwrap()) <= cutoffs.data_end);
    }

    #[test]
    fn a_short_step_adds_training_cutoffs_only() {
        let mut options = Options::default();
        options.set("cutoff_step", "1 day").unwrap();
        let extent = Extent { train_from: 0, first: 0, last: day("1970-02-10") };
        let cutoffs =
            lay_out(extent, Span::parse("7 days").unwrap(), &options, (None, None)).unwrap();
        assert_eq!((cutoffs.val.len(), cutoffs.test.len()), (1, 1));
        assert_eq!(cutoffs.train.len(), 20);
    }

    #[test]
    fn cutoffs_of_rows_keep_their_windows_within_their_splits() {
        let days: Vec<i64> = (0..100).map(|d| d * 86_400_000_000).collect();
        let week = Span::parse("7 days").unwrap();
        let lay = |last: &str, options: &Options, declared| {
            at_rows(&days, Some(day(last)), week, options, declared)
        };
        // Windows of the last cutoffs close after the end of the data: 94 days remain.
        let cutoffs = lay("1970-04-11", &Options::default(), (None, None)).unwrap();
        assert_eq!((cutoffs.val.len(), cutoffs.test.len()), (9, 9));
        assert_eq!(texts(&cutoffs.test).last().unwrap(), "1970-04-04");
        assert_eq!(cutoffs.train.len(), 94 - 9 - 6 - 9 - 6);
        for (split, next) in
            [(&cutoffs.train, cutoffs.val_timestamp), (&cutoffs.val, cutoffs.test_timestamp)]
        {
            assert!(week.after(*split.last().unwrap()) <= next);
        }
        let mut options = Options::default();
        options.set("num_eval_timestamps", "2").unwrap();
        let declared = (Some(day("1970-02-01")), Some(day("1970-03-01")));
        let cutoffs = lay("1970-04-11", &options, declared).unwrap();
        assert_eq!(texts(&cutoffs.val), ["1970-02-01", "1970-02-02"]);
        assert_eq!(texts(&cutoffs.test), ["1970-03-01", "1970-03-02"]);
        assert_eq!(texts(&cutoffs.train).last().unwrap(), "1970-01-25");
        // Starts that are declared give way where the data end before the test split.
        let cutoffs = lay("1970-02-20", &Options::default(), declared).unwrap();
        assert!(cutoffs.test_timestamp < day("1970-02-20"));
        let error = lay("1970-01-09", &Options::default(), (None, None)).unwrap_err().to_string();
        assert!(error.contains("100 cutoffs, of which 2 have their labels closed"), "{error}");
        assert!(at_rows(&[], None, week, &Options::default(), (None, None)).is_err());
    }

    #[test]
    fn too_many_cutoffs_are_refused_with_their_number_and_the_option_that_helps() {
        let extent =
            Extent { train_from: 0, first: 0, last: day("1970-01-01") + 30 * 86_400_000_000 };
        let minute = Span::parse("1 minute").unwrap();
        let lay = |options: &Options| lay_out(extent, minute, options, (None, None));
        let mut options = Options::default();
        let error = lay(&options).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot split by time: the train split has 34560 cutoffs, at most 20000 can be held; set cutoff_step to more than 1 minute, or a later train_start"
        );
        options.set("cutoff_step", "1 hour").unwrap();
        let cutoffs = lay(&options).unwrap();
        assert_eq!((cutoffs.train.len(), cutoffs.val.len()), (576, 4320));
        let extent = Extent { last: extent.last * 10, ..extent };
        let error = lay_out(extent, minute, &options, (None, None)).unwrap_err().to_string();
        assert!(error.contains("the val split has 43200 cutoffs"), "{error}");
        assert!(error.ends_with("set num_eval_timestamps"), "{error}");
        options.set("num_eval_timestamps", "10").unwrap();
        assert_eq!(lay_out(extent, minute, &options, (None, None)).unwrap().test.len(), 10);
    }

    #[test]
    fn too_little_data_is_an_error_that_names_the_times() {
        let extent = Extent {
            train_from: day("2020-01-01"),
            first: day("2020-01-01"),
            last: day("2020-02-01"),
        };
        let error =
            lay_out(extent, Span::parse("30 days").unwrap(), &Options::default(), (None, None))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot split by time: train, validation and test need at least 3 cutoffs, the data have room for 1 (horizon 30 days, data from 2020-01-01 to 2020-02-01); shorten the horizon or set val_timestamp, test_timestamp or train_start"
        );
    }
}
