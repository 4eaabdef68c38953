use super::ArchiveError;

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

    /// Bytes of one element.
    pub fn size(self) -> u64 {
        DTYPES
            .iter()
            .find(|(dtype, ..)| *dtype == self)
            .map_or(0, |(_, size, _)| *size)
    }
}

/// A tensor as a pickle describes it: a strided view of a storage that lies elsewhere in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRef {
    /// Key of the storage: `N` of the entry `data/N` or `constants/N`, by the pickle it was found in.
    pub storage: String,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Elements in the whole storage, which may serve other tensors as well.
    pub storage_len: u64,
    /// First element of the tensor in the storage.
    pub offset: u64,
    /// Extent of each dimension.
    pub shape: Vec<i64>,
    /// Elements from one index to the next, for each dimension.
    pub strides: Vec<i64>,
    /// Whether the optimiser may change it.
    pub requires_grad: bool,
    /// Where it lived when it was saved, e.g. `cpu` or `cuda:0`.
    pub device: String,
}

impl TensorRef {
    /// Number of elements; 1 for a scalar.
    pub fn numel(&self) -> u64 {
        self.shape
            .iter()
            .map(|extent| extent.unsigned_abs())
            .product()
    }

    /// Bytes of the whole storage.
    pub fn storage_bytes(&self) -> u64 {
        self.storage_len.saturating_mul(self.dtype.size())
    }

    /// Whether the elements lie one behind the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(&extent, &stride)| {
                let fits = extent == 1 || stride == expected;
                expected *= extent.max(1);
                fits
            })
    }

    /// Checks that every element lies in the storage.
    ///
    /// # Errors
    /// [`ArchiveError::MalformedTensor`] for extents or strides that no tensor has,
    /// [`ArchiveError::TensorOutOfBounds`] when an element lies outside.
    pub(super) fn check(&self) -> Result<(), ArchiveError> {
        if self.shape.len() != self.strides.len() {
            return Err(ArchiveError::MalformedTensor {
                what: "as many strides as dimensions",
            });
        }
        if self
            .shape
            .iter()
            .chain(&self.strides)
            .any(|&value| value < 0)
        {
            return Err(ArchiveError::MalformedTensor {
                what: "a negative extent or stride",
            });
        }
        match self.end() {
            Some(end) if end <= self.storage_len => Ok(()),
            _ => Err(ArchiveError::TensorOutOfBounds {
                storage: self.storage.clone(),
                shape: self.shape.clone(),
                len: self.storage_len,
            }),
        }
    }

    /// One past the last element in the storage; `None` when that, the element count or the byte count
    /// overflows.
    fn end(&self) -> Option<u64> {
        // The product is taken for its overflow check: an empty dimension must not hide an absurd one.
        self.shape
            .iter()
            .filter(|&&extent| extent > 0)
            .try_fold(1_i64, |product, &extent| product.checked_mul(extent))?;
        let extents = || self.shape.iter().map(|extent| extent.unsigned_abs());
        self.storage_len.checked_mul(self.dtype.size())?;
        if extents().any(|extent| extent == 0) {
            return Some(self.offset);
        }
        let reach = extents()
            .zip(&self.strides)
            .try_fold(0_u64, |sum, (extent, stride)| {
                sum.checked_add((extent - 1).checked_mul(stride.unsigned_abs())?)
            })?;
        self.offset.checked_add(reach)?.checked_add(1)
    }
}
