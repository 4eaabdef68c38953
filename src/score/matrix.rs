//! Matrices in JSON documents: their shape and the bytes of their elements, so that every bit comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array, Dimension};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An element as bytes, the lowest first.
pub trait Bytes: Copy {
    const SIZE: usize;
    fn write(self, out: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! little_endian {
    ($($element:ty),*) => {$(
        impl Bytes for $element {
            const SIZE: usize = size_of::<$element>();
            fn write(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(<$element>::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}

little_endian!(f32, f64);

#[derive(Serialize, Deserialize)]
struct Written<S> {
    shape: S,
    /// Row-major, little-endian, in base 64.
    data: String,
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<A: Bytes, D: Dimension + Serialize, S: Serializer>(
    matrix: &Array<A, D>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(matrix.len() * A::SIZE);
    matrix.iter().for_each(|element| element.write(&mut bytes));
    let written = Written {
        shape: matrix.raw_dim(),
        data: STANDARD.encode(bytes),
    };
    written.serialize(serializer)
}

/// For `#[serde(with)]`.
///
/// # Errors
/// If it is not base 64, or has not as many elements as the shape says.
pub fn deserialize<'de, A: Bytes, D: Dimension + DeserializeOwned, De: Deserializer<'de>>(
    deserializer: De,
) -> Result<Array<A, D>, De::Error> {
    let written = Written::<D>::deserialize(deserializer)?;
    let bytes = STANDARD.decode(written.data).map_err(De::Error::custom)?;
    let elements: Option<Vec<A>> = bytes.chunks(A::SIZE).map(A::read).collect();
    let elements = elements.ok_or_else(|| De::Error::custom("a matrix that is cut short"))?;
    Array::from_shape_vec(written.shape, elements).map_err(De::Error::custom)
}
