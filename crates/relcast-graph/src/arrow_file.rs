//! Arrow IPC files read in place: arrays point into the mapping of the file.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, MetadataVersion, root_as_footer};

use crate::error::GraphError;
use crate::mmap::map;

/// Bytes after the footer: its length and the magic word.
const TRAILER: usize = 10;

/// A mapped Arrow IPC file without dictionaries.
#[derive(Debug)]
pub struct ArrowFile {
    schema: SchemaRef,
    version: MetadataVersion,
    /// The part of the file that holds each batch.
    blocks: Vec<(Block, Buffer)>,
}

impl ArrowFile {
    /// Maps the file at `path` and reads its footer.
    ///
    /// # Errors
    /// If it cannot be mapped or is no Arrow file.
    pub fn open(path: &Path) -> Result<Self, GraphError> {
        Self::parse(&map(path)?).map_err(|reason| GraphError::damaged(path, reason))
    }

    /// Reads the footer of a mapped file; the error says what is wrong with it.
    pub fn parse(file: &Buffer) -> Result<Self, String> {
        let short = || "it is too short for an Arrow file".to_owned();
        let (rest, trailer) = file.split_last_chunk::<TRAILER>().ok_or_else(short)?;
        let len = read_footer_length(*trailer).map_err(|e| e.to_string())?;
        let start = rest.len().checked_sub(len).ok_or_else(short)?;
        let footer = root_as_footer(&rest[start..]).map_err(|e| e.to_string())?;
        let schema = footer.schema().ok_or("it has no schema")?;
        let blocks = footer.recordBatches().into_iter().flatten();
        let blocks = blocks
            .map(|block| {
                let offset = usize::try_from(block.offset()).map_err(|e| e.to_string())?;
                let len = block.bodyLength() + i64::from(block.metaDataLength());
                let len = usize::try_from(len).map_err(|e| e.to_string())?;
                if offset.checked_add(len).is_none_or(|end| end > start) || len < 8 {
                    return Err("a batch lies outside the file".to_owned());
                }
                Ok((*block, file.slice_with_length(offset, len)))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { schema: Arc::new(fb_to_schema(schema)), version: footer.version(), blocks })
    }

    /// The columns of the file.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many batches it has.
    pub fn batches(&self) -> usize {
        self.blocks.len()
    }

    /// Batch number `i` with the columns at `projection` alone, in ascending order.
    ///
    /// # Errors
    /// Arrow's, if the batch is not a valid one.
    pub fn batch(&self, i: usize, projection: &[usize]) -> Result<RecordBatch, ArrowError> {
        let (block, data) = &self.blocks[i];
        let decoder = FileDecoder::new(self.schema.clone(), self.version)
            .with_projection(projection.to_vec());
        let missing = || ArrowError::IpcError("a batch is missing".into());
        decoder.read_record_batch(block, data)?.ok_or_else(missing)
    }
}
