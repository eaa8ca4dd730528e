//! Files as typed slices without copying them.

#![allow(unsafe_code)] // mapping a file is unsafe: another process could change it

use std::fs::File;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

use crate::error::GraphError;

/// Maps `path` and reads it as `len` values of `T`.
///
/// # Errors
/// If the file cannot be mapped or has another length.
pub fn map<T: ArrowNativeType>(path: &Path, len: usize) -> Result<ScalarBuffer<T>, GraphError> {
    let file_error = |source| GraphError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(file_error)?;
    let bytes = file.metadata().map_err(file_error)?.len();
    let expected = (len * size_of::<T>()) as u64;
    if bytes != expected {
        let reason = format!("it has {bytes} bytes instead of {expected}");
        return Err(GraphError::Damaged { path: path.to_owned(), reason });
    }
    if len == 0 {
        return Ok(ScalarBuffer::from(Vec::new()));
    }
    // SAFETY: snapshots are written once under a temporary name and renamed into place; relcast
    // never writes to a snapshot that can be opened.
    let mapped = Arc::new(unsafe { memmap2::Mmap::map(&file) }.map_err(file_error)?);
    let pointer = NonNull::from(&mapped[..]).cast::<u8>();
    // SAFETY: the pointer and length are those of the mapping, which the buffer keeps alive.
    let buffer = unsafe { Buffer::from_custom_allocation(pointer, mapped.len(), mapped) };
    Ok(ScalarBuffer::new(buffer, 0, len))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        std::fs::write(&path, [1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        assert_eq!(map::<u32>(&path, 2).unwrap().as_ref(), [1, 2]);
        assert!(matches!(map::<u32>(&path, 3), Err(GraphError::Damaged { .. })));
    }
}
