"""Makes the archives of this folder: tiny networks with seeded random weights, exported by PyTorch.

    python make.py [NAME...]        all of them, or those whose file name starts with a NAME

The debug files inside an archive record where Python found each source line, so run this from a folder
(and a Python) whose path may be published.
"""

import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).parent
SEED = 7
# Debug files are most of an archive and nothing reads them; one archive has them all the same.
WITH_DEBUG_FILES = {"inplace_scripted.pt"}
# Of the networks of this family.
ELEMENT_TYPES = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64}


def conv(inputs: int, width: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, width, size, stride, size // 2, bias=False)


# --- basic: torch.add of a branch and a shortcut module, blocks in Sequentials -----------------------------------


class PadShortcut(nn.Module):
    """Halves the picture and pads the channels with zeros: a change of shape without parameters."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.before = before
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], [0, 0, 0, 0, self.before, self.after])


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int = 1, shortcut: Optional[nn.Module] = None):
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = torch.add(out, self.shortcut(x))
        return F.relu(out)


class Basic(nn.Module):
    def __init__(self, blocks: Tuple[int, int, int] = (4, 3, 2)):
        super().__init__()
        self.conv = conv(3, 4)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        project = nn.Sequential(conv(6, 8, 1, 2), nn.BatchNorm2d(8))
        self.stage1 = self.stage(blocks[0], BasicBlock(4, 4))
        self.stage2 = self.stage(blocks[1], BasicBlock(4, 6, 2, PadShortcut(1, 1)))
        self.stage3 = self.stage(blocks[2], BasicBlock(6, 8, 2, project))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, 5)

    def stage(self, blocks: int, first: BasicBlock) -> nn.Sequential:
        width = first.conv2.out_channels
        return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.stage1(x)
        x = self.stage2(x)
        x = self.stage3(x)
        x = torch.flatten(self.pool(x), 1)
        return self.fc(x)


class SkippableBasic(Basic):
    """The same network; leaves out the blocks whose running number over all stages is in `skip`."""

    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        number = 0
        for block in self.stage1:
            if number not in skip:
                x = block(x)
            number += 1
        for block in self.stage2:
            if number not in skip:
                x = block(x)
            number += 1
        for block in self.stage3:
            if number not in skip:
                x = block(x)
            number += 1
        x = torch.flatten(self.pool(x), 1)
        return self.fc(x)


class Constant(Basic):
    """Its features are the same for every picture, so no similarity of them is defined."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.stage1(x)
        x = self.stage2(x)
        x = self.stage3(x)
        # Not zero itself: only the centred features are.
        x = x * 0.0 + 0.3
        x = torch.flatten(self.pool(x), 1)
        return self.fc(x)


class DropoutBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = conv(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(0.1)
        self.conv2 = conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(self.dropout(out)))
        return F.relu(x + out)


class Dropout(nn.Module):
    """Behaves otherwise while training: a trace in evaluation mode has `training=False` written into it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 6), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.stage = nn.Sequential(*(DropoutBlock(6) for _ in range(3)))
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage(self.stem(x))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.fc(self.dropout(x))


# --- inplace: bottlenecks with `out += identity`, one in-place ReLU a block, an optional downsample -----------------


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: Optional[nn.Module] = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Inplace(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = conv(3, 4)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 1, 1)
        self.layer1 = nn.Sequential(Bottleneck(4, 2, 6), *(Bottleneck(6, 2, 6) for _ in range(2)))
        self.layer2 = nn.Sequential(Bottleneck(6, 3, 8, 2), Bottleneck(8, 3, 8))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def features(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def classify(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(x), 1))

    def _forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.layer1(x)
        x = self.layer2(x)
        return self.classify(x)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x)


class SkippableInplace(Inplace):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.features(x)
        number = 0
        for block in self.layer1:
            if number not in skip:
                x = block(x)
            number += 1
        for block in self.layer2:
            if number not in skip:
                x = block(x)
            number += 1
        return self.classify(x)


# --- preact: activations before the convolutions, a free function, blocks in one ModuleList ------------------------


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zeroes the whole branch of a random share of the pictures while training."""
    if rate < 0.0 or rate >= 1.0:
        raise ValueError(f"the rate has to be in [0, 1), but is {rate}")
    if not training or rate == 0.0:
        return x
    keep = torch.empty([x.shape[0], 1, 1, 1], dtype=x.dtype, device=x.device).bernoulli_(1.0 - rate)
    return x * keep.div_(1.0 - rate)


class PreactBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int = 1, rate: float = 0.0):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        self.rate = rate
        self.project: Optional[nn.Module] = conv(inputs, width, 1, stride) if inputs != width else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        if self.project is not None:
            x = self.project(out)
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        return x + drop_path(out, self.rate, self.training)


