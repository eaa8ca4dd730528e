//! Gradient boosting on the columns of the entity's own row.
//!
//! The budget is small (seconds, not minutes). Training rows are brought into an order of their
//! own before anything is drawn at random, and one thread does the work, so the predictions depend
//! on neither the order of the rows nor the machine's number of cores.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use perpetual::{Matrix, PerpetualBooster, objective::Objective};
use rayon::prelude::*;
use relcast_graph::{Stop, Stopped};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{BaselineError, labels::check_labels};
use crate::scale::RobustScale;

/// perpetual's measure of effort: trees get finer and more numerous with it.
const BUDGET: f32 = 0.5;
/// Memory for a model in gigabytes: fixed, for the trees depend on it.
const MEMORY_GB: f32 = 0.2;
/// Trees per model, at most.
const MAX_TREES: usize = 300;
/// Training rows used, at most: a fixed sample of a larger set.
const MAX_TRAIN_ROWS: usize = 60_000;
/// Spreads of the labels, in units of the label that is boosted under the absolute loss. Its
/// gradient has no size, so the library's steps are of one unit whatever the label's own is: shares
/// between 0 and 1 were overshot, and heavy tails never reached.
const UNITS: f64 = 10.0;
/// How often whoever waits is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Seeds the order of training rows and the library's own draws.
const SEED: u64 = 7;

/// What boosting is to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoostingTask {
    /// Labels 0 or 1; gives the probability of 1 (log loss).
    Binary,
    /// Quantities; gives their median (absolute error).
    Median,
    /// Class numbers below `classes`; gives a probability per class (one model per class).
    Multiclass {
        /// Number of classes.
        classes: usize,
    },
}

/// A numeric matrix, column-major: one vector of equal length per column, NaN for a missing cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureColumns {
    /// Number of rows (columns may be none).
    pub rows: usize,
    /// The columns, each with `rows` values.
    pub columns: Vec<Vec<f64>>,
}

/// Trains on `train_x` and `train_y` and predicts the rows of `test_x`.
///
/// Gives one value per row of `test_x`; for [`BoostingTask::Multiclass`] the probabilities,
/// row-major with shape rows × classes, each row summing to 1. Where no column varies or all
/// labels are equal the prediction is the constant that fits the task best.
///
/// # Errors
/// If shapes disagree, labels do not suit the task, there are none, the library fails, or it was
/// stopped.
pub fn fit_predict(
    train_x: &FeatureColumns,
    train_y: &[f64],
    test_x: &FeatureColumns,
    task: BoostingTask,
) -> Result<Vec<f64>, BaselineError> {
    let stop = Stop::current();
    stop.check()?;
    check_shapes(train_x, train_y, test_x)?;
    check_labels("gradient boosting", train_y.iter().copied())?;
    check_classes(train_y, task)?;
    let data = TrainingData::prepare(train_x, train_y, test_x);
    let among_others = stop.clone();
    given_up_if(&stop, move || match task {
        BoostingTask::Binary => data.fit_predict(&data.labels, Loss::Log),
        BoostingTask::Median => data.fit_predict_median(),
        BoostingTask::Multiclass { classes } => one_against_rest(&data, classes, &among_others),
    })
}

/// What `fit` gives. The library cannot be told to stop: once nobody waits any more, the thread that
/// fits is left to itself and ends within seconds.
fn given_up_if(
    stop: &Stop,
    fit: impl FnOnce() -> Result<Vec<f64>, BaselineError> + Send + 'static,
) -> Result<Vec<f64>, BaselineError> {
    let (sender, receiver) = sync_channel(1);
    // Nobody receives what was given up.
    let fitting = std::thread::spawn(move || drop(sender.send(fit())));
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(predicted) => return predicted,
            Err(RecvTimeoutError::Timeout) => stop.check()?,
            Err(RecvTimeoutError::Disconnected) => match fitting.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(Stopped.into()),
            },
        }
    }
}

