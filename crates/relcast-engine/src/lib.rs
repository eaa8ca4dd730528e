//! The work behind each command: the home folder, the registry of models, and artefacts.
//!
//! Promises that a model is written whole or not at all, by one process at a time.

mod artefact;
mod error;
mod home;
mod registry;
mod runs;
pub mod shop;
mod stored;
pub mod work;

pub use artefact::Artefact;
pub use error::EngineError;
pub use home::{Home, ModelLock, check_model_name};
pub use registry::{ModelVersion, NewVersion, Origin, Registry};
pub use runs::{Run, RunId, RunKind};
pub use stored::StoredModel;
