"""Traces that have the number of images in a batch written into them. Writes the archives beside it.

    python batches.py [NAME...]      all of them, or those whose file name starts with a NAME
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

HERE = Path(__file__).parent
WIDTH = 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(x)))


class Net(nn.Module):
    """Any number of images: the others give the same scores."""

    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.fc = nn.Linear(WIDTH, 5)
        self.register_buffer("shift", torch.randn(1, WIDTH))

    def features(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.blocks(F.relu(self.stem(x))), 1).flatten(1)

    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x) + self.shift

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.shifted(x))


class Open(Net):
    """The sizes of an image are fixed, those of the batch are not."""

    def shifted(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.stem(x)))
        x = F.max_pool2d(x.view(1, -1, 8, 8), 1).view(x.shape[0], WIDTH, 8, 8)
        x = x.view(-1, 2, WIDTH // 2, 8, 8).transpose(1, 2).reshape(-1, WIDTH, 64).mean(2)
        x = x.view(-1, 2, 2).transpose(1, 2).reshape(x.size(0), -1)
        return torch.cat([x, torch.zeros(x.size(0), 1)], 1)[:, :WIDTH] + self.shift.expand(x.size(0), -1)


class Reshaped(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x).reshape(int(x.shape[0]), -1) + self.shift


class Viewed(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x).view(int(x.shape[0]), WIDTH) + self.shift


class Gated(Net):
    """One in the middle, behind which each image of a batch is there again."""

    def shifted(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.stem(x)))
        ones = torch.ones_like(F.adaptive_avg_pool2d(x, 1)).view(int(x.shape[0]), WIDTH)
        return F.adaptive_avg_pool2d(x * ones.view(int(x.shape[0]), WIDTH, 1, 1), 1).flatten(1) + self.shift


class Expanded(Net):
    def shifted(self, x: Tensor) -> Tensor:
        both = torch.cat([self.features(x)[:, None], self.shift[None].expand(int(x.shape[0]), -1, -1)], 1)
        return both.sum(1)


class Repeated(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x) + self.shift.repeat(int(x.shape[0]), 1)


class Zeros(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x) + (torch.zeros(int(x.shape[0]), WIDTH) + self.shift)


class Joined(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return torch.cat([self.features(x), torch.zeros(int(x.shape[0]), 2)], 1)[:, :WIDTH] + self.shift


class Sliced(Net):
    def shifted(self, x: Tensor) -> Tensor:
        return (self.features(x) + self.shift)[: int(x.shape[0])]


class Positions(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("states", torch.zeros(8, WIDTH))

    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x) + self.shift + self.states[: int(x.shape[0])]


class Held(Net):
    """A state for each image of a batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("states", torch.zeros(3, WIDTH))

    def shifted(self, x: Tensor) -> Tensor:
        return self.features(x) + self.shift + self.states


def net(kind) -> nn.Module:
    torch.manual_seed(7)
    network = Net()
    with torch.no_grad():
        for block in network.blocks:
            block.norm.running_mean.uniform_(-0.2, 0.2)
            block.norm.running_var.uniform_(0.8, 1.2)
            block.norm.weight.uniform_(0.5, 1.5)
    found = kind()
    found.load_state_dict(network.state_dict(), strict=False)
    return found.eval()


ARCHIVES = {
    "batch_any.pt": (Net, 2),
    "batch_open.pt": (Open, 2),
    "batch_reshaped_1.pt": (Reshaped, 1),
    "batch_reshaped_2.pt": (Reshaped, 2),
    "batch_viewed_4.pt": (Viewed, 4),
    "batch_gated_1.pt": (Gated, 1),
    "batch_gated_3.pt": (Gated, 3),
    "batch_expanded_1.pt": (Expanded, 1),
    "batch_expanded_2.pt": (Expanded, 2),
    "batch_repeated_4.pt": (Repeated, 4),
    "batch_zeros_4.pt": (Zeros, 4),
    "batch_joined_1.pt": (Joined, 1),
    "batch_sliced_4.pt": (Sliced, 4),
    "batch_positions_2.pt": (Positions, 2),
    "batch_held_3.pt": (Held, 3),
}


def images(name: str) -> Tensor:
    torch.manual_seed(3)
    return torch.randn(ARCHIVES[name][1], 3, 8, 8)


def job(path: Path) -> None:
    torch.jit.trace(net(ARCHIVES[path.name][0]), images(path.name)).save(path)
    make.shrink(path)


def main(wanted):
    make.example_inputs = lambda path: (images(path.name),)
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
