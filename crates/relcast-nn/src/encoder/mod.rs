//! Encoders: from the features of a row to its first hidden state.

mod row;

pub use row::RowEncoder;
