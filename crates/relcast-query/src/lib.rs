//! The predictive query: from `PREDICT …`, a declared task or a SELECT of labels to its training table.
//!
//! The way through the crate: [`parse`] reads the text, [`bind`] checks it against a
//! [`Schema`](relcast_catalog::Schema), [`LabelPlan`] is the SQL of its labels together with the
//! rules for cutoffs and splits, and its methods run that SQL in a DataFusion session.
//!
//! Promises: a [`BoundQuery`] cannot exist unbound; labels are computed by one DataFusion plan;
//! windows of the target only look ahead of the cutoff and windows of WHERE only look back.

pub mod ast;
mod bind;
mod dates;
mod display;
mod error;
mod options;
mod parser;
mod plan;
pub mod statement;
mod time;

pub use ast::PredictiveQuery;
pub use bind::{BoundQuery, FillIn, Item, TaskType, bind, bind_with};
pub use error::{Place, QueryError, plain_words};
pub use options::{
    DateKnown, Entities, History, OPTION_NAMES, OnError, OptionValue, Options, option_place,
};
pub use parser::{count_parameters, open_statements, parse, statements, statements_with};
pub use plan::{
    CheckedSelect, CutoffExplanation, Cutoffs, LabelExplanation, LabelPlan, LabelSelect, STRAY_GAP,
    Split, SplitExplanation,
};
pub use statement::Statement;
pub use time::{Horizon, Span};
