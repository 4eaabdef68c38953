"""The eager networks, as their users define them, and their archives.

    python networks.py NETWORK SIDE ARCHIVE [CHANNELS]     writes an archive with random weights
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List

import torch
import torch.nn.functional as F
from torch import nn

SEED = 7


class PaddingShortcut(nn.Module):
    """Option A of the ResNet paper: every second pixel, and channels of zeros on both sides."""

    def __init__(self, more_channels: int):
        super().__init__()
        self.pad = more_channels // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x[:, :, ::2, ::2], [0, 0, 0, 0, self.pad, self.pad])


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity() if stride == 1 else PaddingShortcut(channels - channels_in)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """He et al., arXiv 1512.03385, section 4.2: three stages of equal depth with 16, 32 and 64 channels."""

    def __init__(self, blocks_per_stage: int, channels: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = self.stage(16, 16, 1, blocks_per_stage)
        self.layer2 = self.stage(16, 32, 2, blocks_per_stage)
        self.layer3 = self.stage(32, 64, 2, blocks_per_stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def stage(channels_in: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
        rest = [Block(channels, channels, 1) for _ in range(blocks - 1)]
        return nn.Sequential(Block(channels_in, channels, stride), *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(self.avgpool(x), 1))


def resnet50(channels: int = 3) -> nn.Module:
    # The CIFAR networks do without torchvision.
    from torchvision.models import resnet50

    if channels != 3:
        raise ValueError("ResNet-50 takes images of 3 channels")
    return resnet50(weights=None)


@dataclass(frozen=True)
class Network:
    # From the number of channels of its images.
    make: Callable[[int], nn.Module]
    # The linear layer whose input is the representation.
    classifier: str


NETWORKS = {
    "resnet20": Network(lambda channels: CifarResNet(3, channels), "linear"),
    "resnet56": Network(lambda channels: CifarResNet(9, channels), "linear"),
    "resnet50": Network(resnet50, "fc"),
}


def load(name: str, archive: Path) -> nn.Module:
    """The eager network with the weights of a TorchScript archive, in evaluation mode."""
    model = NETWORKS[name].make(3)
    model.load_state_dict(torch.jit.load(str(archive), map_location="cpu").state_dict(), strict=True)
    return model.eval()


def removable_blocks(model: nn.Module) -> List[str]:
    """Paths of the blocks that keep the shape, in the order in which they run."""

    def keeps_shape(module: nn.Module) -> bool:
        if isinstance(module, Block):
            return isinstance(module.shortcut, nn.Identity)
        return type(module).__name__ == "Bottleneck" and module.downsample is None

    return [path for path, module in model.named_modules() if keeps_shape(module)]


@torch.no_grad()
def settle_statistics(model: nn.Module, batch: torch.Tensor) -> None:
    """Batch-norm statistics of real activations, so that nothing vanishes or overflows with random weights."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def write_archive(name: str, side: int, archive: Path, channels: int = 3) -> None:
    torch.manual_seed(SEED)
    model = NETWORKS[name].make(channels)
    settle_statistics(model, torch.randn(8, channels, side, side))
    torch.jit.script(model.eval()).save(str(archive))


if __name__ == "__main__":
    write_archive(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
