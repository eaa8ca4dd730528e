//! Files as buffers without copying them. The only unsafe code of the crate.

#![allow(unsafe_code)] // mapping a file is unsafe: another process could change it

use std::fs::File;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::error::GraphError;

/// Maps all of `path`; the buffer starts at a page, so it is aligned for values of any type.
///
/// # Errors
/// If the file cannot be mapped.
pub fn map(path: &Path) -> Result<Buffer, GraphError> {
    let file = File::open(path).map_err(GraphError::file(path))?;
    if file.metadata().map_err(GraphError::file(path))?.len() == 0 {
        return Ok(Buffer::from(Vec::<u64>::new()));
    }
    // SAFETY: snapshots are written once under a temporary name and renamed into place; relcast
    // never writes to a file of a snapshot that can be opened.
    let mapped = Arc::new(unsafe { memmap2::Mmap::map(&file) }.map_err(GraphError::file(path))?);
    let pointer = NonNull::from(&mapped[..]).cast::<u8>();
    // SAFETY: pointer and length are those of the mapping, which the buffer keeps alive.
    Ok(unsafe { Buffer::from_custom_allocation(pointer, mapped.len(), mapped) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_outlives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        std::fs::write(&path, [1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        let buffer = map(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(buffer.typed_data::<u32>(), [1, 2]);
        assert!(matches!(map(&path), Err(GraphError::File { .. })));
    }
}
