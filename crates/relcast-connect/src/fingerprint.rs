//! A stable name for the contents of a set of files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// Hashes names, sizes and contents of `files`, in the order given; 32 hexadecimal digits.
///
/// The folder the files lie in doesn't count, so a copied database keeps its fingerprint.
/// On failure gives the position of the file that couldn't be read.
pub(crate) fn of_files<P: AsRef<Path>>(files: &[P]) -> Result<String, (usize, io::Error)> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0u8; 1 << 20];
    for (index, file) in files.iter().enumerate() {
        add_file(&mut hash, file.as_ref(), &mut buffer).map_err(|e| (index, e))?;
    }
    Ok(format!("{:032x}", hash.digest128()))
}

fn add_file(hash: &mut Xxh3, path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = File::open(path)?;
    hash.update(name.as_bytes());
    hash.update(&[0]);
    hash.update(&file.metadata()?.len().to_le_bytes());
    loop {
        let read = file.read(buffer)?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hash.update(bytes),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn name_and_content_count_the_folder_does_not() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(a.path().join("t.csv"), "x\n1\n").unwrap();
        std::fs::write(b.path().join("t.csv"), "x\n1\n").unwrap();
        std::fs::write(b.path().join("u.csv"), "x\n1\n").unwrap();
        std::fs::write(b.path().join("v.csv"), "x\n2\n").unwrap();
        let of = |p: &Path| of_files(&[p]).unwrap();
        assert_eq!(of(&a.path().join("t.csv")), of(&b.path().join("t.csv")));
        assert_ne!(of(&b.path().join("t.csv")), of(&b.path().join("u.csv")));
        assert_ne!(of(&b.path().join("u.csv")), of(&b.path().join("v.csv")));
    }
}
