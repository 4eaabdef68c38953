"""Networks that take their images otherwise than n × channels × height × width. Writes the archives beside it.

    python pixels.py [NAME...]      all of them, or those whose file name starts with a NAME
"""

import sys
from pathlib import Path
from typing import List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

HERE = Path(__file__).parent
WIDTH = 4
MEAN = [0.5, 0.25, 0.125]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = make.conv(WIDTH, WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = make.conv(3, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.stem(x))).mean([2, 3]))


class Bytes(nn.Module):
    """As decoders give images: bytes, channels last."""

    def __init__(self, net: Net):
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2).float().div(255.0) - self.mean)


class Asserted(Bytes):
    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        return self.net(x.permute(0, 3, 1, 2).float().div(255.0) - self.mean)


class AssertedFirst(Bytes):
    """Bytes, channels first."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            raise ValueError("images are bytes")
        return self.net(x / 255.0 - self.mean)


class Divided(Bytes):
    """Numbers of 0 to 255, channels first."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / 255.0 - self.mean)


class Last(nn.Module):
    """Normalised numbers, channels last."""

    def __init__(self, net: Net):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2))


class Normalised(Bytes):
    """Numbers, channels last, normalised before they are turned round."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean.view(3)).permute(0, 3, 1, 2))


class Pixels(nn.Module):
    """Numbers, channels last, pixel by pixel: nothing turns them round."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).mean([1, 2])


class Listed(Last):
    def forward(self, xs: List[Tensor]) -> Tensor:
        return self.net(torch.stack(xs))


class Second(Last):
    def forward(self, x: Tensor, training_step: int) -> Tensor:
        return self.net(x) * training_step


class Optional(Last):
    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.net(x) * scale


class One(Net):
    """Its head counts the images of a batch, which a trace fixes."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.stem(x)))
        count = int(x.shape[0])
        return self.fc(F.adaptive_avg_pool2d(x, 1).reshape(count, WIDTH))


def net(kind=Net) -> nn.Module:
    torch.manual_seed(7)
    network = kind()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return network


def scripted(network: nn.Module):
    return torch.jit.script(network.eval())


def traced(network: nn.Module, images: Tensor):
    return torch.jit.trace(network.eval(), images)


def images() -> Tensor:
    return torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)


ARCHIVES = {
    "first_scripted.pt": lambda: scripted(net()),
    "bytes_scripted.pt": lambda: scripted(Bytes(net())),
    "bytes_traced.pt": lambda: traced(Bytes(net()), images()),
    "bytes_asserted.pt": lambda: scripted(Asserted(net())),
    "first_asserted.pt": lambda: scripted(AssertedFirst(net())),
    "divided_scripted.pt": lambda: scripted(Divided(net())),
    "last_scripted.pt": lambda: scripted(Last(net())),
    "normalised_last_scripted.pt": lambda: scripted(Normalised(net())),
    "pixels_scripted.pt": lambda: scripted(net(Pixels)),
    "list_scripted.pt": lambda: scripted(Listed(net())),
    "second_scripted.pt": lambda: scripted(Second(net())),
    "optional_scripted.pt": lambda: scripted(Optional(net())),
    "one_traced.pt": lambda: traced(net(One), torch.randn(1, 3, 8, 8)),
}


def example_inputs(path: Path) -> tuple:
    torch.manual_seed(3)
    numbers = torch.randn(2, 3, 8, 8)
    kind = path.stem.split("_")[0]
    if path.name == "first_asserted.pt":
        return (images().permute(0, 3, 1, 2),)
    return {"bytes": (images(),), "last": (images().float(),), "normalised": (images().float(),),
            "pixels": (images().float(),), "list": (list(numbers),), "second": (numbers, 2),
            "one": (numbers[:1],)}.get(kind, (numbers,))


def job(path: Path) -> None:
    ARCHIVES[path.name]().save(path)
    make.shrink(path)


def main(wanted):
    make.example_inputs = example_inputs
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
