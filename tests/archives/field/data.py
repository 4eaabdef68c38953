"""Networks that take or name what images and labels are in an unusual way. Writes the archives beside it.

    python data.py [NAME...]        all of them, or those whose file name starts with a NAME
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
    def __init__(self, channels: int = 3, classes: int = 5):
        super().__init__()
        self.stem = make.conv(channels, WIDTH, 3, 2)
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.stem(x))).mean([2, 3]))


class Masked(nn.Module):
    """How many scores there are is in the data of a buffer."""

    def __init__(self):
        super().__init__()
        self.net = Net(classes=8)
        self.register_buffer("used", torch.tensor([True, True, False, True, False, True, False, True]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[:, self.used]


def example_inputs(path: Path) -> tuple:
    """What `make.shrink` runs an archive on."""
    channels = 13 if path.stem.startswith("bands") else 3
    return (torch.ones(2, channels, 8, 8),)


make.example_inputs = example_inputs


def scripted(network):
    return torch.jit.script(make.randomised(network))


ARCHIVES = {
    "bands_scripted.pt": lambda: scripted(Net(channels=13)),
    "masked_scripted.pt": lambda: scripted(Masked()),
}


def job(path: Path) -> None:
    ARCHIVES[path.name]().save(path)
    make.shrink(path)


def main(wanted):
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
