//! A budget: a time for training that resolves once, to epochs and rows, and is then replayed.

use std::fmt;
use std::time::{Duration, Instant};

use relcast_query::Span;
use relcast_train::fit::{BudgetPlan, Pace, Progress};
use relcast_train::model::{FitOptions, ModelPlan};
use relcast_train::score::Inputs;
use serde::{Deserialize, Serialize};

use super::prepare::Prepared;
use crate::error::EngineError;

/// Share of the budget that measuring may take, and the most it takes.
const MEASURING: f64 = 0.1;
const LONGEST_MEASURING: f64 = 5.0;

/// A budget and what it resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResolvedBudget {
    /// The time as it was given.
    pub budget: Span,
    /// What was found to fit into it.
    #[serde(flatten)]
    pub plan: BudgetPlan,
    /// Training rows a second, as measured.
    pub rows_per_second: f64,
}

impl ResolvedBudget {
    /// The options that replay the plan, whatever the time.
    #[must_use]
    pub fn set(&self) -> [(String, String); 3] {
        [
            ("epochs", self.plan.epochs.to_string()),
            ("max_train_rows", self.plan.max_train_rows.to_string()),
            ("budget", "none".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

impl fmt::Display for ResolvedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetPlan { epochs, max_train_rows } = self.plan;
        let plural = if epochs == 1 { "" } else { "s" };
        write!(
            f,
            "{} resolved to at most {epochs} epoch{plural} of {max_train_rows} rows ({:.0} rows a second)",
            self.budget, self.rows_per_second
        )
    }
}

/// Measures how fast `model` learns and limits it to what fits into `budget`, counted from `begun`.
///
/// # Errors
/// If a batch fails.
pub(super) fn keep_to_budget(
    budget: Span,
    begun: Instant,
    prepared: &Prepared,
    options: &FitOptions,
    model: &mut ModelPlan,
    inputs: &Inputs,
    progress: &mut dyn Progress,
) -> Result<ResolvedBudget, EngineError> {
    let seconds = budget.comparable() as f64 / 1e6;
    let measuring = Duration::from_secs_f64((seconds * MEASURING).clamp(0.0, LONGEST_MEASURING));
    let examples = &prepared.examples;
    let rows = examples.train.len();
    // Test is scored as seen under each history.
    let (validation, judged) =
        (examples.validation.len(), examples.validation.len() + 2 * examples.test.len());
    let mut most =
        BudgetPlan { epochs: options.epochs(), max_train_rows: options.max_train_rows() };
    loop {
        let batch_size = model.fit.batch_size;
        let pace = Pace::measure(inputs, &model.fit, &examples.train, measuring)?;
        let left = seconds - begun.elapsed().as_secs_f64();
        let plan = BudgetPlan::resolve(most, pace, left, rows, validation, judged);
        model.limit(plan, options, rows);
        // Fewer rows come in smaller batches, which take longer for each row.
        if model.fit.batch_size < batch_size {
            most = plan;
            continue;
        }
        let rows_per_second = 1.0 / pace.seconds_per_row.max(1e-9);
        let resolved = ResolvedBudget { budget, plan, rows_per_second };
        progress.notice(&format!("the budget of {resolved}"));
        return Ok(resolved);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use relcast_query::Options;

    use super::*;

    #[test]
    fn what_replays_a_budget_lifts_it_and_says_its_plan() {
        let resolved = ResolvedBudget {
            budget: Span::parse("30s").unwrap(),
            plan: BudgetPlan { epochs: 3, max_train_rows: 512 },
            rows_per_second: 123.4,
        };
        let mut options = Options { budget: Some(resolved.budget), ..Options::default() };
        for (name, value) in resolved.set() {
            options.set(&name, &value).unwrap();
        }
        assert_eq!((options.budget, options.epochs), (None, Some(3)));
        assert_eq!(options.max_train_rows, Some(512));
        assert_eq!(
            resolved.to_string(),
            "30 seconds resolved to at most 3 epochs of 512 rows (123 rows a second)"
        );
        let json = serde_json::to_value(resolved).unwrap();
        assert_eq!(json["epochs"], 3);
        assert_eq!(serde_json::from_value::<ResolvedBudget>(json).unwrap(), resolved);
    }
}
