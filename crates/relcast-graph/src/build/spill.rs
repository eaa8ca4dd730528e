//! A table on disk in the order in which its rows arrived.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use datafusion::prelude::{Column, Expr, SessionContext};
use rayon::prelude::*;
use relcast_catalog::{Schema, TableId, rows_relation};

use crate::MAX_ROWS;
use crate::arrow_file::ArrowFile;
use crate::error::GraphError;
use crate::stop::Stop;

/// The columns of a table, read once, so that their order stays the same.
#[derive(Debug)]
pub struct Spill {
    path: PathBuf,
    file: ArrowFile,
    rows: usize,
    /// The table's name, for errors.
    table: String,
}

impl Spill {
    /// Reads the columns of the table `id` into a file at `path`.
    ///
    /// # Errors
    /// If the table lacks a column or cannot be read.
    pub async fn read(
        ctx: &SessionContext,
        schema: &Schema,
        id: TableId,
        path: PathBuf,
    ) -> Result<Self, GraphError> {
        let table = schema.table(id);
        let failed = |source| GraphError::Read { table: table.name.clone(), source };
        let sql = format!("SELECT * FROM {}", rows_relation(schema, id));
        let frame = ctx.sql(&sql).await.map_err(failed)?;
        let present = frame.schema().inner().clone();
        if let Some(column) = table.columns.iter().find(|c| present.index_of(&c.name).is_err()) {
            let names = present.fields().iter().map(|f| f.name().as_str());
            return Err(GraphError::no_column(&table.name, &column.name, names));
        }
        let columns = table.columns.iter().map(|c| Expr::Column(Column::from_name(&c.name)));
        let frame = frame.select(columns.collect::<Vec<_>>()).map_err(failed)?;
        let schema = frame.schema().fields().iter();
        let schema = Arc::new(ArrowSchema::new(
            schema.map(|f| Field::new(f.name(), normal(f.data_type()), true)).collect::<Vec<_>>(),
        ));
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let file = File::create(&path).map_err(GraphError::file(&path))?;
        let mut writer = FileWriter::try_new(BufWriter::new(file), &schema)?;
        let mut rows = 0;
        while let Some(batch) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            let batch = batch.map_err(failed)?;
            rows += batch.num_rows();
            if rows > MAX_ROWS {
                return Err(GraphError::TooManyRows { table: table.name.clone() });
            }
            let fields = schema.fields().iter();
            let columns = batch.columns().iter().zip(fields).map(|(c, f)| cast(c, f.data_type()));
            let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
            writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
        }
        writer.into_inner()?.into_inner().map_err(|e| GraphError::file(&path)(e.into_error()))?;
        Ok(Self { file: ArrowFile::open(&path)?, path, rows, table: table.name.clone() })
    }

    /// How many rows were read.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns that were read.
    pub fn columns(&self) -> &ArrowSchema {
        self.file.schema()
    }

    /// The position of each of `names`.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn positions(&self, names: &[String]) -> Result<Vec<usize>, GraphError> {
        let fields = self.columns().fields();
        let names_present = || fields.iter().map(|f| f.name().as_str());
        let find = |name: &String| {
            fields
                .iter()
                .position(|f| f.name() == name)
                .ok_or_else(|| GraphError::no_column(&self.table, name, names_present()))
        };
        names.iter().map(find).collect()
    }

    /// What `work` gives for the columns at `positions`, batch by batch, in parallel; results are
    /// in the order of the rows.
    ///
    /// # Errors
    /// Those of `work`, Arrow's, or [`GraphError::Stopped`].
    pub fn map_batches<T: Send>(
        &self,
        positions: &[usize],
        work: impl Fn(&[ArrayRef]) -> Result<T, ArrowError> + Sync,
    ) -> Result<Vec<T>, GraphError> {
        // The reader gives each column once, in the order of the file.
        let mut projection = positions.to_vec();
        projection.sort_unstable();
        projection.dedup();
        let stop = Stop::current();
        let read = |i| -> Result<T, GraphError> {
            stop.check()?;
            let batch = self.file.batch(i, &projection)?;
            let columns: Vec<ArrayRef> = positions
                .iter()
                .filter_map(|p| projection.binary_search(p).ok())
                .map(|c| batch.column(c).clone())
                .collect();
            Ok(work(&columns)?)
        };
        (0..self.file.batches()).into_par_iter().map(read).collect()
    }

    /// Deletes the file; columns that are still held stay readable.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self) -> Result<(), GraphError> {
        fs::remove_file(&self.path).map_err(GraphError::file(&self.path))
    }
}

/// The few types that columns of the graph have: one for strings, one for moments.
fn normal(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        DataType::Dictionary(_, values) => normal(values),
        other => other.clone(),
    }
}
