"""Modules whose TorchScript text shows literals, types and expressions, and traced modules."""

from enum import Enum
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

script = torch.jit.script


class Tuples(nn.Module):
    def forward(self, x: Tensor, pair: Tuple[int, Tuple[Tensor, str]]) -> Tuple[Tuple[Tensor], Tuple[int, str]]:
        n, (y, name) = pair
        one = (x + y,)
        nested = ((1, 2.0), one, (), ("a",))
        (first,) = one
        swapped = (name, n)
        name, n = swapped
        total = nested[0][0] + n
        largest, where = torch.max(first, 1)
        parts = torch.split(largest, 2)
        a, b = parts[0], parts[-1]
        return (a + b + where,), (total, name)


class Lists(nn.Module):
    def forward(self, x: Tensor) -> List[List[int]]:
        empty: List[Tensor] = []
        numbers = [1, 2, 3]
        nested = [[1], [2, 3], torch.jit.annotate(List[int], [])]
        floats: List[float] = []
        floats.append(1.0)
        optionals: List[Optional[Tensor]] = [x, None]
        strings = ["a", "b"]
        numbers.extend([4, 5])
        numbers.sort()
        last = numbers.pop()
        del numbers[0]
        squares = [n * n for n in numbers]
        shapes = [t.size(0) for t in [x, x]]
        a, b = [1, 2]
        empty.append(x)
        if len(empty) > 1 and strings[0] == "a" and optionals[1] is None:
            nested.append(squares[1:-1] + shapes + [last, a, b, int(floats[0])])
        return nested


class Dicts(nn.Module):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        empty: Dict[str, Tensor] = {}
        ages = {"ann": 3, "bob": 4}
        keyed = {1: [x], 2: [x, x]}
        empty["x"] = x
        if "ann" in ages:
            ages["ann"] += 1
        for key, items in keyed.items():
            empty[str(key)] = items[0]
        for key in ages:
            ages[key] = 0
        lengths = {key: len(key) for key in ["q", "rr"]}
        found = empty.get("y")
        if found is not None:
            empty.pop("x")
        return {"a": x + lengths["q"], "b": x} if len(ages) > 1 else empty


class Strings(nn.Module):
    def forward(self, x: Tensor, name: str) -> List[str]:
        a = "double \" and single ' quote"
        escapes = ["line\nfeed", "tab\t", "return\r", "back\\slash", "bell\a", "form\f", "vertical\v", "back\b", "\x1b"]
        letters = ["é", "日本語", "🙂", "mixed é \" \n", "\x7f", "\x80"]
        zero = "null\0 end"
        brackets = ["\\\" # not a comment: ([", "{braces} {} %s %d", "ends with a backslash\\", "", "'''", '"""']
        long = "a text of more than eighty characters is long enough for the printer to treat it as one of the long ones"
        if name == 'def forward(self):\n    return "x"':
            return escapes + letters
        return brackets + [a, zero, long, name.upper() + name[1:3] + name[-1] + name.replace("'", "\"")]


class Formats(nn.Module):
    def forward(self, x: Tensor, n: int, rate: float) -> str:
        a = f"n={n}, rate={rate}, shape={x.shape}"
        b = "{} of {}".format(n, rate)
        c = "%d items at %s" % (n, rate)
        d = "one %s" % n
        print(f"{a}: {x}")
        return a + b + c + d + str(n)


class Numbers(nn.Module):
    def forward(self, x: Tensor, n: int) -> List[float]:
        big = 9223372036854775807
        small = -9223372036854775807
        values = [0.0, -0.0, 1.0, 1e-05, 1e-300, 1.7976931348623157e308, 0.1, 3.141592653589793, 1e16, 123456789.0, 5e-324]
        special = [float("inf"), -float("inf"), float("nan")]
        x = x * -1 + (-2.5) * 1e10
        x = x.clamp(-1e-3, float("inf"))
        m = -n // 3 + n % 4 - n**2 + (n << 2) + (n >> 1) + (n & 6) + (n | 1) + (n ^ 5)
        r = n / 7 + float(n) ** 0.5 + abs(-1.5) + round(2.5) + min(1, n) + max(2.0, 3.0) + divmod(7.0, 2.0)[0]
        y = x + m - big + small
        values.extend(special)
        values.extend([r, float(y.sum()), float(x.sum().item())])
        return values