fn check_shapes(
    train_x: &FeatureColumns,
    train_y: &[f64],
    test_x: &FeatureColumns,
) -> Result<(), BaselineError> {
    let same = |what, expected: usize, found: usize| {
        if expected == found { Ok(()) } else { Err(BaselineError::Shape { what, expected, found }) }
    };
    same("training labels", train_x.rows, train_y.len())?;
    same("columns to predict from", train_x.columns.len(), test_x.columns.len())?;
    for column in &train_x.columns {
        same("values in a training column", train_x.rows, column.len())?;
    }
    for column in &test_x.columns {
        same("values in a column to predict from", test_x.rows, column.len())?;
    }
    Ok(())
}

fn check_classes(labels: &[f64], task: BoostingTask) -> Result<(), BaselineError> {
    let (classes, expected) = match task {
        BoostingTask::Binary => (2, "0 or 1".to_owned()),
        BoostingTask::Multiclass { classes } => {
            (classes, format!("a whole number below {classes}"))
        }
        BoostingTask::Median => return Ok(()),
    };
    let allowed = |label: f64| label >= 0.0 && label < classes as f64 && label.fract() == 0.0;
    match labels.iter().position(|label| !allowed(*label)) {
        Some(row) => Err(BaselineError::LabelOutOfRange { row, label: labels[row], expected }),
        None => Ok(()),
    }
}

/// Training rows in canonical order and the columns that vary among them.
struct TrainingData {
    labels: Vec<f64>,
    /// Column-major, `labels.len()` values per column.
    train: Vec<f64>,
    /// Column-major, `test_rows` values per column.
    test: Vec<f64>,
    test_rows: usize,
    columns: usize,
}

impl TrainingData {
    fn prepare(train_x: &FeatureColumns, train_y: &[f64], test_x: &FeatureColumns) -> Self {
        let order = canonical_order(train_x, train_y);
        let mut data = Self {
            labels: order.iter().map(|row| train_y[*row]).collect(),
            train: Vec::new(),
            test: Vec::new(),
            test_rows: test_x.rows,
            columns: 0,
        };
        for (train, test) in train_x.columns.iter().zip(&test_x.columns) {
            let start = data.train.len();
            data.train.extend(order.iter().map(|row| finite_or_nan(train[*row])));
            if varies(&data.train[start..]) {
                data.test.extend(test.iter().copied().map(finite_or_nan));
                data.columns += 1;
            } else {
                data.train.truncate(start);
            }
        }
        data
    }

    /// The median of each test row, boosted on a scale that fits the library's steps.
    fn fit_predict_median(&self) -> Result<Vec<f64>, BaselineError> {
        let mut sorted = self.labels.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let scale = RobustScale::learn(&sorted);
        let labels: Vec<f64> = self.labels.iter().map(|y| UNITS * scale.scaled(*y)).collect();
        let predicted = self.fit_predict(&labels, Loss::Absolute)?;
        Ok(predicted.into_iter().map(|y| scale.value(y / UNITS)).collect())
    }

    /// One value per test row: a probability under [`Loss::Log`], else a quantity.
    fn fit_predict(&self, labels: &[f64], loss: Loss) -> Result<Vec<f64>, BaselineError> {
        if self.columns == 0 || !varies(labels) {
            return Ok(vec![loss.best_constant(labels); self.test_rows]);
        }
        let mut booster = PerpetualBooster::default()
            .set_objective(loss.objective())
            .set_budget(BUDGET)
            .set_iteration_limit(Some(MAX_TREES))
            .set_memory_limit(Some(MEMORY_GB))
            .set_num_threads(Some(1))
            .set_seed(SEED);
        // Weighted classes would spoil the probabilities.
        booster.cfg.auto_class_weights = false;
        let train = Matrix::new(&self.train, labels.len(), self.columns);
        booster.fit(&train, labels, None, None).map_err(|error| BaselineError::Boosting {
            rows: labels.len(),
            columns: self.columns,
            message: error.to_string(),
        })?;
        let test = Matrix::new(&self.test, self.test_rows, self.columns);
        Ok(match loss {
            Loss::Log => booster.predict_proba(&test, false, false),
            Loss::Absolute => booster.predict(&test, false),
        })
    }
}

