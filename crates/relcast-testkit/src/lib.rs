//! Helpers that tests share: where the real data lies, small generated databases.
//!
//! Only tests depend on this crate. Generated databases are folders of Parquet files with a
//! `relcast.yaml`; each promises which AUROC an honest model can reach on its query, and which one
//! a model reaches that reads what it must not. The same seed gives the same files.

mod auroc;
mod error;
mod label_file;
mod random;
mod random_database;
mod real_data;
mod second_order;
mod table;
mod warehouse_churn;

pub use auroc::auroc_by_pairs;
pub use error::TestkitError;
pub use label_file::{FileLabel, read_label_file};
pub use random::Random;
pub use random_database::{RandomDatabase, RandomRow, RandomTable};
pub use real_data::data_dir;
pub use second_order::{
    untimed_items_control, untimed_items_leak, upgraded_at_control, upgraded_at_leak,
};
pub use table::{DAY, GeneratedDatabase, Table, date_micros, read_parquet};
pub use warehouse_churn::{Permute, warehouse_churn};
