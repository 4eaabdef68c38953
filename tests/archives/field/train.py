"""Networks that training, repair or measuring could get wrong. Writes the archives beside it.

    python train.py [NAME...]       all of them, or those whose file name starts with a NAME
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

HERE = Path(__file__).parent
WIDTH = 8


class Widths(nn.Module):
    """Convolutions of one and of nine pixels, with stride 1 and 2, of the same number of channels."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = make.conv(3, width)
        self.point = make.conv(width, width, 1)
        self.window = make.conv(width, width)
        self.point2 = make.conv(width, 8, 1, 2)
        self.window2 = make.conv(width, 8, 3, 2)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.point(x) + self.window(x))
        x = F.relu(self.norm(self.point2(x) + self.window2(x)))
        return self.fc(x.mean([2, 3]))


class Block(nn.Module):
    def __init__(self, momentum, drop: float):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH, momentum=momentum)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.drop(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self, momentum=0.1, drop: float = 0.0, blocks: int = 3):
        super().__init__()
        self.stem = make.conv(3, WIDTH, 3, 2)
        self.blocks = nn.Sequential(*(Block(momentum, drop) for _ in range(blocks)))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.stem(x))).mean([2, 3]))


def scripted(network):
    return torch.jit.script(make.randomised(network))


def traced(network):
    return torch.jit.trace(make.randomised(network), make.example())


def counted(network, batches: int):
    """Batch normalisation has seen so many batches."""
    network = make.randomised(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.fill_(batches)
    return torch.jit.script(network)


ARCHIVES = {f"widths_{width}.pt": lambda width=width: scripted(Widths(width)) for width in (3, 4, 6, 12)}


def main(wanted):
    torch.set_grad_enabled(False)
    for name, archive in ARCHIVES.items():
        if wanted and not name.startswith(tuple(wanted)):
            continue
        # TorchScript numbers class names per process.
        child = os.fork()
        if child == 0:
            archive().save(HERE / name)
            make.shrink(HERE / name)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise SystemExit(f"{name} could not be made")
        print(f"{(HERE / name).stat().st_size:8} {name}")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main(sys.argv[1:])
