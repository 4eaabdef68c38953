"""Makes the demo: a small residual network trained on Fashion-MNIST, and a sample of that data set.

    python make.py DATASET_FOLDER [--epochs 9]

DATASET_FOLDER holds the four original IDX files (`train-images-idx3-ubyte.gz` and so on). Results are written
beside this script: `model.pt` (TorchScript) and `fashion-mnist/` (the sample, same file names and format).
Test images take no part in training, in the choice of the epoch (always the last) or in any setting.
"""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = 0.2860, 0.3530
BATCH = 128
SEED = 20240517
TRAIN_PER_CLASS, TEST_PER_CLASS = 300, 100
HERE = Path(__file__).parent


class Block(nn.Module):
    """Two 3×3 convolutions around a skip connection."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.shortcut(x))


class Network(nn.Module):
    """A stem, three stages of five blocks (widths 8, 16 and 32), global pooling and a linear classifier."""

    def __init__(self, blocks: int = 5, classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.stage1 = self.stage(8, 8, 1, blocks)
        self.stage2 = self.stage(8, 16, 2, blocks)
        self.stage3 = self.stage(16, 32, 2, blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(32, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def stage(inputs: int, width: int, stride: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(Block(inputs, width, stride), *(Block(width, width, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return self.classifier(torch.flatten(self.pool(x), 1))


def read_idx(path: Path) -> np.ndarray:
    """Reads an unsigned-byte IDX file: two zero bytes, type 8, the rank, big-endian sizes, the data."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_idx(path: Path, data: np.ndarray) -> None:
    header = bytes([0, 0, 8, data.ndim]) + np.array(data.shape, ">u4").tobytes()
    # mtime=0 keeps the file the same from run to run.
    path.write_bytes(gzip.compress(header + data.tobytes(), 9, mtime=0))


def read_part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    return read_idx(folder / f"{part}-images-idx3-ubyte.gz"), read_idx(folder / f"{part}-labels-idx1-ubyte.gz")


def write_sample(folder: Path, part: str, images: np.ndarray, labels: np.ndarray, per_class: int) -> np.ndarray:
    """Draws `per_class` images of every class, keeps the file's order, and gives back the drawn indices."""
    random = np.random.default_rng(SEED)
    drawn = [random.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(10)]
    drawn = np.sort(np.concatenate(drawn))
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images[drawn])
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels[drawn])
    return drawn


def normalised(images: np.ndarray) -> Tensor:
    return ((torch.from_numpy(images.copy()).float() / 255 - MEAN) / STD).unsqueeze(1)


def augmented(batch: Tensor) -> Tensor:
    """Random horizontal flip, then a random crop from two pixels of padding on every side."""
    n, _, height, width = batch.shape
    flip = torch.rand(n, 1, 1, 1) < 0.5
    batch = torch.where(flip, batch.flip(3), batch)
    # Padding is black, which is not zero once normalised.
    padded = F.pad(batch, (2, 2, 2, 2), value=-MEAN / STD)[:, 0]
    rows = torch.randint(0, 5, (n, 1, 1)) + torch.arange(height).view(1, -1, 1)
    columns = torch.randint(0, 5, (n, 1, 1)) + torch.arange(width).view(1, 1, -1)
    return padded[torch.arange(n).view(-1, 1, 1), rows, columns].unsqueeze(1)


def train(network: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    steps = len(images) // BATCH
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, 0.1, total_iters=steps // 4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps - steps // 4)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimiser, [warm_up, cosine], [steps // 4])
    network.train()
    for epoch in range(epochs):
        start, total = time.time(), 0.0
        for indices in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            batch = augmented(images[indices]).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(batch), labels[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: mean training loss {total / steps:.4f}, {time.time() - start:.0f} s", flush=True)
    network.eval()


@torch.no_grad()
def correct(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return torch.cat([network(x).argmax(1) for x in images.split(500)]) == labels


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("dataset", type=Path)
    arguments.add_argument("--epochs", type=int, default=9)
    arguments = arguments.parse_args()
    torch.manual_seed(SEED)

    images, labels = read_part(arguments.dataset, "train")
    write_sample(HERE / "fashion-mnist", "train", images, labels, TRAIN_PER_CLASS)
    test_images, test_labels = read_part(arguments.dataset, "t10k")
    drawn = write_sample(HERE / "fashion-mnist", "t10k", test_images, test_labels, TEST_PER_CLASS)

    network = Network().to(memory_format=torch.channels_last)
    train(network, normalised(images), torch.from_numpy(labels.astype(np.int64)), arguments.epochs)
    # Channels-last strides would be kept in the file; readers expect the usual layout.
    network = network.to(memory_format=torch.contiguous_format)
    torch.jit.save(torch.jit.script(network), HERE / "model.pt")

    right = correct(network, normalised(test_images), torch.from_numpy(test_labels.astype(np.int64)))
    print(f"accuracy: all {len(right)} test images {right.float().mean():.4f}, "
          f"the {len(drawn)} of the sample {right[drawn].float().mean():.4f}")


if __name__ == "__main__":
    main()
