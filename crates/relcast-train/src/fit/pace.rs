//! How fast a plan fits on this machine, and how much of it fits into a time.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use relcast_nn::Ensemble;
use serde::{Deserialize, Serialize};

use super::{EpochReport, FitPlan, Member, Progress, run_epoch, visited};
use crate::error::TrainError;
use crate::examples::Examples;
use crate::score::Inputs;

/// Batches that are fitted to measure; the first only warms up.
const BATCHES: usize = 9;
/// What a row that is scored costs of one that is learnt from.
const SCORING: f64 = 0.5;
/// Share of the time that is planned with: machines have other things to do.
const SHARE: f64 = 0.8;
/// Rows are given up before epochs are, down to so many epochs of so many rows.
const FEW_EPOCHS: usize = 3;
const FEW_ROWS: usize = 256;
/// Less than this is not tried, whatever the time.
const FEWEST_ROWS: usize = 32;

/// How long it takes to learn from a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Seconds for one training row.
    pub seconds_per_row: f64,
}

impl Pace {
    /// Fits a few batches of a model that is thrown away, for `most` time or a batch more.
    ///
    /// # Errors
    /// As [`fit`](super::fit).
    pub fn measure(
        inputs: &Inputs,
        plan: &FitPlan,
        train: &Examples,
        most: Duration,
    ) -> Result<Self, TrainError> {
        let device = Device::flex().autodiff();
        let start = Ensemble::new(&plan.model, plan.members, plan.seed, &device);
        let models = start.members.into_iter().enumerate();
        let mut members: Vec<Member> =
            models.map(|(number, model)| Member::new(model, number, plan)).collect();
        let mut positions = visited(train, plan, 1);
        positions.truncate(BATCHES * plan.batch_size);
        let mut watch = StopWatch { started: Instant::now(), most, first: None, last: None };
        match run_epoch(inputs, plan, train, &positions, &mut members, 1, &mut watch) {
            Ok(_) | Err(TrainError::Stopped(_)) => Ok(Self { seconds_per_row: watch.per_row() }),
            Err(error) => Err(error),
        }
    }
}

/// Notes when rows are done, and stops after a while.
struct StopWatch {
    started: Instant,
    most: Duration,
    first: Option<(Instant, usize)>,
    last: Option<(Instant, usize)>,
}

impl StopWatch {
    fn per_row(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        let (from, rows) = match last.1.saturating_sub(first.1) {
            0 => (self.started, last.1),
            rows => (first.0, rows),
        };
        last.0.duration_since(from).as_secs_f64() / rows.max(1) as f64
    }
}

impl Progress for StopWatch {
    fn step(&mut self, _: usize, done: usize, _: usize, _: f64) -> ControlFlow<()> {
        let now = Instant::now();
        self.first.get_or_insert((now, done));
        self.last = Some((now, done));
        if self.started.elapsed() >= self.most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn epoch(&mut self, _: &EpochReport) {}
}

/// What a time for training resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetPlan {
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Training rows visited per epoch, at most.
    pub max_train_rows: usize,
}

impl BudgetPlan {
    /// As much of `most` as fits into `seconds` for `rows` training rows, `validation` rows scored
    /// after each epoch, and `judged` rows scored once at the end.
    #[must_use]
    pub fn resolve(
        most: Self,
        pace: Pace,
        seconds: f64,
        rows: usize,
        validation: usize,
        judged: usize,
    ) -> Self {
        let whole = rows.min(most.max_train_rows);
        let scored = |rows: usize| rows as f64 * SCORING;
        let affordable = seconds * SHARE / pace.seconds_per_row.max(1e-9) - scored(judged);
        let rows_of = |epochs: usize| affordable / epochs as f64 - scored(validation);
        let fewest = FEW_EPOCHS.min(most.epochs);
        for epochs in (fewest..=most.epochs).rev() {
            if rows_of(epochs) >= whole as f64 {
                return Self { epochs, ..most };
            }
        }
        let epochs = if rows_of(fewest) >= FEW_ROWS.min(whole) as f64 { fewest } else { 1 };
        let affordable = rows_of(epochs).max(0.0) as usize;
        if affordable >= whole {
            return Self { epochs, ..most };
        }
        let batches = affordable / FEWEST_ROWS * FEWEST_ROWS;
        Self { epochs, max_train_rows: batches.max(FEWEST_ROWS.min(most.max_train_rows)) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MOST: BudgetPlan = BudgetPlan { epochs: 8, max_train_rows: 20_000 };

    fn resolved(seconds: f64) -> BudgetPlan {
        let pace = Pace { seconds_per_row: 1e-3 };
        BudgetPlan::resolve(MOST, pace, seconds, 10_000, 1_000, 2_000)
    }

    #[test]
    fn a_generous_budget_changes_nothing() {
        assert_eq!(resolved(1e6), MOST);
    }

    #[test]
    fn less_time_gives_up_epochs_first_then_rows_and_always_leaves_something() {
        assert_eq!(resolved(60.0), BudgetPlan { epochs: 4, ..MOST });
        // 16,000 rows' worth of time, 1,000 of it to judge: three epochs of 5,000 and validation.
        assert_eq!(resolved(20.0), BudgetPlan { epochs: 3, max_train_rows: 4_480 });
        assert_eq!(resolved(0.0), BudgetPlan { epochs: 1, max_train_rows: 32 });
        assert_eq!(resolved(-5.0), resolved(0.0));
    }

    #[test]
    fn what_is_planned_fits_into_the_time_and_grows_with_it() {
        let cost = |plan: BudgetPlan| {
            let epoch = plan.max_train_rows.min(10_000) as f64 + 500.0;
            (plan.epochs as f64 * epoch + 1_000.0) * 1e-3
        };
        let mut before = 0.0;
        for seconds in 3..200 {
            let cost = cost(resolved(f64::from(seconds)));
            assert!(cost <= f64::from(seconds), "{seconds}: {cost}");
            assert!(cost + 0.5 >= before, "{seconds}: {cost} after {before}");
            before = cost;
        }
    }
}
