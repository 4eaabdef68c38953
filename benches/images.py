"""Images as ckaprune and PyTorch both read them: one .npz of bytes, without labels. Needs nothing but the library."""

import random
import zipfile
from pathlib import Path

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CIFAR_SIDE = 32
CIFAR_PIXELS = 3 * CIFAR_SIDE * CIFAR_SIDE


def cifar10(folder: Path, count: int) -> bytes:
    """The first training images of CIFAR-10 in its binary version: a label byte, then the pixels by channel."""
    pixels = []
    for file in sorted(folder.glob("data_batch_*.bin")):
        records = file.read_bytes()
        starts = range(1, len(records), 1 + CIFAR_PIXELS)
        pixels += [records[start : start + CIFAR_PIXELS] for start in starts]
    if len(pixels) < count:
        raise ValueError(f"{folder}: {len(pixels)} training images of CIFAR-10, and {count} are wanted")
    return b"".join(pixels[:count])


def synthetic(count: int, side: int, seed: int = 0) -> bytes:
    """Coarse checks of random greys in each channel: the pooled features of plain noise are the same for all images."""
    source = random.Random(seed)
    check = side // 4
    rows = (source.randbytes(4) for _ in range(count * 3 * 4))
    return b"".join(b"".join(bytes([grey]) * check for grey in row) * check for row in rows)


def write(path: Path, pixels: bytes, side: int) -> None:
    """N x 3 x side x side. Without labels, since ckaprune sets a tenth of labelled images aside."""
    shape = (len(pixels) // (3 * side * side), 3, side, side)
    header = str({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    # The magic bytes, the version and the length take 10 bytes; NumPy wants the pixels to begin at a multiple of 64.
    header = header.ljust(64 * (len(header) // 64 + 2) - 11) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pixels)


def read(path: Path) -> bytes:
    """The pixels of what `write` wrote."""
    array = zipfile.ZipFile(path).read("images.npy")
    return array[10 + int.from_bytes(array[8:10], "little") :]
