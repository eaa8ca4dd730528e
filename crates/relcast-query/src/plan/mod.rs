//! Label plans: the SQL of the labels, the cutoffs of the splits, and running both.

mod cutoffs;
mod entities;
mod explain;
mod expression;
mod float_sum;
mod ignored;
mod label_plan;
mod named;
mod path;
mod query;
mod row_values;
mod run;
mod select;
mod select_reader;
mod session;
mod strays;
mod task;

pub use cutoffs::{Cutoffs, Split};
pub use explain::{CutoffExplanation, LabelExplanation, SplitExplanation};
pub(crate) use expression::literal_sql;
pub use label_plan::LabelPlan;
pub use select::LabelSelect;
pub use select_reader::CheckedSelect;
pub use strays::Strays;
