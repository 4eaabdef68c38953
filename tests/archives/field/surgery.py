"""Networks whose blocks are spoken of in more places than the one that runs. Writes the archives beside it.

    python surgery.py [NAME...]     all of them, or those whose file name starts with a NAME
"""

import sys
from pathlib import Path
from typing import List, Optional, Tuple

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

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        y = self.norm(self.conv(x))
        if mask is not None:
            y = y * mask
        return F.relu(x + y)


class Trunk(nn.Module):
    """Blocks that are attributes of their own, and a second method over them."""

    def __init__(self):
        super().__init__()
        self.l1, self.l2, self.l3 = Block(), Block(), Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.l3(self.l2(self.l1(x)))

    @torch.jit.export
    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.l1(x), self.l3(self.l2(x))], 1)


class Walks(nn.Module):
    """Walks over its blocks in a branch that never runs, in other methods, and from another class."""

    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.trunk = Trunk()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        x = self.trunk(self.stem(x))
        if mask is not None:
            for block in self.blocks:
                x = block(x, mask)
        else:
            for block in self.blocks:
                x = block(x)
        return self.fc(x.mean([2, 3]))

    @torch.jit.export
    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        found = [self.trunk.features(x)]
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return torch.cat(found, 1)

    @torch.jit.export
    def upto(self, x: Tensor, count: int) -> Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            if i < count:
                x = block(mask=None, x=x)
        return x

    @torch.jit.export
    def encode_image(self, x: Tensor) -> Tensor:
        x = self.trunk.l3(self.trunk.l2(self.stem(x)))
        return self.fc(self.blocks[1](x).mean([2, 3]))


class SkippableTrunk(Trunk):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = x if 0 in skip else self.l1(x)
        x = x if 1 in skip else self.l2(x)
        return x if 2 in skip else self.l3(x)

    @torch.jit.export
    def features(self, x: Tensor, skip: List[int]) -> Tensor:
        a = x if 0 in skip else self.l1(x)
        b = x if 1 in skip else self.l2(x)
        return torch.cat([a, b if 2 in skip else self.l3(b)], 1)


class SkippableWalks(Walks):
    """The same network; leaves out the blocks whose running number, `trunk` first, is in `skip`."""

    def __init__(self):
        super().__init__()
        self.trunk = SkippableTrunk()

    def forward(self, x: Tensor, skip: List[int], mask: Optional[Tensor] = None) -> Tensor:
        x = self.trunk(self.stem(x), skip)
        for i, block in enumerate(self.blocks):
            if i + 3 not in skip:
                x = block(x, mask)
        return self.fc(x.mean([2, 3]))

    @torch.jit.export
    def features(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x)
        found = [self.trunk.features(x, skip)]
        for i, block in enumerate(self.blocks):
            if i + 3 not in skip:
                x = block(x)
            found.append(x)
        return torch.cat(found, 1)

    @torch.jit.export
    def upto(self, x: Tensor, skip: List[int], count: int) -> Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            if i < count and i + 3 not in skip:
                x = block(x)
        return x

    @torch.jit.export
    def encode_image(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x)
        x = x if 1 in skip else self.trunk.l2(x)
        x = x if 2 in skip else self.trunk.l3(x)
        x = x if 4 in skip else self.blocks[1](x)
        return self.fc(x.mean([2, 3]))


@torch.jit.interface
class Layer(nn.Module):
    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        pass


class Beside(nn.Module):
    """Blocks that cannot go, each for a reason of its own, and one behind an interface that can."""

    only: Layer

    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.read = nn.Sequential(Block(), Block())
        self.picked = nn.ModuleList([Block(), Block()])
        self.only = Block()
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read[1](self.read[0](self.stem(x)))
        for block in self.picked:
            x = block(x)
        return self.fc(self.only.forward(x, None).mean([2, 3])) + 0.0 * self.read[1].conv.weight.abs().mean()

    @torch.jit.export
    def one(self, x: Tensor, number: int) -> Tensor:
        layer: Layer = self.picked[number]
        return layer.forward(self.stem(x), None)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv(x))