class Complex(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        z = complex(1.0, -2.5)
        w = 3j
        return x * z + w * 2 + torch.tensor(1 + 2j).real


class Indexing(nn.Module):
    def forward(self, x: Tensor, index: Tensor, n: int) -> Tensor:
        a = x[0] + x[-1]
        b = x[1:3, :, ::2] + x[:-1, None, ..., 0]
        c = x[index] + x[index > 0] + x[:, index, n]
        d = x[n:, 1 : n + 2 : 3]
        sizes = x.shape
        e = x.view(sizes[0], -1)[:, : sizes[1]]
        f = sizes[1:][::-1]
        first, rest = sizes[0], sizes[1:]
        return a.sum() + b.sum() + c.sum() + d.sum() + e.sum() + f[0] + first + len(rest)


class Shade(Enum):
    DARK = 0
    LIGHT = 1


class Enums(nn.Module):
    def __init__(self):
        super().__init__()
        self.shade = Shade.LIGHT

    def forward(self, x: Tensor, shade: Shade) -> Tensor:
        if shade == Shade.DARK or self.shade is Shade.LIGHT:
            return x * shade.value
        return x + len(shade.name)


class DeviceDtype(nn.Module):
    def forward(self, x: Tensor, device: torch.device, dtype: Optional[torch.dtype] = None) -> Tensor:
        a = torch.zeros([2, 3], dtype=torch.float16, device="cpu")
        b = torch.empty_like(x, device=device, memory_format=torch.channels_last)
        c = x.to(torch.device("cuda:1"), torch.float64, non_blocking=True)
        d = torch.arange(0, 10, 2, dtype=torch.int64, layout=torch.strided, pin_memory=False)
        if x.is_cuda or x.dtype == torch.uint8 or x.device.type == "cpu" or device == x.device:
            return a.to(x.dtype)
        if dtype is not None and x.is_floating_point():
            return b.to(dtype=dtype, copy=True)
        return c + d.to(x)


class Types(nn.Module):
    def forward(self, x: Any, y: Union[int, Tensor, List[str]], flag: bool) -> Union[int, float]:
        if isinstance(y, int):
            return y + 1
        if isinstance(y, Tensor):
            return y.dim() * 1.0
        if isinstance(x, int):
            return x
        if isinstance(x, (float, str)):
            return 2
        z: Any = x if flag else 3
        if isinstance(z, list):
            return 3
        cast = torch.jit.annotate(Optional[int], None)
        return 4 if cast is None else cast


class KeywordArguments(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out = F.max_pool2d(x, kernel_size=[2, 2], stride=[2, 2])
        out = torch.nn.functional.conv2d(out, x, bias=None, padding=(1, 1), groups=1)
        out = torch.einsum("ij,jk->ik", out, out) @ out.t()
        out = torch.where(out > 0, out, torch.full_like(out, -1.0)).permute(1, 0).contiguous()
        torch.manual_seed(3)
        return torch.add(out, torch.rand(2, 2), alpha=2).softmax(dim=-1, dtype=torch.float32)


class Weighted(nn.Module):
    """Own leaf with a parameter, so that no text of PyTorch's modules takes part."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))

    def forward(self, x):
        return x * self.weight + self.shift


class Skip(nn.Module):
    def forward(self, x):
        return x


class TracedNested(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = Weighted(4), Weighted(4), Weighted(4)
        self.skip = Skip()

    def forward(self, x):
        x = torch.relu(self.second(self.first(x)))
        x = self.skip(x)
        y = self.third(self.third(x)) + self.first(x)
        return torch.cat([y.relu_(), x.view(x.size(0), -1)], 1)


class Flat(nn.Module):
    """Frozen, its weights become constants of one flat forward."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Weighted(4), Weighted(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x)).relu_()
        if x.dim() == 2:
            y = y + x
        return y


class TracedShapes(nn.Module):
    def forward(self, x):
        n, width = x.shape
        y = x.reshape(n, 2, width // 2).transpose(1, 2)
        y = y[:, 0] * torch.tensor([1.0, -2.0]) + torch.arange(2).to(y)
        a, b = torch.chunk(y, 2, dim=1)
        y[0] = 3.0
        values, places = torch.topk(y, 1)
        return {"a": a, "pair": torch.stack((b, values)), "places": places}


class TracedOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.leaf = TracedPair()

    def forward(self, x, y):
        a, (b, c) = self.leaf(x, y)
        return a + b, [c, a], ()


class TracedPair(nn.Module):
    def forward(self, x, y):
        x, y = F.dropout(x, 0.5, self.training), F.batch_norm(y, torch.zeros(4), torch.ones(4), training=False)
        return x + 1, (y, x - y)


class TracedLoop(nn.Module):
    """A scripted function called from a trace."""

    def forward(self, x):
        return repeated(x, 3) + 1


@torch.jit.script
def repeated(x: Tensor, n: int) -> Tensor:
    for _ in range(n):
        x = x + 1
    return x


def traced(module: nn.Module, *shapes) -> torch.jit.ScriptModule:
    inputs = tuple(torch.randn(*shape) for shape in shapes)
    return torch.jit.trace(module.eval(), inputs, strict=False, check_trace=False)


THEMES = [
    ("tuples", lambda: script(Tuples())),
    ("lists", lambda: script(Lists())),
    ("dicts", lambda: script(Dicts())),
    ("strings", lambda: script(Strings())),
    ("formats", lambda: script(Formats())),
    ("numbers", lambda: script(Numbers())),
    ("complex", lambda: script(Complex())),
    ("indexing", lambda: script(Indexing())),
    ("enum", lambda: script(Enums())),
    ("device_dtype", lambda: script(DeviceDtype())),
    ("types", lambda: script(Types())),
    ("keyword_arguments", lambda: script(KeywordArguments())),
    ("traced_nested", lambda: traced(TracedNested(), (2, 4))),
    ("traced_constants", lambda: traced(TracedShapes(), (2, 4))),
    ("traced_outputs", lambda: traced(TracedOutputs(), (2, 4), (2, 4))),
    ("traced_script_function", lambda: traced(TracedLoop(), (2, 4))),
    ("frozen", lambda: torch.jit.freeze(script(Flat().eval()))),
]
