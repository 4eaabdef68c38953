"""Small residual networks of shapes that torchvision does not have. Inputs are 3×32×32, outputs 10 scores."""

from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def projection(inputs: int, outputs: int, stride: int) -> Optional[nn.Module]:
    """What a shortcut needs where the block changes the shape."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class Stem(nn.Sequential):
    def __init__(self, width: int):
        super().__init__(conv(3, width), nn.BatchNorm2d(width), nn.ReLU())


class Head(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean([2, 3]))


class PostActivationBlock(nn.Module):
    """`relu(x + f(x))`, with squeeze-and-excitation and stochastic depth in `f` if wanted."""

    def __init__(self, inputs: int, width: int, stride: int = 1, squeeze: bool = False, drop: float = 0.0):
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.squeeze = SqueezeExcitation(width) if squeeze else nn.Identity()
        self.drop = StochasticDepth(drop, "row")
        self.shortcut = projection(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.squeeze(self.bn2(self.conv2(out)))
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
        return F.relu(shortcut + self.drop(out))


class SqueezeExcitation(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.down = nn.Linear(width, width // 4)
        self.up = nn.Linear(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.up(F.relu(self.down(x.mean([2, 3])))))
        return x * scale[:, :, None, None]


class PreActivationBlock(nn.Module):
    """`x + f(relu(norm(x)))`; a projection starts from the activated input."""

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        keeps = stride == 1 and inputs == width
        self.shortcut = None if keeps else conv(inputs, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(active)
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + shortcut


class InPlaceBlock(nn.Module):
    """Every step that can write its operand does so, but never the block's own input."""

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = projection(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)).mul_(0.5)
        out += x if self.shortcut is None else self.shortcut(x)
        return F.hardtanh_(out, 0.0, 6.0)


class InputWritingBlock(nn.Module):
    """Looks like `x + f(x)`, but its first step overwrites `x`: the skip carries `leaky_relu(x)`, no identity."""

    def __init__(self, width: int):
        super().__init__()
        self.act = nn.LeakyReLU(0.3, inplace=True)
        self.conv = conv(width, width)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(self.act(x)))
        return out + x


class Staged(nn.Module):
    """Stem, three stages of which all but the first halve the picture, head."""

    def __init__(self, block, widths: Tuple[int, int, int] = (8, 12, 16), depth: int = 3, **options):
        super().__init__()
        self.stem = Stem(widths[0])
        stages, inputs = [], widths[0]
        for width in widths:
            first = block(inputs, width, 1 if width == inputs else 2, **options)
            rest = (block(width, width, **options) for _ in range(depth - 1))
            stages.append(nn.Sequential(first, *rest))
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.head = Head(inputs)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class ReturnsTuple(Staged):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.head(features), features


class ReturnsDict(Staged):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        features = self.features(x)
        return {"scores": self.head(features), "features": features}


class Normalised(nn.Module):
    """Takes pixels in 0..1 and wraps a network that wants them normalised."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.network((x - self.mean) / self.std), 1)


class CrossStage(nn.Module):
    """A cross-stage-partial stage: the blocks see one half of the channels, the other half goes past them."""

    def __init__(self, inputs: int, width: int, depth: int):
        super().__init__()
        self.down = nn.Sequential(conv(inputs, width, 3, 2), nn.BatchNorm2d(width), nn.SiLU())
        self.past = conv(width, width // 2, 1)
        self.into = conv(width, width // 2, 1)
        self.blocks = nn.Sequential(*(PostActivationBlock(width // 2, width // 2) for _ in range(depth)))
        self.join = conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.join(torch.cat([self.past(x), self.blocks(self.into(x))], 1))


class CrossStagePartial(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem(8)
        self.stages = nn.Sequential(CrossStage(8, 16, 2), CrossStage(16, 24, 3))
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class Tree(nn.Module):
    """Deep layer aggregation: two subtrees one behind the other, whose outputs a root joins."""

    def __init__(self, levels: int, width: int):
        super().__init__()
        leaf = levels == 1
        self.left = PostActivationBlock(width, width) if leaf else Tree(levels - 1, width)
        self.right = PostActivationBlock(width, width) if leaf else Tree(levels - 1, width)
        self.root = nn.Sequential(conv(2 * width, width, 1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        right = self.right(left)
        return self.root(torch.cat([right, left], 1))


class AggregationTree(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem(8)
        self.tree1 = Tree(2, 8)
        self.down = PostActivationBlock(8, 12, 2)
        self.tree2 = Tree(3, 12)
        self.head = Head(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tree2(self.down(self.tree1(self.stem(x)))))


class InPlace(Staged):
    """In-place everything, with one block in front of the head that writes its own input."""

    def __init__(self):
        super().__init__(InPlaceBlock)
        self.writes_input = InputWritingBlock(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.writes_input(self.features(x)))


class Walks(Staged):
    """Walks over its blocks in a branch that never runs as well."""

    def __init__(self):
        super().__init__(PostActivationBlock)

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        x = self.stem(x)
        if mask is not None:
            for stage in self.stages:
                for block in stage:
                    x = block(x) * mask
        else:
            for stage in self.stages:
                x = stage(x)
        return self.head(x)


class Detector(Staged):
    """One stage of detection: three heads of one kind over maps of three sizes."""

    def __init__(self):
        super().__init__(PostActivationBlock)
        widths = [8, 12, 16]
        self.lateral = nn.ModuleList([nn.Conv2d(width, 8, 1) for width in widths])
        self.heads = nn.ModuleList([nn.Conv2d(8, 18, 3, padding=1) for _ in widths])

    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.stem(x)
        found = []
        for stage, lateral, head in zip(self.stages, self.lateral, self.heads):
            x = stage(x)
            found.append(head(F.relu(lateral(x))))
        return found


class Embedding(Staged):
    """Rows of length one, which are no class scores though they look like them."""

    def __init__(self):
        super().__init__(PostActivationBlock)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.head(self.features(x)), dim=1)


class PlainBlock(nn.Module):
    """`x + f(x)` without normalisation, as networks that restore images have it."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.conv2(F.relu(self.conv1(x)))


class SuperResolution(nn.Module):
    """Sixteen blocks and an image of twice the size."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(*(PlainBlock(8) for _ in range(16)))
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.tail(x + self.body(x))


class Towers(nn.Module):
    """Two networks that look at an image each in its own way; their scores are added."""

    def __init__(self):
        super().__init__()
        self.left = Staged(PostActivationBlock)
        self.right = Staged(PostActivationBlock, widths=(8, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x)
