"""Makes images of circles, squares and triangles, a class for each of their pixels, and a small residual network.

    python shapes.py --output shapes

leaves shapes/images.npz (train and test images), shapes/masks.npz (the classes of their pixels), and shapes/network.pt, which
knows nothing yet: segment.py trains it.
"""

import argparse
import pathlib

import numpy
import torch
import torch.nn.functional as F
from torch import nn

SIDE = 48


def drawn(count: int, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images (count x side x side x 3, bytes) and classes of their pixels: 0 nothing, 1 circle, 2 square, 3 triangle."""
    random = numpy.random.default_rng(seed)
    down, across = numpy.mgrid[:SIDE, :SIDE]
    images = numpy.empty((count, SIDE, SIDE, 3), numpy.uint8)
    masks = numpy.zeros((count, SIDE, SIDE), numpy.uint8)
    for image, mask in zip(images, masks):
        canvas = random.uniform(40, 215, 3) + random.normal(0, 25, (SIDE, SIDE, 3))
        for _ in range(random.integers(1, 4)):
            kind, size = random.integers(1, 4), random.uniform(5, 12)
            y, x = down - random.uniform(8, SIDE - 8), across - random.uniform(8, SIDE - 8)
            inside = {
                1: y**2 + x**2 < size**2,
                2: numpy.maximum(abs(y), abs(x)) < 0.85 * size,
                3: (y < 0.8 * size) & (y > 2 * abs(x) - size),
            }[int(kind)]
            canvas[inside] = random.uniform(0, 255, 3) + random.normal(0, 25, (inside.sum(), 3))
            mask[inside] = kind
        image[:] = canvas.clip(0, 255)
    return images, masks


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


def entry(inputs: int, outputs: int) -> nn.Sequential:
    """Half the height and width."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Network(nn.Module):
    """Images of 0 to 1 (n x 3 x h x w) to scores of the four classes at each pixel (n x 4 x h x w)."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(entry(3, 16), *(Block(16) for _ in range(6)))
        self.layer2 = nn.Sequential(entry(16, 32), *(Block(32) for _ in range(6)))
        self.classifier = nn.Conv2d(32, 4, 3, padding=1)

    def forward(self, images):
        scores = self.classifier(self.layer2(self.layer1(images)))
        return F.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    torch.manual_seed(0)
    (x_train, y_train), (x_test, y_test) = drawn(4000, 1), drawn(1000, 2)
    numpy.savez(options.output / "images.npz", x_train=x_train, x_test=x_test)
    numpy.savez(options.output / "masks.npz", y_train=y_train, y_test=y_test)
    torch.jit.script(Network().eval()).save(str(options.output / "network.pt"))


if __name__ == "__main__":
    main()
