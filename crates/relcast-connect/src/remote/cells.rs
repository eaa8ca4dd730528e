//! Rows gathered into columns: the few types that remote tables have here.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, RecordBatchOptions,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;

use super::driver::Select;
use super::shape::{CellType, RemoteColumn};

/// Bytes of cells after which a batch is sent, however few its rows.
const FULL: usize = 16 << 20;

/// The cells of one column so far.
pub(crate) enum Cells {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Texts(ListBuilder<StringBuilder>),
    Ints(ListBuilder<Int64Builder>),
    Floats(ListBuilder<Float64Builder>),
}

/// The same with the builder of whatever type the cells are.
macro_rules! each {
    ($cells:expr, $builder:ident => $result:expr) => {
        match $cells {
            Cells::Boolean($builder) => $result,
            Cells::Int16($builder) => $result,
            Cells::Int32($builder) => $result,
            Cells::Int64($builder) => $result,
            Cells::Float32($builder) => $result,
            Cells::Float64($builder) => $result,
            Cells::Decimal($builder, ..) => $result,
            Cells::Time($builder) => $result,
            Cells::Text($builder) => $result,
            Cells::Bytes($builder) => $result,
            Cells::Texts($builder) => $result,
            Cells::Ints($builder) => $result,
            Cells::Floats($builder) => $result,
        }
    };
}

impl Cells {
    fn new(cells: CellType) -> Self {
        match cells {
            CellType::Boolean => Self::Boolean(BooleanBuilder::new()),
            CellType::Int16 => Self::Int16(Int16Builder::new()),
            CellType::Int32 => Self::Int32(Int32Builder::new()),
            CellType::Int64 => Self::Int64(Int64Builder::new()),
            CellType::Float32 => Self::Float32(Float32Builder::new()),
            CellType::Float64 => Self::Float64(Float64Builder::new()),
            CellType::Decimal(precision, scale) => {
                let builder = Decimal128Builder::new().with_data_type(cells.data_type());
                Self::Decimal(builder, precision, scale)
            }
            CellType::Time => Self::Time(TimestampMicrosecondBuilder::new()),
            CellType::Text => Self::Text(StringBuilder::new()),
            CellType::Bytes => Self::Bytes(BinaryBuilder::new()),
            CellType::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
            CellType::Ints => Self::Ints(ListBuilder::new(Int64Builder::new())),
            CellType::Floats => Self::Floats(ListBuilder::new(Float64Builder::new())),
        }
    }

    pub(crate) fn append_null(&mut self) {
        each!(self, builder => builder.append_null());
    }

    /// The cells as an array; none are left.
    fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// The rows of a scan that were not sent yet.
pub(crate) struct Gather {
    schema: SchemaRef,
    columns: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

impl Gather {
    pub(crate) fn new(select: &Select) -> Self {
        let columns = select.columns.iter().map(|column| Cells::new(column.cells)).collect();
        Self { schema: select.schema.clone(), columns, rows: 0, bytes: 0 }
    }

    /// Adds a row: `append` adds the cell of each column, told by number, and gives its bytes.
    pub(crate) fn row<E>(
        &mut self,
        columns: &[RemoteColumn],
        mut append: impl FnMut(usize, &RemoteColumn, &mut Cells) -> Result<usize, E>,
    ) -> Result<(), E> {
        for (index, (cells, column)) in self.columns.iter_mut().zip(columns).enumerate() {
            self.bytes += append(index, column, cells)?;
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is as much as one batch should hold.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// The rows as a batch; none are left.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, DataFusionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        let columns = self.columns.iter_mut().map(Cells::finish).collect();
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}
