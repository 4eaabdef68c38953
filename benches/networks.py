"""The eager networks, as their users define them, and their archives.

    python networks.py NETWORK SIDE ARCHIVE [CHANNELS [SEED]]     writes an archive with random weights
"""

import sys
from pathlib import Path
from typing import Callable, Dict

import torch
import torch.nn.functional as F
from torch import nn

import images

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


def of_torchvision(name: str, **arguments) -> Callable[[int], nn.Module]:
    def make(channels: int) -> nn.Module:
        # The CIFAR networks do without torchvision.
        from torchvision import models

        if channels != 3:
            raise ValueError(f"{name} takes images of 3 channels")
        return models.get_model(name, weights=None, **arguments)

    return make


# Each from the number of channels of its images.
NETWORKS: Dict[str, Callable[[int], nn.Module]] = {
    "resnet20": lambda channels: CifarResNet(3, channels),
    "resnet56": lambda channels: CifarResNet(9, channels),
    "resnet18": of_torchvision("resnet18"),
    "resnet50": of_torchvision("resnet50"),
    "mobilenet_v2": of_torchvision("mobilenet_v2"),
    "efficientnet_b0": of_torchvision("efficientnet_b0"),
    # At the 1e-6 that training begins with, a block changes less than the rounding of float32.
    "convnext_tiny": of_torchvision("convnext_tiny", layer_scale=0.5),
    "regnet_y_400mf": of_torchvision("regnet_y_400mf"),
    "vit_b_16": of_torchvision("vit_b_16"),
    "swin_t": of_torchvision("swin_t"),
}


def load(name: str, archive: Path) -> nn.Module:
    """The eager network with the weights of a TorchScript archive, in evaluation mode."""
    model = NETWORKS[name](3)
    model.load_state_dict(torch.jit.load(str(archive), map_location="cpu").state_dict(), strict=True)
    return model.eval()


@torch.no_grad()
def settle_statistics(model: nn.Module, batch: torch.Tensor) -> None:
    """Batch-norm statistics of real activations, so that nothing vanishes or overflows with random weights."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    # The other layers stay in evaluation mode: dropout would have its part in the statistics.
    model.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    model(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def settling_images(channels: int, side: int) -> torch.Tensor:
    """Of the kind that the bench shows: with statistics of others EfficientNet-B0 makes a thousand times more of rounding."""
    if channels != 3:
        return torch.randn(8, channels, side, side)
    pixels = torch.frombuffer(bytearray(images.synthetic(8, side, SEED)), dtype=torch.uint8)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (images.MEAN, images.STD))
    return (pixels.reshape(8, 3, side, side).float() / 255 - mean) / std


def write_archive(name: str, side: int, archive: Path, channels: int = 3, seed: int = SEED) -> None:
    torch.manual_seed(seed)
    model = NETWORKS[name](channels)
    settle_statistics(model, settling_images(channels, side))
    torch.jit.script(model.eval()).save(str(archive))


if __name__ == "__main__":
    write_archive(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
