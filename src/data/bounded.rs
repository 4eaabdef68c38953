//! Reading as much as a header announces and no more, whatever a compressed file would unpack to.

use std::io::{self, Read};

use super::error::Problem;
use super::sizes;

/// Reads exactly `expected` bytes, which have to be the last. Memory grows with the bytes that are really there, so
/// that a header which announces too much costs nothing.
pub(super) fn read_rest(reader: impl Read, expected: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let end = reader
        .take(expected.saturating_add(1))
        .read_to_end(&mut bytes);
    let found = bytes.len() as u64;
    match end {
        Ok(_) if found == expected => Ok(bytes),
        Ok(_) if found > expected => Err(Problem::TrailingBytes { expected }),
        Ok(_) => Err(Problem::Truncated { expected, found }),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Problem::Truncated { expected, found })
        }
        Err(e) => Err(e.into()),
    }
}

/// Fills `header`, or says that the file ends inside it.
pub(super) fn read_header(mut reader: impl Read, header: &mut [u8]) -> Result<(), Problem> {
    reader.read_exact(header).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => {
            Problem::Malformed("truncated: ends inside its header".to_owned())
        }
        _ => e.into(),
    })
}

/// The product of an array's sides times the bytes of one element.
pub(super) fn announced(shape: &[usize], element: usize) -> Result<u64, Problem> {
    sizes::product(&[&[element], shape].concat())
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| Problem::TooLarge(format!("{shape:?} elements of {element} bytes")))
}
