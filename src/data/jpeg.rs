//! Whether a JPEG file is complete.
//!
//! Decoders make an image of whatever bytes there are. A file that was cut off lacks the marker that ends every image,
//! for which Pillow refuses it too. Bytes behind that marker do not count.

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// Whether the end-of-image marker of the file's own image is there: previews inside of it have markers of their own.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        match next_marker(rest) {
            None => return false,
            Some((END, _)) => return true,
            // Restart markers stand between the bytes of a scan, and a few markers alone.
            Some((0x01 | 0xd0..=0xd7 | START, behind)) => rest = behind,
            Some((code, behind)) => {
                let Some(behind) = behind_segment(behind) else {
                    return false;
                };
                rest = match code {
                    SCAN => behind_scan(behind),
                    _ => behind,
                };
            }
        }
    }
}

/// The code of the next marker, and what follows it. Other bytes before it are passed over.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let at = bytes
        .windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff))?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

/// What follows a segment that begins with its length.
fn behind_segment(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    bytes.get(usize::from(length.max(2))..)
}

/// The marker behind the data of a scan, in which 0xff is a byte like others only where a zero follows.
fn behind_scan(bytes: &[u8]) -> &[u8] {
    let ends = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    match bytes.windows(2).position(ends) {
        Some(at) => &bytes[at..],
        None => &[],
    }
}
