"""Which modules and spans of an eager network are residual blocks, told by watching it run. README.md says how.

Nothing here reads TorchScript: every operator that reaches PyTorch's dispatcher is recorded with the tensors it takes and
gives, and with the calls of modules around it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ADDITIONS = ("add", "add_")
# Element by element, one tensor in: may stand behind the sum.
ACTIVATIONS = {
    "relu", "relu6", "hardtanh", "silu", "gelu", "elu", "leaky_relu", "hardswish", "hardsigmoid", "sigmoid", "tanh",
    "mish", "softplus", "clamp", "clamp_min", "prelu", "_prelu_kernel",
}
# They give elements of what they take, unchanged, in some order.
REARRANGEMENTS = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "alias", "detach", "clone",
    "roll", "constant_pad_nd", "slice", "expand", "pixel_shuffle", "pixel_unshuffle", "_to_copy", "unfold", "flip",
}
PRODUCTS = {"bmm", "mm", "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math"}

Value = int


@dataclass
class Step:
    """One operator: the values it takes and gives, and the calls of modules around it, the innermost last."""

    operator: str
    function: object
    arguments: tuple
    options: dict
    takes: List[Value]
    gives: List[Value]
    calls: Tuple[int, ...]
    # How many operators ran before it.
    number: int


@dataclass
class Call:
    path: str
    module: nn.Module
    outer: Tuple[int, ...]
    takes: List[Optional[Value]] = field(default_factory=list)
    gives: Optional[Value] = None


@dataclass(frozen=True)
class Place:
    """Stands in a step's arguments for a tensor."""

    value: Value


