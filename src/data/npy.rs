//! One NumPy array from a `.npy` stream: numbers only, never a pickle.
//!
//! The `ndarray-npy` crate allocates what the header announces before it looks for the data; here memory grows with
//! what is there, and the element type is learnt from the file. Format:
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::cmp::Ordering;
use std::io::Read;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::bounded::{announced, read_header, read_rest};
use super::error::Problem;

/// An array in its own element type, widened where nothing is lost for images and labels.
#[derive(Debug)]
pub(super) enum Npy {
    Bytes(ArrayD<u8>),
    Floats(ArrayD<f32>),
    Integers(ArrayD<i64>),
}

#[derive(Debug, PartialEq)]
struct Header {
    /// Of the header itself, in bytes.
    size: u64,
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Where an array's elements are in its file, and their shape, where each is one byte without a sign and they lie in the
/// order of their indices, the last of which runs fastest.
#[derive(Debug)]
pub(super) struct Bytes {
    pub start: u64,
    pub shape: Vec<usize>,
}

impl Bytes {
    /// How many they are.
    pub fn size(&self) -> u64 {
        self.shape.iter().map(|side| *side as u64).product()
    }
}

/// The place of an array's bytes in the `size` bytes of a file; `None` where it is an array of another kind.
pub(super) fn bytes(mut reader: impl Read, size: u64) -> Result<Option<Bytes>, Problem> {
    let header = Header::read(&mut reader)?;
    if header.fortran_order || !header.descr.ends_with("u1") {
        return Ok(None);
    }
    let expected = announced(&header.shape, 1)?;
    let found = size.saturating_sub(header.size);
    match found.cmp(&expected) {
        Ordering::Less => Err(Problem::Truncated { expected, found }),
        Ordering::Greater => Err(Problem::TrailingBytes { expected }),
        Ordering::Equal => Ok(Some(Bytes {
            start: header.size,
            shape: header.shape,
        })),
    }
}

/// The shape that an array announces.
pub(super) fn shape(mut reader: impl Read) -> Result<Vec<usize>, Problem> {
    Ok(Header::read(&mut reader)?.shape)
}

/// Reads an array that fills the rest of `reader`.
pub(super) fn read(mut reader: impl Read) -> Result<Npy, Problem> {
    let header = Header::read(&mut reader)?;
    let (big_endian, kind) = match header.descr.split_at_checked(1) {
        Some((">", kind)) => (true, kind),
        Some(("<" | "|" | "=", kind)) => (false, kind),
        _ => return Err(unsupported(&header.descr)),
    };
    let element = match kind {
        "u1" | "i1" => 1,
        "u2" | "i2" => 2,
        "u4" | "i4" | "f4" => 4,
        "u8" | "i8" | "f8" => 8,
        _ => return Err(unsupported(&header.descr)),
    };
    let mut bytes = read_rest(reader, announced(&header.shape, element)?)?;
    if big_endian {
        bytes.chunks_exact_mut(element).for_each(<[u8]>::reverse);
    }
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    Ok(match kind {
        "u1" => Npy::Bytes(array(shape, bytes)?),
        "f4" => Npy::Floats(array(shape, widen(&bytes, f32::from_le_bytes))?),
        "f8" => Npy::Floats(array(
            shape,
            widen(&bytes, |b| f64::from_le_bytes(b) as f32),
        )?),
        "i1" => Npy::Integers(array(
            shape,
            widen(&bytes, |b| i8::from_le_bytes(b).into()),
        )?),
        "i2" => Npy::Integers(array(
            shape,
            widen(&bytes, |b| i16::from_le_bytes(b).into()),
        )?),
        "i4" => Npy::Integers(array(
            shape,
            widen(&bytes, |b| i32::from_le_bytes(b).into()),
        )?),
        "i8" => Npy::Integers(array(shape, widen(&bytes, i64::from_le_bytes))?),
        "u2" => Npy::Integers(array(
            shape,
            widen(&bytes, |b| u16::from_le_bytes(b).into()),
        )?),
        "u4" => Npy::Integers(array(
            shape,
            widen(&bytes, |b| u32::from_le_bytes(b).into()),
        )?),
        // No label is beyond i64; its largest value is refused later, as out of range.
        _ => Npy::Integers(array(
            shape,
            widen(&bytes, |b| {
                i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX)
            }),
        )?),
    })
}

fn widen<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|bytes| element(*bytes)).collect()
}

fn array<T>(shape: ndarray::Shape<IxDyn>, elements: Vec<T>) -> Result<ArrayD<T>, Problem> {
    ArrayD::from_shape_vec(shape, elements).map_err(|e| Problem::Malformed(e.to_string()))
}

