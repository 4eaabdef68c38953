"""Makes the programs of this folder: the networks of the folder above, exported by torch.export.

    python make.py [NAME...]        all of them, or those whose file name starts with a NAME

What depends on the version of PyTorch is named after it: `basic_2_11.pt2`. Another PyTorch makes the file of its own version.
"""

import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, export

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import make  # noqa: E402

VERSION = "_".join(torch.__version__.split(".")[:2])
# Where Python found each line, and nothing else.
PRIVATE = ["stack_trace", "from_node"]


# --- networks that TorchScript has no use for ------------------------------------------------------------------------


class Tied(make.Basic):
    """Its classifier and a second linear layer share a weight."""

    def __init__(self):
        super().__init__((2, 2, 1))
        self.mix = nn.Linear(8, 5)
        self.mix.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        x = torch.flatten(self.pool(x), 1)
        return self.fc(x) + self.mix(torch.relu(x))


class Twice(make.Basic):
    """The second block of its first stage runs twice, with the same weights."""

    def __init__(self):
        super().__init__((3, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.stage1[2](self.stage1[1](self.stage1[1](self.stage1[0](x))))
        x = self.stage3(self.stage2(x))
        return self.fc(torch.flatten(self.pool(x), 1))


class Infinite(make.Basic):
    """Numbers that JSON has not."""

    def __init__(self):
        super().__init__((2, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nan_to_num(x, nan=0.5, posinf=1.0, neginf=float("-inf"))
        x = torch.clamp(self.bn(self.conv(x)), 0.0, float("inf"))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


class Shut(make.Basic):
    """A part of it runs without gradients, which exporters keep as a graph of its own."""

    def __init__(self):
        super().__init__((2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.relu(self.bn(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


class Sized(make.Halves):
    """Attention by hand: heads are parted by views that name the number of images."""

    def __init__(self):
        super().__init__(SizedBlock)


class SizedBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out((F.softmax(q @ k.transpose(-2, -1), -1) @ v).transpose(1, 2).reshape(n, tokens, width))
        return x


# --- export ----------------------------------------------------------------------------------------------------------


@torch.enable_grad()
def program(network: nn.Module, dynamic: bool = True, strict: bool = False, dtype: torch.dtype = torch.float32, **more):
    shapes = ({0: Dim("batch")},) if dynamic else None
    return export(network, (make.example().to(dtype),), dynamic_shapes=shapes, strict=strict, **more)


def save(network: nn.Module, path: Path, check: bool = True, decompose: bool = False, **options) -> None:
    exported = program(network, **options)
    if decompose:
        exported = exported.run_decompositions()
    torch.export.save(exported, str(path))
    shrink(path)
    if check:
        images = make.example().to(options.get("dtype", torch.float32))
        make.check(network(images), torch.export.load(str(path)).module()(images), path.name)


def shrink(path: Path) -> None:
    """Writes the file anew, deflated, without what tells where it was made and without the example's pickle."""
    with zipfile.ZipFile(path) as old:
        entries = [(name, old.read(name)) for name in old.namelist()]
    path.unlink()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries:
            if "/models/" in name:
                document = json.loads(content)
                for node in document["graph_module"]["graph"]["nodes"]:
                    for key in PRIVATE:
                        node["metadata"].pop(key, None)
                content = json.dumps(document).encode()
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)


def save_steps(path: Path) -> None:
    network, given = make.randomised(make.Steps()), make.steps_given(make.example())
    shapes = (None, {0: Dim("batch")}, None, None)
    torch.export.save(export(network, given, dynamic_shapes=shapes), str(path))
    shrink(path)
    make.check(network(*given), torch.export.load(str(path)).module()(*given), path.name)


def small(network: type = make.Basic) -> nn.Module:
    return make.randomised(network((2, 2, 1)) if network is make.Basic else network())


def channels_last() -> nn.Module:
    return small().to(memory_format=torch.channels_last)


def training() -> nn.Module:
    return small(make.Dropout).train()


def jobs() -> Dict[str, Callable[[Path], None]]:
    made: Dict[str, Callable[[Path], None]] = {}

    def job(name: str, network: Callable[[], nn.Module], **options) -> None:
        made[f"{name}.pt2"] = lambda path: save(network(), path, **options)

    for family in ["Basic", "Inplace", "Preact", "Halves", "Postnorm", "Branch", "Dropout"]:
        job(f"{family.lower()}_exported", lambda family=family: make.randomised(getattr(make, family)()))
    job(f"basic_{VERSION}", small)
    job("static", small, dynamic=False)
    job("strict", small, strict=True)
    job("tied", lambda: small(Tied))
    job("twice", lambda: small(Twice))
    job("infinite", lambda: small(Infinite))
    job("channels_last", channels_last)
    job("bfloat16", lambda: small(make.Dropout).bfloat16(), dtype=torch.bfloat16)
    job("tuple", lambda: small(make.InTuple))
    job("sized", lambda: small(Sized))
    job("sized_static", lambda: small(Sized), dynamic=False)
    job("signatures", small, preserve_module_call_signature=("stage1", "stage2"))
    # Exported while training, as it is and made functional: its statistics are outputs then.
    job("training", training, check=False)
    job("training_functional", training, check=False, decompose=True)
    job("no_grad", lambda: small(Shut), check=False)
    made["steps.pt2"] = save_steps
    return made


def main(wanted: List[str]) -> None:
    make.write(HERE, jobs(), wanted)


if __name__ == "__main__":
    make.start(main)
