"""Networks that training, repair or measuring could get wrong. Writes the archives beside it.

    python train.py [NAME...]       all of them, or those whose file name starts with a NAME
"""

import sys
from pathlib import Path
from typing import Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

HERE = Path(__file__).parent
WIDTH = 4


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


class TurnedWidths(Widths):
    """Takes images channels last, which its convolutions then see."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2))


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


def turned(network):
    return torch.jit.trace(make.randomised(network), make.example().permute(0, 2, 3, 1).contiguous())


def counted(network, batches: int):
    """Batch normalisation has seen so many batches."""
    network = make.randomised(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.fill_(batches)
    return torch.jit.script(network)


class Normalised(nn.Module):
    """A network and what follows its scores."""

    def __init__(self, network: nn.Module, *behind: nn.Module):
        super().__init__()
        self.net = network
        self.behind = nn.Sequential(*behind)

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.net(x))


class Maps(nn.Module):
    """Softmax over maps of one pixel, then a view and dropout."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.net(x).unsqueeze(2).unsqueeze(3)
        return self.drop(F.softmax(x, dim=1).flatten(1))


class Both(nn.Module):
    """Scores and probabilities."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        x = self.net(x)
        return x, x.softmax(-1)


class Ensemble(nn.Module):
    """The mean of the probabilities of two networks, which are the same one here."""

    def __init__(self, stacked: bool):
        super().__init__()
        self.net = Net()
        self.stacked = stacked

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.net(x).softmax(1), self.net(x).softmax(1)
        if self.stacked:
            return torch.stack([first, second]).mean(0)
        return (first + second) / 2


class Quiet(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.fc(self.blocks(F.relu(self.stem(x))).mean([2, 3]))


class Dropping(Net):
    """As one writes it who wants dropout whatever the mode."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.stem(x)))
        return self.fc(F.dropout(x, 0.5).mean([2, 3]))


def saved_training(make_archive, network):
    """In training mode, whatever it was made in."""
    archive = make_archive(network)
    archive.train()
    return archive


def partly_training():
    """A block alone is in training mode."""
    archive = traced(Net(drop=0.5))
    getattr(archive.blocks, "1").train()
    return archive


def traced_training(network):
    network = make.randomised(network).train()
    return torch.jit.trace(network, make.example(), check_trace=False)


def held(network, free):
    """All parameters but those whose names begin so say requires_grad=False."""
    network = make.randomised(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(free))
    return network


ARCHIVES = {f"widths_{width}.pt": lambda width=width: scripted(Widths(width)) for width in (3, 4, 6, 12)} | {
    "widths_turned.pt": lambda: turned(TurnedWidths(3)),
    "net_scripted.pt": lambda: scripted(Net()),
    "net_traced.pt": lambda: traced(Net()),
    "flags_traced.pt": lambda: saved_training(traced, Net()),
    "flags_part_traced.pt": partly_training,
    "flags_scripted.pt": lambda: saved_training(scripted, Net()),
    "momentum_none_traced.pt": lambda: traced(Net(momentum=None)),
    "momentum_zero_scripted.pt": lambda: scripted(Net(momentum=0.0)),
    "momentum_none_scripted.pt": lambda: counted(Net(momentum=None), 0),
    "momentum_many_scripted.pt": lambda: counted(Net(momentum=None), 50_000_000),
    "held_scripted.pt": lambda: torch.jit.script(held(Net(), "fc")),
    "held_traced.pt": lambda: torch.jit.trace(held(Net(), ("fc", "blocks.2")), make.example()),
    "held_all_scripted.pt": lambda: torch.jit.script(held(Net(), "none")),
    "softmax_scripted.pt": lambda: scripted(Normalised(Net(), nn.Softmax(1))),
    "softmax_maps_traced.pt": lambda: traced(Maps()),
    "log_softmax_traced.pt": lambda: traced(Normalised(Net(), nn.LogSoftmax(dim=-1))),
    "softmax_both_scripted.pt": lambda: scripted(Both()),
    "softmax_sum_traced.pt": lambda: traced(Ensemble(stacked=False)),
    "softmax_stack_scripted.pt": lambda: scripted(Ensemble(stacked=True)),
    "softmax_images_scripted.pt": lambda: scripted(Normalised(Net(), nn.Softmax(0))),
    "sigmoid_scripted.pt": lambda: scripted(Normalised(Net(), nn.Sigmoid())),
    "quiet_scripted.pt": lambda: scripted(Quiet()),
    "training_traced.pt": lambda: traced_training(Net(drop=0.2)),
    "training_norm_traced.pt": lambda: traced_training(Net()),
    "always_drops_scripted.pt": lambda: scripted(Dropping()),
}
def example_inputs(path: Path) -> tuple:
    picture = make.example()
    return (picture.permute(0, 2, 3, 1),) if "turned" in path.name else (picture,)


# They do not give the same twice, or not for the images of the others.
UNCHECKED = ("training_traced", "always_drops", "widths_turned")


def job(path: Path) -> None:
    if path.name.startswith(UNCHECKED):
        make.check, make.example_inputs = (lambda *_: None), example_inputs
    ARCHIVES[path.name]().save(path)
    make.shrink(path)


def main(wanted):
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
