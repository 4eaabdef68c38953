"""Modules whose TorchScript text shows statements, calls and classes."""

from typing import Dict, Final, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

script = torch.jit.script


class If(nn.Module):
    def forward(self, x: Tensor, limit: int) -> Tensor:
        y = x
        if limit > 3:
            if limit > 10:
                y = x + 1
                limit = 10
            elif limit == 5:
                y = x - 1
            else:
                pass
        else:
            y = x.relu()
        if bool(y.sum() > limit):
            y = y * limit
        return y


class EarlyReturn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return x
        for i in range(x.size(0)):
            if i > 4:
                return x[i]
            if i == 2:
                continue
            x = x + i
        if x.numel() == 0:
            return x.relu()
        return x.sigmoid()


class Loops(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tuple[Tensor, int]:
        total = 0
        for i in range(n):
            for j in range(i, 2 * n, 3):
                total += j
                x = x + j
        while total > 0:
            total = total // 2
            if total == 7:
                break
            x = x * 2
        count = 0
        while True:
            count += 1
            if count > 3:
                break
        for value in [1.5, 2.5]:
            x = x + value
        for index, row in enumerate(x):
            x = x + row * index
        for a, b in zip([1, 2, 3], [4, 5, 6]):
            total += a * b
        return x, total


class Raise(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        if n < 0:
            raise ValueError(f"n is {n}, which is negative")
        if n == 0:
            raise RuntimeError("nothing to do")
        assert n != 13, "thirteen is not welcome"
        assert x.dim() == 4
        if n > 100:
            raise NotImplementedError
        return x * n


class Optionals(nn.Module):
    scale: Optional[float]
    weight: Optional[Tensor]

    def __init__(self):
        super().__init__()
        self.scale = None
        self.weight = torch.ones(2)

    def forward(self, x: Tensor, mask: Optional[Tensor] = None, size: Optional[List[int]] = None) -> Tensor:
        if mask is not None:
            x = x * mask
        if size is None:
            size = [1, 2]
        scale = self.scale
        if scale is not None:
            x = x * scale
        weight = self.weight
        if weight is None:
            raise ValueError("no weight")
        found: Optional[int] = None
        for i in range(size[0]):
            if i == 3:
                found = i
        if found is not None and found > 1:
            x = x + found
        assert mask is not None
        return x + weight + mask


class Uninitialized(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        while n < 10:
            if n == 4:
                return x
            n += 1
        for i in range(n):
            if i == 3:
                y = x + 1
            else:
                raise ValueError("no value on this path")
            x = y
        return x


class Booleans(nn.Module):
    def forward(self, x: Tensor, a: bool, b: bool, n: int) -> Tensor:
        c = a and not b
        d = a or (b and n > 2)
        e = n if c else -n
        f = x if d else x + 1 if e != 0 else x - 1
        g = 0 < n <= 10
        h = (n == 1) != (n == 2)
        items = [1, 2, 3]
        if n in items and n not in [7]:
            f = f * 2
        if a is b or h:
            f = f / 2
        if g:
            f = torch.logical_and(f > 0, ~(f < 1)).float()
        return f


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        x *= x
        x[0] = 5.0
        x[:, 1:3] = x[:, :2]
        x[..., -1] += 2
        self.mean += x.mean(0)
        self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        n = 3
        n -= 1
        n *= 4
        values = [1, 2, 3]
        values[1] += n
        values += [4]
        x.relu_()
        torch.sigmoid_(x)
        return x.clamp_(min=0.0) * values[1]


class Attributes(nn.Module):
    last: Optional[Tensor]
    seen: Dict[str, int]
    history: List[Tensor]

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.last = None
        self.seen = {}
        self.history = []
        self.pair = (1, "two")
        self.register_buffer("total", torch.zeros(1))
        self.register_parameter("nothing", None)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        self.calls += 1
        self.last = x
        self.seen["x"] = self.calls
        self.history.append(x)
        self.total = self.total + x.sum()
        if self.training and self.nothing is None:
            x = x * self.weight
        return x + self.pair[0]


class Point(NamedTuple):
    x: Tensor
    y: Tensor
    name: str = "origin"


class NamedTuples(nn.Module):
    def forward(self, x: Tensor) -> Point:
        p = Point(x, y=x + 1, name="p")
        q = self.swapped(p)
        a, b, name = q
        if bool(a.sum() > 0):
            return p
        return Point(a + q.y, b + q[0], name)

    def swapped(self, point: Point) -> Point:
        return Point(point.y, point.x, point[2] + "'")




@torch.jit.interface
class Step(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass

    def twice(self, x: Tensor, n: int) -> Tensor:
        pass


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2

    @torch.jit.export
    def twice(self, x: Tensor, n: int) -> Tensor:
        return x * 2 * n


class UsesInterface(nn.Module):
    step: Step

    def __init__(self):
        super().__init__()
        self.step = Double()
        self.steps = nn.ModuleList([Double(), Double()])

    def forward(self, x: Tensor) -> Tensor:
        chosen: Step = self.steps[1]
        return self.step.twice(self.step.forward(chosen.forward(x)), 3)


def scaled(x: Tensor, factor: float = 1.5, shift: int = -1, name: str = "none", flags: Optional[List[bool]] = None):
    if name == "none" and flags is None:
        return x * factor
    return x * factor + shift


def counted(items: List[Tensor]) -> Tuple[int, Tensor]:
    return len(items), torch.stack(items)


def nothing(x: Tensor) -> None:
    x.add_(1)


class Functions(nn.Module):
    def helper(self, x: Tensor, *, power: int) -> Tensor:
        return x**power

    @staticmethod
    def fixed(x: Tensor) -> Tensor:
        return x - 4

    @torch.jit.unused
    def unused(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def exported(self, x: Tensor, pair: Tuple[int, float] = (1, -2.0), scale: float = 1e-5, name: str = "a\"b") -> List[int]:
        if pair[0] == 5:
            x = self.unused(x)
        return [x.size(0), pair[0]]

    def forward(self, x: Tensor) -> Tensor:
        n, y = counted([x, scaled(x), scaled(x, 2.0, name="other", flags=[True, False])])
        nothing(y)
        print("n is", n, y)
        return self.helper(y, power=3) + self.fixed(y) * n + self.exported(x, (3, 1e-3), 1e-3, "c")[0]


class Leaf(nn.Module):
    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    @torch.jit.export
    def prepare(self, x: Tensor) -> Tensor:
        return x.float()

    def forward(self, x: Tensor, y: Optional[Tensor] = None) -> Tensor:
        x = self.prepare(x) * self.factor
        return x if y is None else x + y


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.leaf = Leaf(2)
        self.leaves = nn.ModuleList([Leaf(i) for i in range(3)])
        self.named = nn.ModuleDict({"first": Leaf(1), "second-one": Leaf(2), "2nd": Leaf(3)})

    def forward(self, x: Tensor) -> Tensor:
        for leaf in self.leaves:
            x = leaf(x)
        for name, leaf in self.named.items():
            x = leaf(x) * len(name)
        x = self.leaves[1](x, x)
        x = self.named["2nd"](x, y=None)
        return self.leaf.prepare(self.leaf(x))


class Submodules(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = Branch()
        self.chain = nn.Sequential(Leaf(1), nn.Sequential(Leaf(2), Leaf(3)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.branch.leaf(self.chain(x))
        for part in self.chain:
            x = part(x)
        return self.branch.named["first"].prepare(self.branch(x))


class Wide(nn.Module):
    """One class with two types: the second one is written under a mangled name."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value


class Mangled(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = Wide(1), Wide(2.5), Wide(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.b(self.c(x)))


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.leaf = Double()

    def forward(self, x: Tensor) -> Tensor:
        return self.leaf(x) + 1


def before(self, input: Tuple[Tensor]) -> Tuple[Tensor]:
    return (input[0] + 1,)


def after(self, input: Tuple[Tensor], output: Tensor) -> Tensor:
    return output * input[0]


def hooked() -> torch.jit.ScriptModule:
    module = Hooked()
    module.leaf.register_forward_pre_hook(before)
    module.leaf.register_forward_hook(after)
    return script(module)


class Fork(nn.Module):
    def __init__(self):
        super().__init__()
        self.leaf = Leaf(3)

    def forward(self, x: Tensor) -> Tensor:
        pending: List[torch.jit.Future[Tensor]] = []
        for _ in range(3):
            pending.append(torch.jit.fork(self.leaf, x))
        first = torch.jit.fork(scaled, x, 2.0)
        results = [torch.jit.wait(p) for p in pending]
        return torch.jit.wait(first) + results[0]


class With(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = x + 1
            if x.dim() > 2:
                x = x * 2
        with torch.autograd.profiler.record_function("a \"quoted\" name") as handle:
            y = x - 1
        return y


class Properties(nn.Module):
    __jit_unused_properties__ = ["ignored"]

    def __init__(self):
        super().__init__()
        self.stored = 3

    @property
    def doubled(self) -> int:
        return self.stored * 2

    @doubled.setter
    def doubled(self, value: int) -> None:
        self.stored = value // 2

    @property
    def ignored(self) -> int:
        return 1

    def forward(self, x: Tensor) -> Tensor:
        self.doubled = 8
        return x * self.doubled


@torch.jit.script
class Counter:
    def __init__(self, start: int, names: List[str]):
        self.value = start
        self.names = names

    def advance(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]


class UsesClass(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        counter = Counter(2, ["a", "b"])
        counter.value = 5
        if counter[1] == "b":
            x = x + counter.advance(by=len(counter))
        return x * counter.value


class Finals(nn.Module):
    rate: Final[float]
    sizes: Final[List[int]]
    __constants__ = ["mode", "pair", "nothing"]

    def __init__(self):
        super().__init__()
        self.rate = 1e-05
        self.sizes = [3, -1, 4]
        self.mode = "it's \"zeros\"\n"
        self.pair = (1, (2.0, True))
        self.nothing = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "zeros" or self.nothing is not None:
            return x
        return x * self.rate + self.sizes[1] + self.pair[1][0]


class Empty(nn.Module):
    def forward(self) -> None:
        pass


class LongLines(nn.Module):
    def __init__(self):
        super().__init__()
        self.a_rather_long_name_for_a_module_that_does_little = Leaf(2)

    def forward(self, x: Tensor, a_rather_long_name_for_an_argument: int, another_long_name_for_an_argument: float,
                and_one_more_of_these_for_good_measure: Dict[str, List[Tuple[int, Optional[Tensor]]]]) -> Tensor:
        m = self.a_rather_long_name_for_a_module_that_does_little
        x = m(m(m(m(m(m(x + a_rather_long_name_for_an_argument * 2) * another_long_name_for_an_argument) + 1)) / 3))
        y = torch.cat([x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9, x + 10, x + 11, x + 12], 1)
        text = "this is a long text that runs past any sensible width of a line, and then some more of it, because libtorch does not break texts"
        return y * len(text) + len(and_one_more_of_these_for_good_measure)


THEMES = [
    ("if", lambda: script(If())),
    ("early_return", lambda: script(EarlyReturn())),
    ("loops", lambda: script(Loops())),
    ("raise_assert", lambda: script(Raise())),
    ("optional", lambda: script(Optionals())),
    ("uninitialized", lambda: script(Uninitialized())),
    ("booleans", lambda: script(Booleans())),
    ("in_place", lambda: script(InPlace())),
    ("attributes", lambda: script(Attributes())),
    ("named_tuple", lambda: script(NamedTuples())),
    ("interface", lambda: script(UsesInterface())),
    ("functions", lambda: script(Functions())),
    ("submodules", lambda: script(Submodules())),
    ("mangled", lambda: script(Mangled())),
    ("hooks", hooked),
    ("fork_wait", lambda: script(Fork())),
    ("with", lambda: script(With())),
    ("properties", lambda: script(Properties())),
    ("script_class", lambda: script(UsesClass())),
    ("final_constants", lambda: script(Finals())),
    ("empty_forward", lambda: script(Empty())),
    ("long_lines", lambda: script(LongLines())),
]
