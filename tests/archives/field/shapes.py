"""Networks whose code the analysis has to follow, or to name what it does not follow. Writes the archives beside it.

    python shapes.py [NAME...]      all of them, or those whose file name starts with a NAME
"""

import math
import sys
import zipfile
from pathlib import Path
from typing import Dict

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


class ChannelSwap(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, [2, 1, 0]])


class Counted(nn.Module):
    """Leaves out the rows of pixels that are black in all images."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.abs().sum([0, 1, 3]) > 0
        return self.net(x[:, :, rows])


class Woven(Block):
    """Its weight is a Kronecker product of two parameters, of which no rule tells the shape."""

    def __init__(self):
        super().__init__()
        self.left = nn.Parameter(torch.randn(2, 2, 1, 1))
        self.right = nn.Parameter(torch.randn(2, 2, 3, 3))

    def branch(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(x, torch.kron(self.left, self.right), padding=1))


class Cached(Block):
    """Keeps its bias for each device it ran on: a dictionary that changes while the network runs."""

    cache: Dict[str, Tensor]

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(2, 2))
        self.cache = {}

    def bias_of(self, device: torch.device) -> Tensor:
        key = str(device)
        if key not in self.cache:
            self.cache[key] = self.bias.repeat(2, 1)[:, 0]
        return self.cache[key]

    def branch(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x) + self.bias_of(x.device)[:, None, None])


class SumBlock(Block):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(sum([x, self.branch(x)]))


class ScaledBlock(Block):
    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.branch(x), alpha=0.2)


class MinusBlock(Block):
    def forward(self, x: Tensor) -> Tensor:
        return x - self.branch(x)


class NormOfAll(Block):
    """Scales each channel by its norm beside the others'."""

    def forward(self, x: Tensor) -> Tensor:
        g = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + self.branch(x * (g / (g.mean(1, keepdim=True) + 1e-6)))


class ChannelAttention(Block):
    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q = F.normalize(self.branch(x).flatten(2), dim=-1)
        k = F.normalize(x.flatten(2), dim=-1)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return x + (weights @ x.flatten(2)).reshape(b, c, h, w)


class Fourier(Block):
    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(WIDTH, 8, 5, 2))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(self.norm(x)) * torch.view_as_complex(self.filter)
        return x + self.conv(torch.fft.irfft2(spectrum, s=(8, 8)))


class SameWord(Block):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding="same", dilation=2, bias=False)


class SamePadding(nn.Conv2d):
    """As TensorFlow pads: what it takes is computed from the size of the image."""

    def forward(self, x: Tensor) -> Tensor:
        amounts = []
        for size, kernel, stride in zip(x.shape[-1:-3:-1], self.kernel_size, self.stride):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            amounts += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, amounts), self.weight, self.bias, self.stride)


def padded():
    network = Net()
    network.stem = SamePadding(3, WIDTH, 3, 2)
    return network


def weight_normed():
    network = Net()
    for block in network.blocks:
        nn.utils.weight_norm(block.conv)
    return network


def spectral_normed():
    network = Net()
    for block in network.blocks:
        nn.utils.parametrizations.spectral_norm(block.conv)
    return network


class Quantisable(Block):
    def __init__(self):
        super().__init__()
        self.add = torch.ao.nn.quantized.FloatFunctional()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.add.add(x, self.branch(x)))


def prepared_for_quantisation():
    network = make.randomised(Net(Quantisable))
    for block in network.blocks:
        block.add.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare_qat(network.train())
    prepared(make.example())
    prepared.apply(torch.ao.quantization.disable_observer)
    return torch.jit.trace(prepared.eval(), make.example())


def scripted(network):
    return torch.jit.script(make.randomised(network).eval())


def traced(network):
    return torch.jit.trace(make.randomised(network).eval(), make.example())


def frozen(network):
    return torch.jit.freeze(scripted(network))


def for_mobile():
    from torch.utils.mobile_optimizer import optimize_for_mobile

    return optimize_for_mobile(scripted(Net()))


class OnDevice(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + torch.zeros(x.shape[0], 1, device=x.device)


class KeepsDevice(nn.Module):
    """Names a GPU in every way that scripted code has."""

    dev: torch.device

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.dev = torch.device("cuda:0")
        self.name = "cuda"

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dev).to("cuda:0", torch.float32).cuda()
        x = x + torch.zeros(1, device=self.name) + torch.ones(1, device=torch.device("cuda", 0))
        return self.net(x)


ARCHIVES = {
    "devices_scripted.pt": lambda: scripted(KeepsDevice()),
    "cuda_traced.pt": lambda: traced(OnDevice()),
    "for_inference.pt": lambda: torch.jit.optimize_for_inference(scripted(Net())),
    "for_mobile.pt": for_mobile,
    "no_grad_frozen.pt": lambda: frozen(Quiet()),
    "no_grad_scripted.pt": lambda: scripted(Quiet()),
    "channel_swap_scripted.pt": lambda: scripted(ChannelSwap()),
    "channel_swap_traced.pt": lambda: traced(ChannelSwap()),
    "counted_scripted.pt": lambda: scripted(Counted()),
    "woven_traced.pt": lambda: traced(Net(Woven)),
    "cached_scripted.pt": lambda: scripted(Net(Cached)),
    "sum_traced.pt": lambda: traced(Net(SumBlock)),
    "scaled_scripted.pt": lambda: scripted(Net(ScaledBlock)),
    "minus_traced.pt": lambda: traced(Net(MinusBlock)),
    "norm_traced.pt": lambda: traced(Net(NormOfAll)),
    "channel_attention_traced.pt": lambda: traced(Net(ChannelAttention)),
    "fourier_traced.pt": lambda: traced(Net(Fourier)),
    "same_word_traced.pt": lambda: traced(Net(SameWord)),
    "same_padding_traced.pt": lambda: traced(padded()),
    "weight_norm_traced.pt": lambda: traced(weight_normed()),
    "spectral_norm_traced.pt": lambda: traced(spectral_normed()),
    "fake_quantised_traced.pt": prepared_for_quantisation,
}


ON_GPU = ("cuda_traced.pt", "devices_scripted.pt")


def made_on_gpu(path):
    """Writes the devices that an export on a GPU has, which need not run here, deflated."""
    with zipfile.ZipFile(path) as old:
        entries = [(name, old.read(name)) for name in old.namelist() if not name.endswith(".debug_pkl")]
    path.unlink()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries:
            content = content.replace(b'torch.device("cpu")', b'torch.device("cuda:0")')
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)


def job(path: Path) -> None:
    ARCHIVES[path.name]().save(path)
    if path.name in ON_GPU:
        made_on_gpu(path)
    # PyTorch does not load what it saved of packed layers.
    if path.name not in ("for_inference.pt", *ON_GPU):
        make.shrink(path)


def main(wanted):
    make.write(HERE, dict.fromkeys(ARCHIVES, job), wanted)


if __name__ == "__main__":
    make.start(main)
