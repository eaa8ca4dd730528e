//! Building the snapshot: read the tables, resolve links, find times, order rows, write.
//!
//! Each table is read once and set aside on disk in the order in which its rows arrive; only
//! hashes, times and links are held in memory, and columns are put in order one by one.

mod links;
mod order;
mod spill;
mod table;
mod times;

use std::path::Path;

use datafusion::prelude::SessionContext;
use rayon::prelude::*;
use relcast_catalog::{Schema, TableId};

use crate::error::GraphError;
use crate::snapshot::{GraphReport, SnapshotWriter};
use crate::stop::{Stop, Stopped};
use links::resolve_all;
use order::{final_hashes, order, write_columns};
use spill::Spill;
use table::RawTable;

/// Reads all tables of `schema` from `ctx` and writes the snapshot to `directory`, which appears
/// whole or not at all.
///
/// # Errors
/// If a table or column of the schema is missing or cannot be read, the disk refuses, or it was
/// stopped.
pub async fn build(
    ctx: &SessionContext,
    schema: &Schema,
    directory: &Path,
) -> Result<GraphReport, GraphError> {
    let writer = SnapshotWriter::new(directory)?;
    let mut tables = Vec::with_capacity(schema.tables.len());
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let spill = Spill::read(ctx, schema, id, writer.path(&format!("spill-{}", id.0))).await?;
        tracing::debug!(table = table.name, rows = spill.rows(), "read");
        tables.push(RawTable::new(schema, id, spill)?);
    }
    let report = write(schema, &mut tables, &writer)?;
    drop(tables);
    writer.finish(directory, schema, report)
}

fn write(
    schema: &Schema,
    tables: &mut [RawTable],
    writer: &SnapshotWriter,
) -> Result<GraphReport, GraphError> {
    let stop = Stop::current();
    let targets = resolve_all(schema, tables)?;
    tracing::debug!("links resolved");
    let ordered = |table: &RawTable| stop.check().map(|()| order(table));
    let orders: Vec<Vec<u32>> = tables.iter().map(ordered).collect::<Result<_, Stopped>>()?;
    tracing::debug!("rows ordered");
    let mut report = GraphReport::default();
    for (id, link) in schema.link_ids() {
        stop.check()?;
        let (child, parent) = (&orders[link.child.index()], &orders[link.parent.index()]);
        report.links.push(links::write(writer, id, &targets[id.index()], child, parent)?);
    }
    drop(targets);
    for ((id, table), order) in (0u32..).map(TableId).zip(tables).zip(orders) {
        report.tables.push(table.report(order.len()));
        table.write(writer, id, &order)?;
    }
    Ok(report)
}

impl RawTable {
    /// Writes everything about the table in the order of the graph, then forgets it.
    fn write(
        &mut self,
        writer: &SnapshotWriter,
        id: TableId,
        order: &[u32],
    ) -> Result<(), GraphError> {
        use crate::snapshot::name;
        let pick = |values: &[i64]| order.par_iter().map(|r| values[*r as usize]).collect();
        writer.write_values::<i64>(name::times(id), pick(&self.times))?;
        if let Some(ends) = &self.ends {
            writer.write_values::<i64>(name::ends(id), pick(ends))?;
        }
        writer.write_values(name::hashes(id), final_hashes(self, order))?;
        self.forget();
        write_columns(writer, id, &self.spill, order)?;
        self.spill.remove()
    }
}