class Recorder(TorchDispatchMode):
    """The steps of one run. Each write into a tensor makes a new value of it, and of all that share its memory."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.steps: List[Step] = []
        self.calls: List[Call] = []
        self.shapes: List[torch.Size] = []
        self.open: List[int] = []
        self.values: Dict[int, Value] = {}
        self.sharing: Dict[int, List[torch.Tensor]] = {}
        # Identities stay true only while the tensors live.
        self.kept: List[torch.Tensor] = []
        self.count = 0
        self.paths: Dict[nn.Module, List[str]] = {}

    def run(self, images: torch.Tensor) -> None:
        for path, module in self.model.named_modules(remove_duplicate=False):
            self.paths.setdefault(module, []).append(path)
        before = [m.register_forward_pre_hook(self._enter(p[0]), with_kwargs=True) for m, p in self.paths.items()]
        after = [m.register_forward_hook(self._leave) for m in self.paths]
        self.value(images)
        try:
            with torch.no_grad(), self:
                output = self.model(images)
            self.output = {self.value(t) for t in tensors_of(output)}
        finally:
            for hook in before + after:
                hook.remove()

    def value(self, tensor: torch.Tensor) -> Value:
        if id(tensor) not in self.values:
            self._new_value(tensor)
            self.kept.append(tensor)
            self.sharing.setdefault(tensor.untyped_storage().data_ptr(), []).append(tensor)
        return self.values[id(tensor)]

    def _new_value(self, tensor: torch.Tensor) -> Value:
        self.values[id(tensor)] = len(self.shapes)
        self.shapes.append(tensor.shape)
        return self.values[id(tensor)]

    def _enter(self, path: str):
        def hook(module, args, kwargs):
            given = [*args, *kwargs.values()]
            takes = [self.value(a) if isinstance(a, torch.Tensor) else None for a in given]
            self.calls.append(Call(path, module, tuple(self.open), takes))
            self.open.append(len(self.calls) - 1)

        return hook

    def _leave(self, module, args, output):
        call = self.calls[self.open.pop()]
        if isinstance(output, torch.Tensor):
            call.gives = self.value(output)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        place = lambda a: Place(self.value(a)) if isinstance(a, torch.Tensor) else a
        arguments, options = tree_map(place, args), tree_map(place, kwargs)
        takes = [p.value for p in tree_flatten((arguments, options))[0] if isinstance(p, Place)]
        output = func(*args, **kwargs)
        calls, written = tuple(self.open), written_by(func, args)
        if written is None:
            gives = [self.value(t) for t in tensors_of(output)]
        else:
            gives = [self._new_value(written)]
        name = func.overloadpacket.__name__
        self.steps.append(Step(name, func, arguments, options, takes, gives, calls, self.count))
        if written is not None:
            # What else shows this memory has changed in a way that is not followed.
            for other in self.sharing[written.untyped_storage().data_ptr()]:
                if other is not written:
                    changed = [self._new_value(other)]
                    self.steps.append(Step("written", None, (), {}, gives, changed, calls, self.count))
        self.count += is_counted(func)
        return output


def tensors_of(output) -> List[torch.Tensor]:
    return [t for t in tree_flatten(output)[0] if isinstance(t, torch.Tensor)]


def is_counted(func) -> bool:
    """PyTorch detaches new tensors where somebody else holds them, as the recorder does."""
    return func.overloadpacket.__name__ not in ("detach", "alias", "lift_fresh")


def written_by(func, args) -> Optional[torch.Tensor]:
    return args[0] if func._schema.is_mutable and args and isinstance(args[0], torch.Tensor) else None


@dataclass(frozen=True)
class Region:
    start: Value
    end: Value
    call: Optional[int]
    steps: frozenset


@dataclass(frozen=True)
class Block:
    """A module or, without one, a sum `x + f(x)` in the code of `owner`, a module that is no block itself."""

    path: Optional[str]
    owner: str
    # Modules in whose code it lies, and those that run in it besides.
    around: frozenset
    inside: frozenset
    # Which of the module's arguments comes back where the block is gone.
    argument: int
    # The same without regard to modules: the operators that make the input (`None`: the images) and the output.
    start: Optional[int]
    end: int
    # Its code runs again elsewhere, with the same weights: it need not be removable.
    again: bool
    # Sums that it consists of, where it is a chain of them.
    parts: Tuple["Block", ...] = ()


@dataclass
class Blocks:
    found: List[Block]
    # Matrix products whose factors are both computed from the images: sums may be taken in another order.
    attention: bool


class Graph:
    def __init__(self, recorder: Recorder, images: Value = 0):
        self.record = recorder
        self.made_by: Dict[Value, int] = {}
        self.read_by: Dict[Value, List[int]] = {}
        self.data = {images}
        for i, step in enumerate(recorder.steps):
            for value in step.takes:
                self.read_by.setdefault(value, []).append(i)
            if any(v in self.data for v in step.takes):
                self.data.update(step.gives)
            for value in step.gives:
                self.made_by.setdefault(value, i)
        self.used = self._used(recorder.output)

    def _used(self, output: set) -> set:
        """The steps that the output is computed by: others may read what they like."""
        used, open_values = set(), list(output)
        while open_values:
            at = self.made_by.get(open_values.pop())
            if at is not None and at not in used:
                used.add(at)
                open_values.extend(self.record.steps[at].takes)
        return used

    def between(self, start: Value, end: Value) -> Optional[frozenset]:
        """The steps that make `end` of `start`.

        `None` if `end` does not come from `start`, comes from other data as well, or is not all that is used of them.
        """
        steps, open_values, reached = set(), [end], False
        while open_values:
            value = open_values.pop()
            if value == start:
                reached = True
            elif value in self.data:
                at = self.made_by.get(value)
                if at is None:
                    return None
                if at not in steps:
                    steps.add(at)
                    open_values.extend(self.record.steps[at].takes)
        return frozenset(steps) if reached else None

    def is_closed(self, steps: frozenset, end: Value) -> bool:
        """Whether nothing outside reads what these steps make, `end` apart."""
        made = (v for at in steps for v in self.record.steps[at].gives if v in self.data)
        readers = {at for v in made if v != end for at in self.read_by.get(v, [])}
        return (readers & self.used) <= steps

    def skips(self, start: Value, end: Value, steps: frozenset) -> bool:
        """Whether `end` is `start` plus something, element by element, an activation behind the sum included.

        A tensor of numbers 0, 1, 2, … goes the way of the skip: each rearrangement is done to it as well.
        """
        shapes = self.record.shapes
        if shapes[start] != shapes[end]:
            return False
        numbers = torch.arange(shapes[start].numel()).reshape(shapes[start])
        skip: Dict[Value, torch.Tensor] = {start: numbers}
        summed = set()
        for at in sorted(steps):
            step = self.record.steps[at]
            carriers = [v for v in step.takes if v in skip]
            if not carriers or not step.gives:
                continue
            given = step.gives[0]
            if step.operator in ADDITIONS:
                addends = [v for v in step.takes]
                if len(addends) == 2 and len(carriers) == 1 and shapes[addends[0]] == shapes[addends[1]]:
                    skip[given] = skip[carriers[0]]
                    summed.add(given)
            elif step.operator.rstrip("_") in ACTIVATIONS and carriers[0] in summed and step.takes[0] in skip:
                skip[given] = skip[carriers[0]]
                summed.add(given)
            elif step.operator in REARRANGEMENTS and step.takes[0] in skip:
                moved = self._rearranged(step, skip)
                if moved is not None:
                    skip[given] = moved
                    if carriers[0] in summed:
                        summed.add(given)
        return end in summed and torch.equal(skip[end], numbers)

    @staticmethod
    def _rearranged(step: Step, skip: Dict[Value, torch.Tensor]) -> Optional[torch.Tensor]:
        fill = lambda a: skip.get(a.value) if isinstance(a, Place) else a
        if step.operator in ("clone", "_to_copy"):
            return skip[step.takes[0]].clone()
        if step.operator in ("view", "_unsafe_view"):
            # What is computed may have other strides than the numbers that stand for it.
            return skip[step.takes[0]].reshape(step.arguments[1])
        if step.operator == "constant_pad_nd":
            return torch.constant_pad_nd(fill(step.arguments[0]), step.arguments[1], -1)
        return step.function(*map(fill, step.arguments), **step.options)


def regions_of_calls(graph: Graph) -> List[Region]:
    """Calls of modules that make one tensor of one tensor of data."""
    found = []
    for i, call in enumerate(graph.record.calls):
        if call.gives is None or not call.outer:
            continue
        for taken in dict.fromkeys(v for v in call.takes if v is not None and v in graph.data):
            steps = graph.between(taken, call.gives)
            within = steps and all(i in graph.record.steps[at].calls for at in steps)
            if within and graph.is_closed(steps, call.gives):
                found.append(Region(taken, call.gives, i, steps))
                break
    return found


def residual_blocks(model: nn.Module, images: torch.Tensor) -> Blocks:
    record = Recorder(model)
    record.run(images)
    graph = Graph(record)
    calls = {r.call: r for r in regions_of_calls(graph)}
    owners: Dict[int, Region] = {}
    sums: List[Tuple[Optional[int], Region]] = []
    for at, step in enumerate(record.steps):
        sides = [v for v in step.takes if v in graph.data]
        if step.operator not in ADDITIONS or len(sides) != 2:
            continue
        owner = next((calls[c] for c in reversed(step.calls) if c in calls and joins(graph, calls[c], sides)), None)
        if owner is not None:
            owners[owner.call] = owner
        span = span_of(graph, at, sides)
        if span is not None:
            sums.append((owner.call if owner else None, span))
    attention = any(s.operator in PRODUCTS and all(v in graph.data for v in s.takes) for s in record.steps)
    return Blocks(select(graph, list(owners.values()), sums), attention)


def joins(graph: Graph, region: Region, sides: List[Value]) -> bool:
    inside = {region.start} | {v for at in region.steps for v in graph.record.steps[at].gives}
    from_start = {region.start}
    for at in sorted(region.steps):
        step = graph.record.steps[at]
        if any(v in from_start for v in step.takes):
            from_start.update(step.gives)
    return all(v in inside and v in from_start for v in sides)


def span_of(graph: Graph, at: int, sides: List[Value]) -> Optional[Region]:
    """From the side that the other one is computed from to the sum: `x + f(x)`."""
    end = graph.record.steps[at].gives[0]
    for start, branch in (sides, sides[::-1]):
        # The skip itself may be rearranged on its way to the sum.
        steps = graph.between(start, branch)
        if steps is not None:
            steps = steps | {at}
            if graph.is_closed(steps, end) and graph.skips(start, end, steps):
                return Region(start, end, None, steps)
    return None


def select(graph: Graph, owners: List[Region], sums: List[Tuple[Optional[int], Region]]) -> List[Block]:
    """Of residual modules in one another, the outermost one that is no chain of such; then the sums outside of them."""
    record = graph.record
    skipping = [r for r in owners if graph.skips(r.start, r.end, r.steps)]
    holds = lambda outer, inner: inner.steps < outer.steps
    inner = {r: [i for i in skipping if holds(r, i)] for r in skipping}
    modules = [r for r in skipping if not any(a.end == b.start for a in inner[r] for b in inner[r])]
    modules = [r for r in modules if not any(holds(outer, r) for outer in modules)]
    sums = [(owner, s) for owner, s in sums if not any(s.steps <= m.steps for m in modules)]
    sums = [(owner, s) for owner, s in sums if not any(holds(other, s) for _, other in sums)]
    found = [block(graph, region, region.call) for region in modules] + [block(graph, s, owner) for owner, s in sums]
    return sorted(found, key=lambda b: b.end)


def block(graph: Graph, region: Region, owner: Optional[int]) -> Block:
    steps, calls = graph.record.steps, graph.record.calls
    runs = Counter(call.module for call in calls)
    made = lambda value: steps[graph.made_by[value]].number if value in graph.made_by else None
    within = [set(steps[at].calls) for at in region.steps]
    # A module in two places has two paths, each of which may stand for it.
    paths = lambda found: frozenset(path for c in found for path in graph.record.paths[calls[c].module])
    around = set.intersection(*within)
    path = None if region.call is None else calls[region.call].path
    argument = 0 if region.call is None else calls[region.call].takes.index(region.start)
    code = None if owner is None else calls[owner].module
    again = code is not None and runs[code] > 1
    owner = "" if owner is None else calls[owner].path
    inside = paths(set.union(*within) - around)
    return Block(path, owner, paths(around), inside, argument, made(region.start), made(region.end), again)


def chained(sums: Sequence[Block]) -> Optional[Block]:
    """All sums in the code of a module as one block, if each begins where the one before it ends.

    A module that gives two tensors is no block for the oracle, but tracing takes out a second one that nobody reads.
    """
    if len(sums) < 2 or any(a.end != b.start for a, b in zip(sums, sums[1:])):
        return None
    first, last = sums[0], sums[-1]
    inside = frozenset().union(*(s.inside for s in sums))
    return Block(None, first.owner, first.around, inside, 0, first.start, last.end, first.again, tuple(sums))


class Without(TorchDispatchMode):
    """The network runs, but behind each of these blocks stands the block's input."""

    def __init__(self, blocks: Sequence[Block], images: torch.Tensor):
        super().__init__()
        self.starts = {b.start for b in blocks}
        self.ends = {b.end: b.start for b in blocks}
        self.saved = {None: images.clone()}
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        number = self.count
        self.count += is_counted(func)
        if not is_counted(func):
            return output
        if number in self.ends:
            # In the memory that is there: of other strides, more or fewer operators would follow.
            output.copy_(self.saved[self.ends[number]])
        if number in self.starts:
            self.saved[number] = tensors_of(output)[0].clone()
        return output
