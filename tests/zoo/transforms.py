"""Compares the pixels that ckaprune gives a network with those of torchvision's evaluation transforms on Pillow's images.

    python transforms.py --ckaprune target/release/ckaprune

The network knows what torchvision made of every image, and names the image that its input equals in every pixel; it gives
another answer if there is none. Exit code 1 if any image differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode

IMAGES = 40
# Heights and widths: both ways round, smaller than the crop, enlarged, of odd and of extreme proportions.
SIZES = [(375, 500), (500, 375), (333, 500), (97, 131), (224, 224), (256, 256), (257, 255), (31, 47), (224, 300),
         (300, 223), (1, 1), (3, 2), (640, 21), (21, 640), (199, 1024), (900, 280), (180, 226), (481, 640), (300, 77), (255, 256)]
MODES = ["RGB", "RGB", "L", "RGBA", "P"]
BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC

# What stands on the command line, and the same in torchvision.
CASES = {
    "--resize 256 --crop 224": [transforms.Resize(256, BILINEAR), transforms.CenterCrop(224)],
    "--resize 256 --crop 224 --interpolation bicubic": [transforms.Resize(256, BICUBIC), transforms.CenterCrop(224)],
    "--crop-pct 0.95 --crop 99 --interpolation bicubic": [transforms.Resize(104, BICUBIC), transforms.CenterCrop(99)],
    "--resize 100 --crop 128x73": [transforms.Resize(100, BILINEAR), transforms.CenterCrop((128, 73))],
    "--crop 224": [transforms.CenterCrop(224)],
    "--resize 65x129 --interpolation bicubic": [transforms.Resize((65, 129), BICUBIC)],
}


class Known(nn.Module):
    """The number of the image that equals the input; the number behind the last one if none does."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.register_buffer("images", images)

    def forward(self, x: Tensor) -> Tensor:
        same = (x.unsqueeze(1) == self.images.float()).flatten(2).float().mean(2)
        none = torch.full_like(same[:, :1], 0.5) + 0.5 * (same.max(1, keepdim=True)[0] < 1.0).float()
        return torch.cat([(same == 1.0).float(), none * 0.9], 1)


def picture(number: int) -> Image.Image:
    """Noise over slopes and edges, so that every rounding is met."""
    height, width = SIZES[number % len(SIZES)]
    random = np.random.default_rng(number)
    slope = np.add.outer(np.linspace(0, 200, height), np.linspace(0, 55, width))[..., None]
    pixels = slope + random.integers(-60, 60, (height, width, 3)) + 90 * (random.random((height, width, 1)) > 0.8)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image.convert(MODES[number % len(MODES)])


def write(folder: Path) -> list:
    paths = []
    for number in range(IMAGES):
        path = folder / "test" / f"{number:02}" / "image.png"
        path.parent.mkdir(parents=True)
        picture(number).save(path)
        paths.append(path)
    return paths


def expected(paths: list, steps: list) -> Tensor:
    transform = transforms.Compose([*steps, transforms.PILToTensor()])
    return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])


def agreeing(ckaprune: str, options: str, folder: Path, images: Tensor) -> int:
    model = folder / "known.pt"
    torch.jit.script(Known(images).eval()).save(str(model))
    line = [ckaprune, "eval", "--model", model, "--data", folder, "--pixel-range", "255", "--device", "cpu", "--passes", "0",
            "--batch-size", "4", "--quiet", "--json", *options.split()]
    done = subprocess.run([str(word) for word in line], stdout=subprocess.PIPE, check=True)
    report = json.loads(done.stdout)
    assert report["images"] == IMAGES, report
    return report["correct"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckaprune", required=True)
    arguments = parser.parse_args()
    failed = 0
    for options, steps in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = write(Path(folder))
            equal = agreeing(arguments.ckaprune, options, Path(folder), expected(paths, steps))
        print(f"{options}: {equal} of {IMAGES} images equal torchvision's in every pixel")
        failed += equal < IMAGES
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