/// Probabilities of one model per class against all others, scaled to sum to 1 in each row.
fn one_against_rest(
    data: &TrainingData,
    classes: usize,
    stop: &Stop,
) -> Result<Vec<f64>, BaselineError> {
    let columns: Vec<Vec<f64>> = (0..classes)
        .into_par_iter()
        .map(|class| {
            stop.check()?;
            let is_class = |label: &f64| f64::from(u8::from(*label == class as f64));
            let labels: Vec<f64> = data.labels.iter().map(is_class).collect();
            data.fit_predict(&labels, Loss::Log)
        })
        .collect::<Result<_, _>>()?;
    let mut probabilities = Vec::with_capacity(data.test_rows * classes);
    for row in 0..data.test_rows {
        let total: f64 = columns.iter().map(|column| column[row]).sum();
        let scale = |p: f64| if total > 0.0 { p / total } else { 1.0 / classes as f64 };
        probabilities.extend(columns.iter().map(|column| scale(column[row])));
    }
    Ok(probabilities)
}

#[derive(Clone, Copy)]
enum Loss {
    Log,
    Absolute,
}

impl Loss {
    fn objective(self) -> Objective {
        match self {
            Self::Log => Objective::LogLoss,
            Self::Absolute => Objective::AbsoluteLoss,
        }
    }

    /// The constant with the least loss; `labels` are not empty.
    fn best_constant(self, labels: &[f64]) -> f64 {
        let mut sorted = labels.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        match self {
            Self::Absolute => sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
            Self::Log => sorted.iter().sum::<f64>() / sorted.len() as f64,
        }
    }
}

/// Row numbers in an order that follows from the rows' contents alone: sorted, then shuffled with
/// a fixed seed, cut to [`MAX_TRAIN_ROWS`].
fn canonical_order(x: &FeatureColumns, y: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..y.len()).collect();
    order.sort_unstable_by(|&a, &b| {
        let by_columns = x.columns.iter().map(|column| column[a].total_cmp(&column[b]));
        by_columns
            .fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
            .then(y[a].total_cmp(&y[b]))
    });
    let mut shuffled: Vec<(u64, usize)> = (0_u64..)
        .zip(order)
        .map(|(place, row)| (xxh3_64_with_seed(&place.to_le_bytes(), SEED), row))
        .collect();
    shuffled.sort_unstable_by_key(|(hash, _)| *hash);
    shuffled.into_iter().take(MAX_TRAIN_ROWS).map(|(_, row)| row).collect()
}

