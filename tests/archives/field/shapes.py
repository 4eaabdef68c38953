"""Networks whose code the analysis has to follow, or to name what it does not follow. Writes the archives beside it.

    python shapes.py [NAME...]      all of them, or those whose file name starts with a NAME
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
WIDTH = 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)

    def branch(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


class Net(nn.Module):
    def __init__(self, block=Block, count: int = 3):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.Sequential(*(block() for _ in range(count)))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.stem(x))).mean([2, 3]))


class Quiet(nn.Module):
    """A backbone that is not to learn, under `no_grad`, and a head that is, marked for a profiler."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.head = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.net(x)
        with torch.autograd.profiler.record_function("head"):
            y = self.head(y)
        return y


def scripted(network):
    return torch.jit.script(make.randomised(network).eval())


def traced(network):
    return torch.jit.trace(make.randomised(network).eval(), make.example())


def frozen(network):
    return torch.jit.freeze(scripted(network))


ARCHIVES = {
    "no_grad_frozen.pt": lambda: frozen(Quiet()),
    "no_grad_scripted.pt": lambda: scripted(Quiet()),
}


def main(wanted):
    torch.set_grad_enabled(False)
    for name, archive in ARCHIVES.items():
        if wanted and not name.startswith(tuple(wanted)):
            continue
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
