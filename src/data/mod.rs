//! Labelled images: readers by format, batches, augmentation.
