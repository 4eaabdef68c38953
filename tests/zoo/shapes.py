"""Holds the shapes that ckaprune tells of what operators give against those that libtorch gives.

    python shapes.py --ckaprune target/release/ckaprune [--list] [OPERATOR...]

Every call is a small module of one network, which `inspect --tree --json` describes. A call is there twice, scripted and
traced, as the two spell its arguments differently. What a module gives is told for one sample only, so a module returns
zeros of the sizes that it reads from the result: first the number of dimensions, then each size, over the batch size
where libtorch's size grows with the batch. Exit code 1 if any shape that is told is wrong, or any count of MACs.
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from shape_cases import CALLS, INPUT, MACS, NAMES, UNTOLD

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (5, 7)
# So many modules in one network, and so many calls of one operator from libtorch's own samples.
MODULES = 400
SAMPLES = 60


@dataclass
class Case:
    operator: str
    text: str
    # The body of `forward(self, x)` up to the result `y`, and what it calls.
    body: str
    attributes: dict = field(default_factory=dict)
    # The sizes at each of the batch sizes.
    sizes: list = field(default_factory=list)
    macs: int | None = None


class Probe(torch.jit.ScriptModule):
    def __init__(self, lines, attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)
        self.define("def forward(self, x: Tensor):\n" + "".join(f"    {line}\n" for line in lines))


def probe(number, lines, attributes):
    """A class of its own: modules of one class and equal attributes share their code."""
    return type(f"Probe{number}", (Probe,), {})(lines, attributes)


class Traced(torch.nn.Module):
    def __init__(self, function, tensors=()):
        super().__init__()
        self.function = function
        for i, tensor in enumerate(tensors):
            self.register_buffer(f"t{i}", tensor)

    def forward(self, x):
        return self.function(self, x)


def known_operators():
    """Those whose rule tells shapes, those whose rule tells none, and those that a network may call at all."""
    table = (ROOT / "src/program/ops/table.rs").read_text()
    groups = re.findall(r"\(\s*(\w+)(?:\([^\"]*?\))?,\s*\"([^\"]*)\"\s*\)", table[table.index("GROUPS"):])
    untold = {name for rule, names in groups if rule in ("NoTensor", "CountedByData") for name in names.split()}
    told = {name for _, names in groups for name in names.split()} - untold
    admitted = (ROOT / "src/run/admission/operators.txt").read_text().split()
    return told, untold, {name.removeprefix("aten::") for name in admitted if name.startswith("aten::")}


def named(expression):
    """The lines that give the names in an expression their values."""
    lines, words = [], set(re.findall(r"\b\w+\b", expression))
    for name, value in reversed(NAMES.items()):
        if name in words:
            lines.insert(0, f"{name} = {value}")
            words |= set(re.findall(r"\b\w+\b", value))
    return lines


def tensors_of(result):
    """The tensors in a result with the way to each."""
    if isinstance(result, torch.Tensor):
        return [("", result)]
    if isinstance(result, (tuple, list)):
        return [(f"[{i}]{way}", t) for i, item in enumerate(result) for way, t in tensors_of(item)]
    return []


def runs(make, inputs):
    """The results at each batch size: their ways and sizes."""
    with torch.no_grad():
        found = [[(way, list(t.shape)) for way, t in tensors_of(make(x))] for x in inputs]
    ways = [[way for way, _ in result] for result in found]
    return [(way, [sizes for _, sizes in pair]) for way, pair in
            ((result[0][0], result) for result in zip(*found))] if ways[0] == ways[1] else []


def written_cases(operators, skipped):
    inputs = [torch.rand(batch, *INPUT) for batch in BATCHES]
    calls = [(o, e, None) for o, es in CALLS.items() for e in es]
    calls += [(o, e, macs) for o, es in MACS.items() for e, macs in es]
    for operator, expression, macs in calls:
        if operators and operator not in operators:
            continue
        lines = named(expression)
        source = "".join(f"    {line}\n" for line in [*lines, f"return {expression}"])
        scope = {"torch": torch, "Tensor": torch.Tensor}
        exec("def call(x):\n" + source, scope)
        for kind in ("scripted", "traced"):
            try:
                if kind == "scripted":
                    function = torch.jit.CompilationUnit("def call(x: Tensor):\n" + source).call
                    results, inner = runs(function, inputs), None
                else:
                    call = scope["call"]
                    inner = torch.jit.trace(Traced(lambda _, x: call(x)), (inputs[0],), check_trace=False)
                    results = runs(inner, inputs)
            except Exception as error:
                skipped.append((operator, f"{expression} ({kind})", str(error).strip().splitlines()[-1][:150]))
                continue
            for way, sizes in results:
                if kind == "scripted":
                    yield Case(operator, f"{expression}{way}", "\n".join([*lines, f"y = ({expression}){way}"]), {}, sizes, macs)
                else:
                    body = f"y = self.inner.forward(x){way}"
                    yield Case(operator, f"{expression}{way} (traced)", body, {"inner": inner}, sizes, macs)


def sample_cases(operators, rules, skipped):
    """libtorch's own samples of arguments, traced; their sizes are fixed."""
    from torch.testing._internal.common_methods_invocations import op_db

    x = torch.rand(BATCHES[0], *INPUT)
    for op in op_db:
        if operators and not operators & {op.name.replace(".", "_"), op.name.rpartition(".")[2], op.aten_name}:
            continue
        dtype = next((d for d in (torch.float32, torch.complex64, torch.int64) if d in op.dtypes), None)
        if dtype is None or op.name.startswith("_refs") or op.name.startswith("sparse"):
            continue
        try:
            samples = list(op.sample_inputs("cpu", dtype))
        except Exception as error:
            skipped.append((op.name, "its samples", str(error).strip().splitlines()[-1][:150] if str(error) else "?"))
            continue
        for sample in samples[:: -(-len(samples) // SAMPLES)]:
            yield from sample_case(op.name, op.op, sample, x, rules, skipped)


def sample_case(name, function, sample, x, rules, skipped):
    told, untold, admitted = rules
    tensors = []

    def taken(value):
        if isinstance(value, torch.Tensor):
            tensors.append(value.detach().clone())
            return ("tensor", len(tensors) - 1)
        if isinstance(value, (tuple, list)):
            return (type(value), [taken(v) for v in value])
        return ("plain", value)

    def given(module, value):
        kind, content = value
        if kind == "tensor":
            return getattr(module, f"t{content}")
        if kind == "plain":
            return content
        return kind(given(module, v) for v in content)

    arguments = [taken(value) for value in (sample.input, *sample.args)]
    keywords = {key: taken(value) for key, value in sample.kwargs.items()}
    shown = ", ".join([show(v) for v in (sample.input, *sample.args)] + [f"{k}={show(v)}" for k, v in sample.kwargs.items()])
    text = f"{name}({shown})"

    def call(module, x):
        result = function(*(given(module, a) for a in arguments), **{k: given(module, v) for k, v in keywords.items()})
        tensors = tuple(t for _, t in tensors_of(result))
        return tensors if len(tensors) != 1 else tensors[0]

    try:
        inner = torch.jit.trace(Traced(call, tensors), (x,), check_trace=False)
        called = set(re.findall(r"aten::(\w+)", str(inner.inlined_graph)))
        if not called & told or not called <= admitted & (told | untold):
            return
        results = runs(inner, [x, x])
    except Exception as error:
        skipped.append((name, text, (str(error).strip() or "?").splitlines()[-1][:150]))
        return
    for way, sizes in results:
        yield Case(name, f"{text}{way}", f"y = self.inner.forward(x){way}", {"inner": inner}, sizes)


def show(value):
    if isinstance(value, torch.Tensor):
        return "×".join(map(str, value.shape)) or "scalar"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(show, value)) + "]"
    return repr(value)


def over_batch(sizes):
    """How often the batch size is a factor of a size, and the rest; `None` if neither explains both."""
    first, second = sizes
    for power in (0, 1, 2):
        a, b = (batch**power for batch in BATCHES)
        if first % a == 0 and second % b == 0 and first // a == second // b:
            return power, first // a
    return None


def sizes_of(case):
    """How a module reads the sizes of `y`, and what they must be."""
    lines, expected = ["x.size(0)", "y.dim()"], [len(case.sizes[0])]
    for i, sizes in enumerate(zip(*case.sizes)):
        power, rest = over_batch(sizes) or (0, -1)
        lines.append(" // ".join([f"y.size({i})"] + ["x.size(0)"] * power))
        expected.append(rest)
    return lines, expected


def inspected(ckaprune, cases, results):
    """For each case the node of the tree with this result and what is said of its module; or why the case is refused."""
    refused = {}
    if not cases:
        return []
    while True:
        attributes, lines = {}, []
        for i, (case, result) in enumerate(zip(cases, results)):
            if i not in refused:
                body = [*case.body.split("\n"), f"return {result}"]
                attributes[f"p{i}"] = probe(i, body, case.attributes)
                lines.append(f"self.p{i}.forward(x)")
        # What nobody needs costs nothing.
        sums = [f"y += {line}.sum()" for line in lines]
        network = probe("s", ["y = x.sum()", *sums, "return x.flatten(1) + y"], attributes)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probes.pt"
            network.save(str(path))
            size = "x".join(map(str, INPUT))
            line = [ckaprune, "inspect", "--model", str(path), "--input-size", size, "--tree", "--json", "--quiet"]
            done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not done.returncode:
            break
        place = re.search(r"\bin p(\d+)[.\w]*: (.*?);", done.stderr)
        if not place:
            raise SystemExit(f"{' '.join(line)}: {done.stderr}")
        refused[int(place[1])] = place[2]
    report = json.loads(done.stdout)
    nodes = {node["name"]: node for node in report["tree"]["children"]}
    reasons = collections.defaultdict(list)
    for left in report.get("not_followed", []) + report.get("shapes_end", []):
        reasons[left["path"].split(".")[0]].append(f"{left.get('operator', '')} {left['reason']}".strip())
    return [(nodes.get(f"p{i}"), "; ".join(reasons[f"p{i}"]) or refused.get(i, "")) for i in range(len(cases))]


def judged(ckaprune, cases):
    """Each case with `right`, `unknown` or `wrong`, and a word on it."""
    reads = [sizes_of(case) for case in cases]
    verdicts, open_cases = [None] * len(cases), []
    ranks = inspected(ckaprune, cases, [zeros(lines[:2]) for lines, _ in reads])
    costs = [i for i, case in enumerate(cases) if case.macs is not None]
    nodes = inspected(ckaprune, [cases[i] for i in costs], ["y"] * len(costs))
    for i, (node, word) in zip(costs, nodes):
        found = node and node["macs"]
        if found != cases[i].macs:
            verdicts[i] = ("wrong", f"{found} MACs {word}, not {cases[i].macs}")
    for i, (case, (_, expected), (node, word)) in enumerate(zip(cases, reads, ranks)):
        if node is None:
            verdicts[i] = ("wrong", f"refused: {word}")
        elif verdicts[i]:
            continue
        elif node["output_shape"] is None:
            verdicts[i] = ("unknown", word)
        elif node["output_shape"] != expected[:1]:
            verdicts[i] = ("wrong", f"{node['output_shape'][0]} dimensions, not {expected[0]}")
        else:
            open_cases.append(i)
    nodes = inspected(ckaprune, [cases[i] for i in open_cases], [zeros(reads[i][0]) for i in open_cases])
    for i, (node, word) in zip(open_cases, nodes):
        told = node and node["output_shape"]
        right = told == reads[i][1]
        sizes = " / ".join(map(str, case_sizes(cases[i])))
        verdicts[i] = ("right", "") if right else ("wrong", f"{told and told[1:]} of {reads[i][0][2:]} {word}, not {sizes}")
    return list(zip(cases, verdicts))


def zeros(sizes):
    return f"torch.zeros([{', '.join(sizes)}])"


def case_sizes(case):
    return case.sizes if case.sizes[0] != case.sizes[1] else case.sizes[:1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckaprune", required=True)
    parser.add_argument("--list", action="store_true", help="list the unknown and the skipped as well")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("operators", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    skipped, wanted = [], set(options.operators)
    cases = [*written_cases(wanted, skipped), *sample_cases(wanted, known_operators(), skipped)]
    parts = [cases[i : i + MODULES] for i in range(0, len(cases), MODULES)]
    with ThreadPoolExecutor(options.jobs) as pool:
        verdicts = [v for part in pool.map(lambda part: judged(options.ckaprune, part), parts) for v in part]
    told, covered = collections.Counter(v for _, (v, _) in verdicts), collections.defaultdict(collections.Counter)
    for case, (verdict, word) in verdicts:
        covered[case.operator][verdict] += 1
        if verdict == "wrong" or (options.list and verdict == "unknown"):
            print(f"{verdict}: {case.text}: {word}")
    if options.list:
        for operator, text, reason in skipped:
            print(f"skipped: {operator}: {text}: {reason}")
    never = [o for o, counts in covered.items() if not counts["right"] and o not in UNTOLD]
    if never:
        print("never told:", *sorted(never))
    print(f"{len(verdicts)} results of {len(covered)} operators: {told['right']} right, {told['unknown']} unknown, "
          f"{told['wrong']} wrong; {len(skipped)} calls skipped")
    return int(told["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
