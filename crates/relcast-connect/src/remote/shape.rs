//! Tables and columns as their database describes them.

use arrow::datatypes::{DataType, Field, TimeUnit};

/// A table as its database describes it.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Its own name.
    pub(crate) name: String,
    /// The name in SQL.
    pub(crate) sql: String,
    pub(crate) columns: Vec<RemoteColumn>,
}

/// A column as its database describes it.
#[derive(Debug, Clone)]
pub(crate) struct RemoteColumn {
    pub(crate) name: String,
    pub(crate) cells: CellType,
    pub(crate) nullable: bool,
    /// What a SELECT asks for to get cells of this type.
    pub(crate) sql: String,
    pub(crate) compares: Compares,
}

impl RemoteColumn {
    pub(crate) fn field(&self) -> Field {
        Field::new(&self.name, self.cells.data_type(), self.nullable)
    }
}

/// Which comparisons of a column with a value are the same there as here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compares {
    /// None that is known to be.
    Nothing,
    /// Equality, and so IN.
    Equality,
    /// Equality and order.
    Order,
}

/// The type of a remote column here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellType {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Precision (at most 38) and scale.
    Decimal(u8, i8),
    /// Microseconds in UTC.
    Time,
    Text,
    Bytes,
    Texts,
    Ints,
    Floats,
}

impl CellType {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Texts => DataType::new_list(DataType::Utf8, true),
            Self::Ints => DataType::new_list(DataType::Int64, true),
            Self::Floats => DataType::new_list(DataType::Float64, true),
        }
    }
}

/// A name in SQL, whatever signs it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
