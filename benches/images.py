"""Images as ckaprune and PyTorch both read them: one .npz of bytes. Needs nothing but the library."""

import random
import zipfile
from pathlib import Path
from typing import Tuple

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
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", array("|u1", image_shape(pixels, side), pixels))


def write_labelled(path: Path, train: bytes, test: bytes, side: int, classes: int) -> None:
    """A training and a test part, the classes in turn: what an image shows does not matter to the time it takes."""
    with zipfile.ZipFile(path, "w") as file:
        for part, pixels in (("train", train), ("test", test)):
            shape = image_shape(pixels, side)
            labels = bytes(i % classes for i in range(shape[0]))
            file.writestr(f"x_{part}.npy", array("|u1", shape, pixels))
            file.writestr(f"y_{part}.npy", array("|u1", shape[:1], labels))


def image_shape(pixels: bytes, side: int) -> Tuple[int, ...]:
    return len(pixels) // (3 * side * side), 3, side, side


def array(element: str, shape: Tuple[int, ...], values: bytes) -> bytes:
    """As NumPy stores it."""
    header = str({"descr": element, "fortran_order": False, "shape": shape}).encode()
    # The magic bytes, the version and the length take 10 bytes; NumPy wants the values to begin at a multiple of 64.
    header = header.ljust(64 * (len(header) // 64 + 2) - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


def read(path: Path, name: str = "images") -> bytes:
    """The values of one array of what was written here."""
    stored = zipfile.ZipFile(path).read(f"{name}.npy")
    return stored[10 + int.from_bytes(stored[8:10], "little") :]
