"""Networks whose class scores come from several last layers, from none, or from a part of the network alone.

    python heads.py [NAME...]        all of them, or those whose file name starts with a NAME
"""

import sys
from pathlib import Path
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import make
from make import Basic, BasicBlock, conv, randomised, save_scripted, save_traced


def stage(blocks: int, width: int = 4) -> nn.Sequential:
    return nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks)))


def pooled(x: Tensor) -> Tensor:
    return x.mean([2, 3])


class Branches(nn.Module):
    """A trunk, and two branches of blocks behind it with a linear layer each."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.trunk, self.ba, self.bb = stage(2), stage(2), stage(2)
        self.ha, self.hb = nn.Linear(4, 5), nn.Linear(4, 5)

    def heads(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        x = self.trunk(F.relu(self.stem(x)))
        return self.ha(pooled(self.ba(x))), self.hb(pooled(self.bb(x)))


class Averaged(Branches):
    def forward(self, x: Tensor) -> Tensor:
        a, b = self.heads(x)
        return (a + b) / 2


class Concatenated(Branches):
    def forward(self, x: Tensor) -> Tensor:
        a, b = self.heads(x)
        return torch.cat([a, b], 1)


class Gated(Branches):
    def forward(self, x: Tensor) -> Tensor:
        a, b = self.heads(x)
        return a * torch.sigmoid(b)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks, self.fc = conv(3, 4), stage(3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(pooled(self.blocks(F.relu(self.stem(x)))))


class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Tower(), Tower()

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class Deep(nn.Module):
    """A convolution looks at the stream half-way, and its scores are added to those of the end."""

    def __init__(self):
        super().__init__()
        self.stem, self.early, self.late = conv(3, 4), stage(2), stage(2)
        self.aside, self.fc = nn.Conv2d(4, 5, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(F.relu(self.stem(x)))
        return pooled(self.aside(early)) + self.fc(pooled(self.late(early)))


class Bare(nn.Module):
    """The last residual sum is averaged into scores: there is no classifier."""

    def __init__(self):
        super().__init__()
        self.stem, self.blocks = conv(3, 5), stage(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return pooled(self.blocks(F.relu(self.stem(x))))


class Aside(nn.Module):
    """Scores from one stage, and features from another that they do not depend on."""

    def __init__(self):
        super().__init__()
        self.stem, self.main, self.other = conv(3, 4), stage(2), stage(3)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        x = F.relu(self.stem(x))
        return self.fc(pooled(self.main(x))), self.other(x)


def jobs() -> dict:
    scripted = {"heads_averaged": Averaged(), "heads_concatenated": Concatenated(), "heads_gated": Gated(),
                "heads_towers": Towers(), "heads_deep": Deep(), "heads_bare": Bare(), "heads_aside": Aside(),
                "two_a_stage": Basic((2, 2, 2))}
    made = {f"{name}_scripted.pt": (save_scripted, randomised(network), f"{name}_scripted.pt")
            for name, network in scripted.items()}
    return made | {"heads_averaged_traced.pt": (save_traced, randomised(Averaged()), "heads_averaged_traced.pt")}


if __name__ == "__main__":
    make.HERE, make.jobs = Path(__file__).resolve().parent, jobs
    make.start(make.main)