class Preact(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.blocks = nn.ModuleList()
        shapes = [(4, 4, 1)] * 3 + [(4, 6, 2)] + [(6, 6, 1)] * 2
        for number, (inputs, width, stride) in enumerate(shapes):
            self.blocks.append(PreactBlock(inputs, width, stride, rate=0.02 * number))
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = F.relu(self.norm(x))
        return self.head(x.mean([2, 3]))


class SkippablePreact(Preact):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x)
        number = 0
        for block in self.blocks:
            if number not in skip:
                x = block(x)
            number += 1
        x = F.relu(self.norm(x))
        return self.head(x.mean([2, 3]))


# --- halves: two residual sums in the code of one module, attention and a small network -----------------------------


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.out(F.softmax(q @ k.transpose(-2, -1), dim=-1) @ v)


class HalvesBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.scale * self.mlp(self.norm2(x))


class Halves(nn.Module):
    def __init__(self, block: type = HalvesBlock):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.Sequential(block(8), block(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        return self.fc(x.mean(1))


class SkippableHalves(Halves):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        number = 0
        for block in self.blocks:
            if number not in skip:
                x = x + block.attention(block.norm1(x))
            if number + 1 not in skip:
                x = x + block.scale * block.mlp(block.norm2(x))
            number += 2
        return self.fc(x.mean(1))


# --- postnorm: halves with a normalisation behind them, and attention that prepares biases, one before it reads its input


class BiasedAttention(Attention):
    def __init__(self, width: int):
        super().__init__(width)
        self.width = width
        self.position = nn.Linear(2, 4)
        self.register_buffer("places", torch.tensor([[float(i), float(j)] for i in range(2) for j in range(2)]))

    def bias(self) -> Tensor:
        return 4 * torch.sigmoid(self.position(self.places))

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias()
        # Keys have no bias: written into a copy, whose result nobody reads.
        qkv_bias = self.qkv.bias.clone()
        qkv_bias[self.width : 2 * self.width].zero_()
        q, k, v = F.linear(x, self.qkv.weight, qkv_bias).chunk(3, dim=-1)
        return self.out(F.softmax(q @ k.transpose(-2, -1) + bias, dim=-1) @ v)


class PostnormBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = BiasedAttention(width)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm2 = nn.LayerNorm(width)
        for norm in [self.norm1, self.norm2]:
            # What it makes of zeros is not zero: it has to go with its half.
            nn.init.constant_(norm.bias, 0.25)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm1(self.attention(x))
        return x + self.norm2(self.mlp(x))


class Postnorm(Halves):
    def __init__(self):
        super().__init__(PostnormBlock)


class SkippablePostnorm(Postnorm):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        number = 0
        for block in self.blocks:
            if number not in skip:
                x = x + block.norm1(block.attention(x))
            if number + 1 not in skip:
                x = x + block.norm2(block.mlp(x))
            number += 2
        return self.fc(x.mean(1))


# --- branch: blocks that only one of two parallel paths runs through ------------------------------------------------


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 4, 1)
        self.blocks = nn.Sequential(*(BasicBlock(4, 4) for _ in range(3)))
        self.join = nn.Conv2d(8, 6, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        left = self.left(x)
        right = self.blocks(self.right(x))
        x = F.relu(self.join(torch.cat([left, right], 1)))
        return self.fc(x.mean([2, 3]))


class SkippableBranch(Branch):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x)
        left = self.left(x)
        right = self.right(x)
        number = 0
        for block in self.blocks:
            if number not in skip:
                right = block(right)
            number += 1
        x = F.relu(self.join(torch.cat([left, right], 1)))
        return self.fc(x.mean([2, 3]))


# --- plain: nothing to remove --------------------------------------------------------------------------------------


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            conv(4, 6), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


# --- maps: answers for places in images, at two scales or at one --------------------------------------------------------


class Maps(nn.Module):
    """As a detector or a segmentation network, whose heads look at maps of several sizes."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.fine = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.down = conv(4, 8, 3, 2)
        self.coarse = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
        self.fine_head = nn.Conv2d(4, 3, 1)
        self.coarse_head = nn.Conv2d(8, 6, 1)

    def forward(self, x: Tensor) -> List[Tensor]:
        fine = self.fine(self.stem(x))
        coarse = self.coarse(self.down(fine))
        return [self.fine_head(fine), self.coarse_head(coarse)]


class Restored(nn.Module):
    """An image of twice the size."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4), BasicBlock(4, 4))
        self.head = nn.Conv2d(4, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.head(self.body(self.stem(x))))


# --- scaled: branches that are scaled on their way into the sum ---------------------------------------------------------


class LayerScaled(nn.Module):
    """The branch ends in a linear layer over the channels, which come last there."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.layer_scale = nn.Parameter(torch.linspace(-0.5, 0.5, width).reshape(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        out = self.fc2(F.gelu(self.fc1(out)))
        return self.layer_scale * out.permute(0, 3, 1, 2) + x


class Halved(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = conv(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4))
        self.stage1 = nn.Sequential(LayerScaled(4), LayerScaled(4), LayerScaled(4))
        self.stage2 = nn.Sequential(Halved(4), Halved(4), Halved(4))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stage2(self.stage1(self.stem(x))).mean([2, 3]))


# --- lists: towers inside a network that takes no batch of pictures ---------------------------------------------------


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4), BasicBlock(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.stem(x)))


class SkippableTower(Tower):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = F.relu(self.stem(x))
        for number, block in enumerate(self.blocks):
            if number not in skip:
                x = block(x)
        return x


class Towers(nn.Module):
    def __init__(self, tower: type):
        super().__init__()
        # Of one class: what is removed from one has to stay in the other.
        self.left = tower()
        self.right = tower()


class Lists(nn.Module):
    """Takes lists of pictures and gives dictionaries, as detectors do."""

    def __init__(self, tower: type = Tower):
        super().__init__()
        self.towers = Towers(tower)
        self.fc = nn.Linear(4, 5)

    def forward(self, images: List[Tensor]) -> Dict[str, Tensor]:
        batch = torch.stack(images)
        return {"left": self.score(self.towers.left(batch)), "right": self.score(self.towers.right(batch))}

    def score(self, maps: Tensor) -> Tensor:
        return self.fc(maps.mean([2, 3]))


class SkippableLists(Lists):
    """Leaves out blocks of the left tower."""

    def __init__(self):
        super().__init__(SkippableTower)

    def forward(self, images: List[Tensor], skip: List[int]) -> Dict[str, Tensor]:
        batch = torch.stack(images)
        return {"left": self.score(self.towers.left(batch, skip)), "right": self.score(self.towers.right(batch, []))}


# --- behind: a tower that is given what the network around it makes of pictures ----------------------------------------


class Entered(nn.Module):
    """Takes pictures as decoders give them: bytes, channels last."""

    def __init__(self, tower: type = Tower):
        super().__init__()
        self.enter = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.tower = tower()
        self.fc = nn.Linear(4, 5)

    def forward(self, pixels: Tensor) -> Dict[str, Tensor]:
        images = (pixels.permute(0, 3, 1, 2).float() / 255.0 - 0.4) / 0.3
        # The tower writes over what it is given.
        maps = self.tower(F.relu(self.enter(images)))
        return {"tower": maps, "scores": self.fc(maps.mean([2, 3]))}


class OverwritingTower(Tower):
    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.stem(x.mul_(2.0))))


# --- steps: arguments beside the pictures ------------------------------------------------------------------------------


class Guide(nn.Module):
    """What every block adds, of the number of a step."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, step: Tensor) -> Tensor:
        angles = step.float()[:, None] * torch.exp(torch.arange(2, device=step.device) * -0.5)
        return F.relu(self.fc(torch.cat([angles.sin(), angles.cos()], 1)))


class Guided(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = conv(4, 4), conv(4, 4)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)) + guide[:, :, None, None])
        return F.relu(x + self.bn2(self.conv2(out)))


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first, self.second, self.third = Guided(), Guided(), Guided()

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        x = self.first(F.relu(self.stem(x)), guide)
        return self.third(self.second(x, guide), guide)


