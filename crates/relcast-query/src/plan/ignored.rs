//! Options that would do nothing for a plan.

use super::label_plan::LabelPlan;
use crate::ast::Name;
use crate::bind::{FillIn, TaskType};
use crate::error::QueryError;
use crate::options::{Ignored, OptionValue, option_place};

impl LabelPlan {
    /// Refuses options that can be written but do nothing, at all or for what this plan predicts: one
    /// that is silently passed over would be taken for one that worked. Those that stand among the
    /// `written` are refused with their place.
    ///
    /// # Errors
    /// [`QueryError::Option`] naming the first of them.
    pub fn refuse_ignored(&self, written: &[(Name, OptionValue)]) -> Result<(), QueryError> {
        match self.ignored_by_task().or_else(|| self.options.find_ignored()) {
            None => Ok(()),
            Some(Ignored { name, message, hint }) => Err(QueryError::Option {
                at: option_place(written, name),
                message,
                hint: Some(hint),
            }),
        }
    }

    /// The first option that says something of predictions of another kind.
    fn ignored_by_task(&self) -> Option<Ignored> {
        let (task, options) = (self.task_type, &self.options);
        let is_binary = matches!(task, TaskType::Binary | TaskType::FillIn(FillIn::Binary));
        let is_number = matches!(task, TaskType::Regression | TaskType::FillIn(FillIn::Regression));
        let is_class = matches!(task, TaskType::Multiclass | TaskType::FillIn(FillIn::Multiclass));
        let has_classes = is_binary || is_class;
        let fits = [
            ("class_weights", options.class_weights.is_none() || has_classes, "weighs classes"),
            ("interval", options.interval.is_none() || is_number, "is about numbers"),
            ("quantiles", options.quantiles.is_none() || is_number, "is about numbers"),
            ("threshold", options.threshold.is_none() || is_binary, "tells two classes apart"),
            ("top_classes", options.top_classes.is_none() || is_class, "chooses among classes"),
        ];
        let (name, _, does) = fits.into_iter().find(|(_, fits, _)| !fits)?;
        Some(Ignored {
            name,
            message: format!("option \"{name}\" {does}, and {task} has none"),
            hint: "leave it out".to_owned(),
        })
    }
}