fn unsupported(descr: &str) -> Problem {
    Problem::Malformed(if descr.ends_with('O') {
        "an array of Python objects, as images of several sizes give: save one array of one size"
            .to_owned()
    } else if descr.contains(['U', 'S']) {
        "an array of texts; save the numbers of the classes instead, in the network's order"
            .to_owned()
    } else {
        format!("an array of type {descr:?}; images are uint8 or float32, labels integers")
    })
}

impl Header {
    fn read(reader: &mut impl Read) -> Result<Self, Problem> {
        /// NumPy itself refuses longer headers; a usual one has 118 bytes.
        const LONGEST: usize = 10_000;
        let malformed = |what: &str| Problem::Malformed(format!("not a NumPy array: {what}"));
        let mut start = [0; 8];
        read_header(&mut *reader, &mut start)?;
        let [0x93, b'N', b'U', b'M', b'P', b'Y', major, _] = start else {
            return Err(malformed("the magic bytes are missing"));
        };
        let (before, length) = match major {
            1 => {
                let mut length = [0; 2];
                read_header(&mut *reader, &mut length)?;
                (10, u16::from_le_bytes(length).into())
            }
            2 | 3 => {
                let mut length = [0; 4];
                read_header(&mut *reader, &mut length)?;
                (12, u32::from_le_bytes(length) as usize)
            }
            _ => return Err(malformed(&format!("format version {major} is not known"))),
        };
        if length > LONGEST {
            return Err(malformed(&format!("its header claims {length} bytes")));
        }
        let mut text = vec![0; length];
        read_header(&mut *reader, &mut text)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text, (before + length) as u64)
            .ok_or_else(|| malformed(&format!("its header reads {:?}", text.trim())))
    }

    /// The header is a Python dict of exactly three keys, in any order.
    fn parse(text: &str, size: u64) -> Option<Self> {
        let value = |key: &str| {
            Some(
                text.split_once(key)?
                    .1
                    .trim_start()
                    .strip_prefix(':')?
                    .trim_start(),
            )
        };
        let (descr, _) = value("'descr'")?.strip_prefix('\'')?.split_once('\'')?;
        let order = value("'fortran_order'")?;
        let (shape, _) = value("'shape'")?.strip_prefix('(')?.split_once(')')?;
        let sides = shape
            .split(',')
            .map(str::trim)
            .filter(|side| !side.is_empty());
        Some(Self {
            size,
            descr: descr.to_owned(),
            fortran_order: match order {
                _ if order.starts_with("True") => true,
                _ if order.starts_with("False") => false,
                _ => return None,
            },
            shape: sides.map(|side| side.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ArrayD, array};
    use ndarray_npy::WriteNpyExt;

    fn bytes(array: &impl WriteNpyExt) -> Vec<u8> {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn arrays_written_by_another_implementation_read_back() {
        let written = array![[1_i32, -2, 3], [4, 5, 600]];
        let Npy::Integers(read) = read(&bytes(&written)[..]).unwrap() else {
            panic!("integers are not read as integers");
        };
        assert_eq!(read, written.mapv(i64::from).into_dyn());
    }

    #[test]
    fn fortran_order_is_not_transposed() {
        let written = Array2::from_shape_fn((3, 2).f(), |(i, j)| (10 * i + j) as f32);
        let Npy::Floats(read) = read(&bytes(&written)[..]).unwrap() else {
            panic!("floats are not read as floats");
        };
        assert_eq!(read, written.into_dyn());
    }

    #[test]
    fn big_endian_numbers_are_swapped() {
        let mut file = bytes(&array![258_u16, 1]);
        let at = file.windows(3).position(|w| w == b"<u2").unwrap();
        file[at] = b'>';
        let Npy::Integers(read) = read(&file[..]).unwrap() else {
            panic!("integers are not read as integers");
        };
        assert_eq!(
            read,
            ArrayD::from_shape_vec(vec![2], vec![513, 256]).unwrap()
        );
    }

    fn with_header(text: &str) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
        file
    }

    #[test]
    fn a_header_that_lies_about_the_size_costs_no_memory() {
        let file =
            with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }");
        let problem = read(&file[..]).unwrap_err();
        assert!(
            matches!(problem, Problem::Truncated { found: 0, .. }),
            "{problem}"
        );

        let shape = "(4294967296, 4294967296, 16)";
        let file = with_header(&format!(
            "{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        ));
        let problem = read(&file[..]).unwrap_err();
        assert!(matches!(problem, Problem::TooLarge(_)), "{problem}");
    }

    #[test]
    fn object_arrays_are_explained() {
        let file = with_header("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }");
        let message = read(&file[..]).unwrap_err().to_string();
        assert!(message.contains("several sizes"), "{message}");
    }
}