class SkippableBody(Body):
    def forward(self, x: Tensor, guide: Tensor, skip: List[int]) -> Tensor:
        x = F.relu(self.stem(x))
        if 0 not in skip:
            x = self.first(x, guide)
        if 1 not in skip:
            x = self.second(x, guide)
        if 2 not in skip:
            x = self.third(x, guide)
        return x


class Steps(nn.Module):
    def __init__(self, body: type = Body):
        super().__init__()
        self.guide = Guide()
        self.body = body()
        self.fc = nn.Linear(4, 5)

    def forward(self, sign: int, images: Tensor, step: Tensor, scale: float, mask: Optional[Tensor] = None) -> Tensor:
        maps = self.body(images, self.guide(step))
        if mask is not None:
            maps = maps * mask
        return self.fc(maps.mean([2, 3])) * sign * scale


class SkippableSteps(Steps):
    """With the arguments `sign=-1`, `step=[3]`, `scale=2` and no mask."""

    def __init__(self):
        super().__init__(SkippableBody)

    def forward(self, images: Tensor, skip: List[int]) -> Tensor:
        maps = self.body(images, self.guide(torch.tensor([3])), skip)
        return self.fc(maps.mean([2, 3])) * -1 * 2.0


# --- outputs: several of them, with a normalisation of the pictures in front ----------------------------------------


