//! Element types of tensors.

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float8E5M2,
    Float8E5M2Fnuz,
    Float8E4M3Fn,
    Float8E4M3Fnuz,
    BFloat16,
    Float16,
    Float32,
    Float64,
    ComplexFloat16,
    ComplexFloat32,
    ComplexFloat64,
    Bool,
    QInt8,
    QUInt8,
    QInt32,
}

/// Type, bytes an element, and the class `torch` knows the storage by.
const DTYPES: [(Dtype, u64, &str); 23] = [
    (Dtype::UInt8, 1, "ByteStorage"),
    (Dtype::UInt16, 2, "UInt16Storage"),
    (Dtype::UInt32, 4, "UInt32Storage"),
    (Dtype::UInt64, 8, "UInt64Storage"),
    (Dtype::Int8, 1, "CharStorage"),
    (Dtype::Int16, 2, "ShortStorage"),
    (Dtype::Int32, 4, "IntStorage"),
    (Dtype::Int64, 8, "LongStorage"),
    (Dtype::Float8E5M2, 1, "Float8_e5m2Storage"),
    (Dtype::Float8E5M2Fnuz, 1, "Float8_e5m2fnuzStorage"),
    (Dtype::Float8E4M3Fn, 1, "Float8_e4m3fnStorage"),
    (Dtype::Float8E4M3Fnuz, 1, "Float8_e4m3fnuzStorage"),
    (Dtype::BFloat16, 2, "BFloat16Storage"),
    (Dtype::Float16, 2, "HalfStorage"),
    (Dtype::Float32, 4, "FloatStorage"),
    (Dtype::Float64, 8, "DoubleStorage"),
    (Dtype::ComplexFloat16, 4, "ComplexHalfStorage"),
    (Dtype::ComplexFloat32, 8, "ComplexFloatStorage"),
    (Dtype::ComplexFloat64, 16, "ComplexDoubleStorage"),
    (Dtype::Bool, 1, "BoolStorage"),
    (Dtype::QInt8, 1, "QInt8Storage"),
    (Dtype::QUInt8, 1, "QUInt8Storage"),
    (Dtype::QInt32, 4, "QInt32Storage"),
];

impl Dtype {
    /// The type of `torch.<class>`, e.g. `FloatStorage`.
    pub fn from_storage_class(class: &str) -> Option<Self> {
        DTYPES
            .iter()
            .find(|(.., name)| *name == class)
            .map(|(dtype, ..)| *dtype)
    }

    /// The inverse of [`from_storage_class`](Self::from_storage_class).
    #[must_use]
    pub fn storage_class(self) -> &'static str {
        DTYPES
            .iter()
            .find(|(dtype, ..)| *dtype == self)
            .map_or("", |(.., name)| *name)
    }

    /// Bytes of one element.
    pub fn size(self) -> u64 {
        DTYPES
            .iter()
            .find(|(dtype, ..)| *dtype == self)
            .map_or(0, |(_, size, _)| *size)
    }

    /// Whether its elements are real numbers that arithmetic rounds: what weights are made of.
    #[must_use]
    pub fn is_floating(self) -> bool {
        matches!(
            self,
            Dtype::Float8E5M2
                | Dtype::Float8E5M2Fnuz
                | Dtype::Float8E4M3Fn
                | Dtype::Float8E4M3Fnuz
                | Dtype::BFloat16
                | Dtype::Float16
                | Dtype::Float32
                | Dtype::Float64
        )
    }
}
