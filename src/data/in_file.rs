//! Images that stay in their file, which is read an image at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// An array of bytes in a file, image after image.
#[derive(Debug)]
pub(super) struct InFile {
    pub file: File,
    /// The place of the first image's first byte.
    pub start: u64,
    /// Height × width × channels; otherwise channels × height × width.
    pub channels_last: bool,
}

impl InFile {
    /// The pixels of an image of this shape, channels × height × width.
    pub fn image(&self, index: usize, shape: [usize; 3]) -> io::Result<Vec<u8>> {
        let mut pixels = vec![0; shape.iter().product()];
        let at = self.start + index as u64 * pixels.len() as u64;
        self.file.read_exact_at(&mut pixels, at)?;
        Ok(match self.channels_last {
            true => channels_first(&pixels, shape[0]),
            false => pixels,
        })
    }
}

fn channels_first(pixels: &[u8], channels: usize) -> Vec<u8> {
    let plane = |channel: usize| pixels.iter().skip(channel).step_by(channels);
    (0..channels).flat_map(plane).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_image_is_found_behind_those_before_it_with_its_channels_first() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"head").unwrap();
        file.write_all(&(0..24).collect::<Vec<u8>>()).unwrap();
        let image = |channels_last| {
            let file = file.try_clone().unwrap();
            let in_file = InFile {
                file,
                start: 4,
                channels_last,
            };
            in_file.image(1, [3, 2, 2]).unwrap()
        };
        assert_eq!(image(false), (12..24).collect::<Vec<u8>>());
        let last = [12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23];
        assert_eq!(image(true), last);
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 20]).unwrap();
        let in_file = InFile {
            file,
            start: 0,
            channels_last: false,
        };
        assert!(in_file.image(0, [3, 2, 2]).is_ok());
        assert!(in_file.image(1, [3, 2, 2]).is_err());
    }
}