class Several(nn.Module):
    """A second classifier, that runs last, looks at the stream half-way."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.25, 0.2, 0.25]).reshape(3, 1, 1))
        self.stem = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.early = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.late = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.fc = nn.Linear(4, 5)
        self.second = nn.Linear(4, 5)

    def scores(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        x = self.stem((x - self.mean) / self.std)
        early = self.early(x)
        late = self.late(early)
        first = self.fc(late.mean([2, 3]))
        return first, self.second(early.mean([2, 3])), late


class InTuple(Several):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        first, second, _ = self.scores(x)
        return second, first


class InDict(Several):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        first, second, late = self.scores(x)
        return {"features": late, "out": first}


# --- quantised: sums in quantised arithmetic ------------------------------------------------------------------------


class QuantisableBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = conv(width, width)
        self.sum = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum.add(x, self.conv(x))


class Quantisable(nn.Module):
    def __init__(self):
        super().__init__()
        self.quantise = torch.ao.quantization.QuantStub()
        self.stem = conv(3, 4)
        self.blocks = nn.Sequential(*(QuantisableBlock(4) for _ in range(3)))
        self.fc = nn.Linear(4, 5)
        self.dequantise = torch.ao.quantization.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(self.quantise(x)))
        return self.dequantise(self.fc(x.mean([2, 3])))


def quantised() -> nn.Module:
    network = randomised(Quantisable())
    network.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(network)
    prepared(example())
    return torch.ao.quantization.convert(prepared)


def quantised_head() -> nn.Module:
    """Only the linear layer is quantised, and that while it runs."""
    return torch.ao.quantization.quantize_dynamic(randomised(Dropout()), {nn.Linear}, dtype=torch.qint8)


# --- export --------------------------------------------------------------------------------------------------------


def randomised(network: nn.Module) -> nn.Module:
    """Seeds every weight, and gives batch normalisation statistics and an affine part that are not the identity."""
    torch.manual_seed(SEED)
    network = network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
            module.num_batches_tracked.fill_(100)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
    for parameter in network.parameters():
        # Half the bytes become zero, which deflates well.
        parameter.copy_(parameter.bfloat16())
    return network


def example() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(SEED))


def same_weights(network: nn.Module, weights: nn.Module) -> nn.Module:
    network.load_state_dict(weights.state_dict())
    return network.eval()


def tensors(output) -> List[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, dict) else output)


def check(expected, got, what: str) -> None:
    pairs = list(zip(tensors(expected), tensors(got), strict=True))
    if not all(torch.equal(a, b) for a, b in pairs):
        raise SystemExit(f"{what} differs from the network it was made of")


def save_scripted(network: nn.Module, name: str, dtype: torch.dtype = torch.float32) -> None:
    scripted = torch.jit.script(network)
    check(network(example().to(dtype)), scripted(example().to(dtype)), name)
    torch.jit.save(scripted, HERE / name)


def save_traced(network: nn.Module, name: str) -> None:
    # Only a trace that is not strict may give a dictionary.
    traced = torch.jit.trace(network, example(), strict=not isinstance(network, InDict))
    check(network(example()), traced(example()), name)
    torch.jit.save(traced, HERE / name)


def save_skippable(network: nn.Module, skippable: nn.Module, name: str) -> None:
    scripted = torch.jit.script(same_weights(skippable, network))
    check(network(example()), scripted(example(), []), name)
    if torch.equal(network(example()), scripted(example(), [1])):
        raise SystemExit(f"{name}: leaving out block 1 changes nothing")
    torch.jit.save(scripted, HERE / name)


def save_lists(name: str, skippable: bool) -> None:
    (HERE / name).parent.mkdir(exist_ok=True)
    network, images = randomised(Lists()), list(example())
    scripted = torch.jit.script(same_weights(SkippableLists(), network) if skippable else network)
    check(network(images), scripted(images, []) if skippable else scripted(images), name)
    torch.jit.save(scripted, HERE / name)


def as_bytes(images: Tensor) -> Tensor:
    """Channels last."""
    return (images * 60 + 120).clamp(0, 255).permute(0, 2, 3, 1).contiguous().to(torch.uint8)


def save_behind(name: str) -> None:
    network, pixels = randomised(Entered(OverwritingTower)), as_bytes(example())
    scripted = torch.jit.script(network)
    check(network(pixels)["tower"], scripted(pixels)["tower"], name)
    torch.jit.save(scripted, HERE / name)


def steps_given(images: Tensor) -> tuple:
    return -1, images, torch.tensor([3]), 2.0


def save_steps(name: str, skippable: bool) -> None:
    network, given = randomised(Steps()), steps_given(example())
    scripted = torch.jit.script(same_weights(SkippableSteps(), network) if skippable else network)
    check(network(*given), scripted(example(), []) if skippable else scripted(*given), name)
    torch.jit.save(scripted, HERE / name)


def save_frozen(network: nn.Module, name: str) -> None:
    frozen = torch.jit.freeze(torch.jit.script(network))
    # Folding batch normalisation into the convolutions rounds differently.
    torch.testing.assert_close(network(example()), frozen(example()))
    torch.jit.save(frozen, HERE / name)


def save_family(family: str, network: type, skippable: type, form: str) -> None:
    weights, name = randomised(network()), f"{family}_{form}.pt"
    if form == "scripted":
        save_scripted(weights, name)
    elif form == "traced":
        save_traced(weights, name)
    elif form == "frozen":
        save_frozen(weights, name)
    else:
        save_skippable(weights, skippable(), name)


def shrink(path: Path) -> None:
    """Writes the archive anew, deflated: the same entries in the same order under the same root folder."""
    with zipfile.ZipFile(path) as old:
        entries = [(name, old.read(name)) for name in old.namelist()]
    before = torch.jit.load(path)(*example_inputs(path))
    # No file in the way of the new one: zipfile would only truncate it, and libtorch may still map the old one.
    path.unlink()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries:
            if path.name in WITH_DEBUG_FILES or not name.endswith(".debug_pkl"):
                # ZipInfo's default date is the beginning of 1980, as libtorch writes it.
                new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)
    check(before, torch.jit.load(path)(*example_inputs(path)), f"{path.name}, rewritten,")


def example_inputs(path: Path) -> tuple:
    picture = example().to(ELEMENT_TYPES.get(path.stem.split("_")[0], torch.float32))
    if path.name == "steps_scripted.pt":
        return steps_given(picture)
    if path.name.startswith("behind"):
        return (as_bytes(picture),)
    given = list(picture) if path.name.startswith("lists") else picture
    return (given, [1]) if "skippable" in path.name else (given,)


def jobs() -> dict:
    families = [("basic", Basic, SkippableBasic), ("inplace", Inplace, SkippableInplace),
                ("preact", Preact, SkippablePreact), ("halves", Halves, SkippableHalves),
                ("postnorm", Postnorm, SkippablePostnorm), ("branch", Branch, SkippableBranch)]
    made = {f"{family[0]}_{form}.pt": (save_family, *family, form)
            for family in families for form in ("scripted", "traced", "skippable")}
    weights = randomised(Plain()).state_dict()
    for name, network in [("tuple", InTuple), ("dict", InDict)]:
        for form, save in [("scripted", save_scripted), ("traced", save_traced)]:
            made[f"outputs_{name}_{form}.pt"] = (save, randomised(network()), f"outputs_{name}_{form}.pt")
    for name, dtype in ELEMENT_TYPES.items():
        made[f"{name}_scripted.pt"] = (save_scripted, randomised(Dropout()).to(dtype), f"{name}_scripted.pt", dtype)
    return made | {
        "quantised_scripted.pt": (save_scripted, quantised(), "quantised_scripted.pt"),
        "quantised_traced.pt": (save_traced, quantised(), "quantised_traced.pt"),
        "quantised_head_scripted.pt": (save_scripted, quantised_head(), "quantised_head_scripted.pt"),
        "maps_scripted.pt": (save_scripted, randomised(Maps()), "maps_scripted.pt"),
        "maps_traced.pt": (save_traced, randomised(Maps()), "maps_traced.pt"),
        "restored_traced.pt": (save_traced, randomised(Restored()), "restored_traced.pt"),
        "scaled_scripted.pt": (save_scripted, randomised(Scaled()), "scaled_scripted.pt"),
        "scaled_traced.pt": (save_traced, randomised(Scaled()), "scaled_traced.pt"),
        "inside/lists_scripted.pt": (save_lists, "inside/lists_scripted.pt", False),
        "inside/lists_skippable.pt": (save_lists, "inside/lists_skippable.pt", True),
        "inside/behind_scripted.pt": (save_behind, "inside/behind_scripted.pt"),
        "inside/steps_scripted.pt": (save_steps, "inside/steps_scripted.pt", False),
        "inside/steps_skippable.pt": (save_steps, "inside/steps_skippable.pt", True),
        "basic_frozen.pt": (save_frozen, randomised(Basic()), "basic_frozen.pt"),
        # Made as its family is: what the network begins with is not all replaced.
        "postnorm_frozen.pt": (save_family, "postnorm", Postnorm, SkippablePostnorm, "frozen"),
        "plain_scripted.pt": (save_scripted, randomised(Plain()), "plain_scripted.pt"),
        "plain_traced.pt": (save_traced, randomised(Plain()), "plain_traced.pt"),
        "constant_scripted.pt": (save_scripted, randomised(Constant((2, 1, 1))), "constant_scripted.pt"),
        "dropout_traced.pt": (save_traced, randomised(Dropout()), "dropout_traced.pt"),
        "state_dict.pth": (torch.save, weights, HERE / "state_dict.pth"),
        "legacy_state_dict.pth": (torch.save, weights, HERE / "legacy_state_dict.pth", pickle, 2, False),
    }


def write(folder: Path, jobs: Dict[str, Callable[[Path], None]], wanted: List[str]) -> None:
    """Has each file made that is wanted by its job, which is given the path."""
    for name, job in jobs.items():
        if wanted and not name.startswith(tuple(wanted)):
            continue
        # TorchScript numbers class names per process; a process for each file makes the files independent.
        child = os.fork()
        if child == 0:
            # What a network begins with, where nothing gives it other weights.
            torch.manual_seed(SEED)
            job(folder / name)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise SystemExit(f"{name} could not be made")
        print(f"{(folder / name).stat().st_size:8} {name}")


def start(main: Callable[[List[str]], None]) -> None:
    # Scripted classes print their constants in the order of a set of strings.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    torch.set_grad_enabled(False)
    main(sys.argv[1:])


def main(wanted: List[str]) -> None:
    def job(save, *arguments):
        def run(path: Path) -> None:
            save(*arguments)
            if path.suffix == ".pt":
                shrink(path)
        return run

    write(HERE, {name: job(*made) for name, made in jobs().items()}, wanted)


if __name__ == "__main__":
    start(main)
