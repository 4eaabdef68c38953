#!/usr/bin/env python3
"""Writes the inputs that a corpus grows from, out of the tests' own fixtures: python3 fuzz/seeds.py FOLDER"""

import gzip
import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
# The order of FIXTURES in src/lib.rs.
FIXTURES = ["basic_scripted", "basic_frozen", "preact_traced", "inplace_scripted", "halves_scripted", "branch_scripted",
            "outputs_dict_scripted", "dropout_traced"]
SMALL = 40_000
# The order of PROGRAMS in src/lib.rs.
PROGRAMS = ["sized", "branch_exported", "tied"]


def archives():
    return [path for path in sorted((TESTS / "archives").glob("*.pt")) if path.stat().st_size < SMALL]


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def root_file(content):
    """The source file that holds the class of the root module: its name is the first in the pickle."""
    module = content["data.pkl"].split(b"c", 1)[1].split(b"\n", 1)[0].decode()
    return content[f"code/{module.replace('.', '/')}.py"]


def png(width, height, color, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy(kind, shape, body):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def npz(method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("images.npy", npy("|u1", (2, 4, 4, 3), bytes(range(96))))
        archive.writestr("labels.npy", npy("<i8", (2,), struct.pack("<2q", 0, 1)))
    return out.getvalue()


def data():
    idx = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 2) + bytes(range(8))
    zipped = gzip.compress(idx, mtime=0)
    bmp = b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    tiff = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 8) + b"".join(
        struct.pack("<HHII", tag, 3, 1, value) for tag, value in
        [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 110), (278, 1), (279, 1)]) + bytes(8)
    ppm = b"P6 2 2 255\n" + bytes(12)
    grey, rgb = png(2, 2, 0, b"\0ab\0cd"), png(2, 1, 2, b"\0abcdef")
    cifar = b"\x01" + bytes(3072)
    half = lambda first: first + gzip.compress(b"\0\0\x08\x01\0\0\0\x02\0\x01", mtime=0).ljust(len(first), b"\0")
    images, labels = npy("|u1", (2, 2, 2, 2), bytes(range(16))), npy("<i8", (2,), struct.pack("<2q", 0, 1))
    rows = npy("<f4", (2, 2), struct.pack("<4f", 0, 1, 1, 0))
    lists = [b"a\nb\n10\n", b'["10", "a", "b"]', b'{"0": ["b", "bee"], "1": ["a"], "2": ["10"]}', b'{"a": 0, "b": 1, "10": 2}']
    return [b"\xfd" + images + labels, b"\xfd" + images + rows, b"\xfe" + images, *(b"\xff" + names for names in lists), b"\0" + idx, b"\1" + half(zipped), b"\2" + cifar, b"\2" + cifar * 2, b"\3\1" + cifar,
            b"\4" + npz(zipfile.ZIP_STORED), b"\4" + npz(zipfile.ZIP_DEFLATED), b"\5" + grey, b"\5" + rgb,
            b"\6" + bmp + bytes(4), b"\6" + gif, b"\6" + tiff, b"\7" + ppm, b"\7RIFF"]


def seeds():
    sources = [path.read_bytes() for folder in ("valid", "invalid") for path in sorted((TESTS / "sources" / folder).glob("*.py"))]
    content = [entries(path) for path in archives()]
    own = [bytes([i]) + root_file(entries(TESTS / "archives" / f"{name}.pt")) for i, name in enumerate(FIXTURES)]
    # The themes have classes of other names: here they are only words to put together.
    yield "zip", [path.read_bytes() for path in archives() if path.stat().st_size < 12_000]
    yield "pickle", [files[name] for files in content for name in ("data.pkl", "constants.pkl") if name in files]
    yield "parse", sources
    yield "print", sources
    yield "blocks", own
    yield "patch", own
    programs = [entries(TESTS / "archives" / "exported" / f"{name}.pt2") for name in PROGRAMS]
    documents = [(0, "models/model.json"), (129, "data/weights/model_weights_config.json")]
    yield "exported", [bytes([first + i]) + files[name] for i, files in enumerate(programs) for first, name in documents]
    yield "data", data()


def main():
    for target, inputs in seeds():
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for i, content in enumerate(inputs):
            (folder / f"seed-{i:03}").write_bytes(content)
        print(target, len(inputs), sum(map(len, inputs)), "bytes")


if __name__ == "__main__":
    main()
