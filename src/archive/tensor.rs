use super::ArchiveError;
use crate::program::dtype::Dtype;

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