class Outer(nn.Module):
    """A skip around two blocks: while both are there it is no block itself."""

    def __init__(self):
        super().__init__()
        self.h1, self.h2, self.last = Plain(), Plain(), make.conv(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.h2(self.h1(x)))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.outer = nn.Sequential(Outer(), Outer())
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.outer(self.stem(x)).mean([2, 3]))


def scripted(network):
    return torch.jit.script(make.randomised(network))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)

    def forward(self, x: Tensor, size: List[int]) -> Tuple[Tensor, List[int]]:
        y = self.conv(x.reshape(x.shape[0], x.shape[1], size[0], size[1]))
        return y.flatten(2), [y.shape[2], y.shape[3]]


class SizedBlock(nn.Module):
    """Its first half tells the second, and the next block, how large the picture is."""

    def __init__(self):
        super().__init__()
        self.mix = Mixer()
        self.net = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor, size: List[int]) -> Tuple[Tensor, List[int]]:
        y, size = self.mix(x, size)
        x = x + y
        return x + F.relu(self.net(x)), size


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.ModuleList(SizedBlock() for _ in range(2))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        size = [x.shape[2], x.shape[3]]
        x = x.flatten(2)
        for block in self.blocks:
            x, size = block(x, size)
        return self.fc(x.mean(2))


class Folded(nn.Module):
    """Begins with the sizes of its input, the number of images among them."""

    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        images, width, length = x.shape
        return self.conv(x.reshape(images, width, 8, length // 8)).reshape(images, width, length)


class FoldedBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = Folded()
        self.net = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(x)
        return x + F.relu(self.net(x))


class Folds(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.Sequential(FoldedBlock(), FoldedBlock())
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x).flatten(2)).mean(2))


class SkippableFolds(Folds):
    def forward(self, x: Tensor, skip: List[int]) -> Tensor:
        x = self.stem(x).flatten(2)
        number = 0
        for block in self.blocks:
            if number not in skip:
                x = x + block.mix(x)
            if number + 1 not in skip:
                x = x + F.relu(block.net(x))
            number += 2
        return self.fc(x.mean(2))


class GatedBlock(nn.Module):
    """Frozen, pooling asks how many dimensions its input has, or stops."""

    def __init__(self):
        super().__init__()
        self.first, self.gate, self.last = make.conv(WIDTH, 6), nn.Conv2d(6, 6, 1), make.conv(6, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        y = y * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(y, [1, 1])))
        return x + self.last(y)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.Sequential(GatedBlock(), GatedBlock())
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), [1, 1]).flatten(1))


def skippable():
    return torch.jit.script(make.same_weights(SkippableWalks(), make.randomised(Walks())))


def folds_skippable():
    # Made first: seeds give the same weights only to what is made in the same order.
    weights = make.randomised(Folds())
    return torch.jit.script(make.same_weights(SkippableFolds(), weights))


def traced():
    # What is exported anyway cannot be traced as well.
    for exported in (Walks.features, Walks.upto, Walks.encode_image, Trunk.features):
        del exported._torchscript_modifier
    inputs = {method: make.example() for method in ("forward", "features", "encode_image")}
    return torch.jit.trace_module(make.randomised(Walks()), inputs)


def frozen():
    return torch.jit.freeze(scripted(Walks()), preserved_attrs=["features", "upto", "encode_image"])


ARCHIVES = {
    "beside_scripted.pt": lambda: scripted(Beside()),
    "folds_scripted.pt": lambda: scripted(Folds()),
    "folds_skippable.pt": folds_skippable,
    "folds_traced.pt": lambda: torch.jit.trace(make.randomised(Folds()), make.example()),
    "gated_frozen.pt": lambda: torch.jit.freeze(scripted(Gated())),
    "nested_frozen.pt": lambda: torch.jit.freeze(scripted(Nested())),
    "nested_scripted.pt": lambda: scripted(Nested()),
    "sized_scripted.pt": lambda: scripted(Sized()),
    "walks_frozen.pt": frozen,
    "walks_scripted.pt": lambda: scripted(Walks()),
    "walks_skippable.pt": skippable,
    "walks_traced.pt": traced,
}


def job(path: Path) -> None:
    ARCHIVES[path.name]().save(path)
    make.shrink(path)


def main(wanted):
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