fn finite_or_nan(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

/// Whether at least two different values occur, NaN aside.
fn varies(values: &[f64]) -> bool {
    let mut known = values.iter().filter(|value| !value.is_nan());
    known.next().is_some_and(|first| known.any(|value| value != first))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::metrics::{auroc, mae, multiclass_accuracy};

    /// Evenly spread numbers in [0, 1), different per `stream`.
    fn uniform(stream: u64, i: usize) -> f64 {
        (xxh3_64_with_seed(&(i as u64).to_le_bytes(), stream) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Two informative columns (the first with gaps), one column of noise, one constant, one empty.
    fn features(rows: usize, stream: u64) -> FeatureColumns {
        let column =
            |c: u64| -> Vec<f64> { (0..rows).map(|i| uniform(stream * 10 + c, i)).collect() };
        let mut first = column(1);
        first.iter_mut().step_by(10).for_each(|value| *value = f64::NAN);
        let columns = vec![first, column(2), column(3), vec![1.0; rows], vec![f64::NAN; rows]];
        FeatureColumns { rows, columns }
    }

    fn quantity(x: &FeatureColumns) -> Vec<f64> {
        let known = |value: f64| if value.is_nan() { 0.0 } else { value };
        (0..x.rows).map(|i| 10.0 * known(x.columns[0][i]) + 5.0 * x.columns[1][i]).collect()
    }

    #[test]
    fn boosting_learns_each_kind_of_task() {
        let (train, test) = (features(3000, 1), features(800, 2));
        let (y, truth) = (quantity(&train), quantity(&test));
        let above = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|v| f64::from(u8::from(*v > 7.5))).collect()
        };
        let third = |v: &f64| (v / 5.0).floor().min(2.0);

        let p = fit_predict(&train, &above(&y), &test, BoostingTask::Binary).unwrap();
        assert!(auroc(&above(&truth), &p).unwrap() > 0.98);
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
        let p = fit_predict(&train, &y, &test, BoostingTask::Median).unwrap();
        let error = mae(&truth, &p).unwrap();
        assert!(error < 1.0, "{error}");
        let classes: Vec<f64> = y.iter().map(third).collect();
        let task = BoostingTask::Multiclass { classes: 3 };
        let p = fit_predict(&train, &classes, &test, task).unwrap();
        let labels: Vec<usize> = truth.iter().map(|v| third(v) as usize).collect();
        assert!(multiclass_accuracy(&labels, &p, 3).unwrap() > 0.9);
        assert!(p.chunks_exact(3).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-9));
    }

    #[test]
    fn the_unit_of_the_label_changes_nothing_but_the_unit() {
        let (train, test) = (features(2000, 5), features(500, 6));
        let (y, truth) = (quantity(&train), quantity(&test));
        let error = |unit: f64| {
            let y: Vec<f64> = y.iter().map(|y| y * unit).collect();
            let p = fit_predict(&train, &y, &test, BoostingTask::Median).unwrap();
            mae(&truth, &p.iter().map(|p| p / unit).collect::<Vec<_>>()).unwrap()
        };
        let plain = error(1.0);
        for unit in [1e-3, 1e3] {
            assert!((error(unit) - plain).abs() < 0.05, "{unit}: {}, not {plain}", error(unit));
        }
    }

    #[test]
    fn the_order_of_training_rows_changes_nothing() {
        let (train, test) = (features(500, 3), features(100, 4));
        let y = quantity(&train);
        let mut reversed = train.clone();
        reversed.columns.iter_mut().for_each(|column| column.reverse());
        let reversed_y: Vec<f64> = y.iter().rev().copied().collect();
        let a = fit_predict(&train, &y, &test, BoostingTask::Median).unwrap();
        let b = fit_predict(&reversed, &reversed_y, &test, BoostingTask::Median).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn without_a_varying_column_the_prediction_is_a_constant() {
        let empty = |rows| FeatureColumns { rows, columns: vec![] };
        let y = [0.0, 0.0, 0.0, 1.0];
        let p = fit_predict(&empty(4), &y, &empty(2), BoostingTask::Binary).unwrap();
        assert_eq!(p, [0.25, 0.25]);
        let p = fit_predict(&features(3, 1), &[2.0; 3], &features(2, 2), BoostingTask::Median);
        assert_eq!(p.unwrap(), [2.0, 2.0]);
    }

    #[test]
    fn whoever_waits_no_longer_is_told_so_at_once() {
        let (train, test) = (features(MAX_TRAIN_ROWS, 7), features(100, 8));
        let y = quantity(&train);
        let token = CancellationToken::new();
        let _entered = Stop::on(&token).enter();
        let told = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            token.cancel();
            Instant::now()
        });
        let given_up = fit_predict(&train, &y, &test, BoostingTask::Median);
        assert!(matches!(given_up, Err(BaselineError::Stopped(_))), "{given_up:?}");
        let told = told.join().unwrap();
        assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    }

    #[test]
    fn input_that_does_not_fit_is_refused() {
        let (train, test) = (features(4, 1), features(2, 2));
        let fit = |y: &[f64], task| fit_predict(&train, y, &test, task);
        assert!(matches!(fit(&[1.0], BoostingTask::Median), Err(BaselineError::Shape { .. })));
        let error = fit(&[0.0, 1.0, 2.0, 1.0], BoostingTask::Binary).unwrap_err();
        assert!(error.to_string().contains("row 2"), "{error}");
        let none = FeatureColumns { rows: 0, columns: vec![vec![]; 5] };
        let nothing = fit_predict(&none, &[], &test, BoostingTask::Median);
        assert!(matches!(nothing, Err(BaselineError::NoLabels { .. })));
    }
}
