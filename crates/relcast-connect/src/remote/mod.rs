//! Tables that are read where they are: schema, filters and rows by the SQL of their database.
//!
//! A [`Driver`] knows one kind of database; everything else is the same for all of them.

mod cells;
mod driver;
mod filter;
mod scan;
mod shape;
mod table;

pub(crate) use cells::{Cells, Gather};
pub(crate) use driver::{Driver, Select};
pub(crate) use shape::{CellType, Compares, RemoteColumn, Shape, quoted};
pub(crate) use table::Remote;
