//! Options that would do nothing for a plan.

use super::label_plan::LabelPlan;
use crate::bind::{FillIn, TaskType};
use crate::error::QueryError;

impl LabelPlan {
    /// Refuses options that can be written but do nothing, at all or for what this plan predicts: one
    /// that is silently passed over would be taken for one that worked.
    ///
    /// # Errors
    /// [`QueryError::Option`] naming the first of them.
    pub fn refuse_ignored(&self) -> Result<(), QueryError> {
        let has_classes = matches!(
            self.task_type,
            TaskType::Binary
                | TaskType::Multiclass
                | TaskType::FillIn(FillIn::Binary | FillIn::Multiclass)
        );
        if self.options.class_weights.is_some() && !has_classes {
            return Err(QueryError::Option {
                at: None,
                message: format!(
                    "option \"class_weights\" weighs classes, and {} has none",
                    self.task_type
                ),
                hint: Some("leave it out".to_owned()),
            });
        }
        self.options.refuse_ignored()
    }
}
