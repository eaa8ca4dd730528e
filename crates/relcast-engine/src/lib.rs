//! The work behind each command: the home folder, the registry of models, and artefacts.
//!
//! Promises that a model is written whole or not at all, by one process at a time.

mod artefact;
mod engine;
mod error;
mod home;
mod json_rows;
mod outside;
mod population;
mod registry;
mod runs;
pub mod session;
pub mod shop;
mod sources;
mod sqlstate;
mod stored;
mod views;
pub mod work;

pub use artefact::Artefact;
pub use engine::Engine;
pub use error::{EngineError, split_hint};
pub use home::{Home, ModelLock, check_model_name};
pub use json_rows::{Row, repeated_column, rows_as_json};
pub use outside::check_outside_home;
pub use registry::{ModelVersion, NewVersion, Origin, Registry};
pub use relcast_connect::redacted;
pub use runs::{Run, RunId, RunKind};
pub use session::{
    Access, Answer, Description, Dialect, LogWatcher, Reach, Session, Watcher, surround, worked_off,
};
pub use stored::StoredModel;
