"""The ways in which a network becomes an archive, and outputs compared whatever container holds them."""

import json
import zipfile
from pathlib import Path
from typing import List, Optional

import torch
from torch import nn


def script(model: nn.Module, example: torch.Tensor) -> torch.jit.ScriptModule:
    return torch.jit.script(model)


def trace(model: nn.Module, example: torch.Tensor) -> torch.jit.ScriptModule:
    # Not strict: a dictionary may be returned. Tracing again to compare would double the time.
    return torch.jit.trace(model, example, strict=False, check_trace=False)


def freeze(model: nn.Module, example: torch.Tensor) -> torch.jit.ScriptModule:
    return torch.jit.freeze(torch.jit.script(model))


EXPORTS = {"scripted": script, "traced": trace, "frozen": freeze}
# Programs of torch.export: for any number of images, and for the one of the example.
PROGRAMS = {"exported": True, "exported_static": False}
ALL = [*EXPORTS, *PROGRAMS]


def suffix(export: str) -> str:
    return ".pt2" if export in PROGRAMS else ".pt"


def save(model: nn.Module, export: str, example: torch.Tensor, path: Path) -> None:
    if export in PROGRAMS:
        # An example of one image would be taken for a constant.
        images = example.expand(2, -1, -1, -1).clone()
        shapes = ({0: torch.export.Dim("batch")},) if PROGRAMS[export] else None
        # With gradients: without them the exporter wraps the network into a graph that has none.
        torch.export.save(torch.export.export(model, (images,), dynamic_shapes=shapes), str(path))
        return
    with torch.no_grad():
        EXPORTS[export](model, example).save(str(path))


def forget_scripts() -> None:
    """torch keeps the weights of every module it ever froze: 50 references of a large network would fill the memory."""
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


@torch.no_grad()
def run(model, images: torch.Tensor) -> List[torch.Tensor]:
    return tensors(model(images.clone()))


@torch.no_grad()
def run_archive(path: Path, images: torch.Tensor) -> List[torch.Tensor]:
    if path.suffix == ".pt2":
        return run(torch.export.load(str(path)).module(), images)
    # It runs once only, so that optimising it would cost more time than it saves.
    with torch.jit.optimized_execution(False):
        return run(torch.jit.load(str(path)), images)


def left_over(path: Path) -> Optional[str]:
    """What a program holds that nothing in it speaks of: a tensor, a file, or a module."""
    if path.suffix != ".pt2":
        return None
    with zipfile.ZipFile(path) as archive:
        names = [name.split("/", 1)[1] for name in archive.namelist()]
        root = archive.namelist()[0].split("/")[0]
        read = lambda name: json.loads(archive.read(f"{root}/{name}"))
        module = read("models/model.json")["graph_module"]
        configs = {kind: read(f"data/{kind}/model_{kind}_config.json")["config"] for kind in ("weights", "constants")}
    graph = module["graph"]
    specs = [next(iter(spec.values())) for spec in module["signature"]["input_specs"]]
    known = {spec.get(key) for spec in specs for key in ("parameter_name", "buffer_name", "tensor_constant_name")}
    text = json.dumps([graph["nodes"], graph["outputs"]])
    for kind, config in configs.items():
        files = {name.rsplit("/", 1)[1] for name in names if name.startswith(f"data/{kind}/") and "config" not in name}
        for name in sorted(files - {entry["path_name"] for entry in config.values()}):
            return f"file {kind}/{name} is of no tensor"
        for name in sorted(set(config) - known):
            return f"tensor {name} is no input"
    made = {value for kind in ("tensor_values", "sym_int_values") for value in graph[kind]}
    for value in sorted(made):
        if f'"{value}"' not in text + json.dumps(graph["inputs"]):
            return f"value {value} is named nowhere"
    stacks = {part.split(",")[1] for node in graph["nodes"] for part in node["metadata"].get("nn_module_stack", "").split(";")
              if part.count(",") >= 2}
    owners = {name.rpartition(".")[0] for config in configs.values() for name in config}
    alive = stacks | owners
    for call in module["module_call_graph"]:
        path_of = call["fqn"].split("@")[0]
        if path_of and not any(other == path_of or other.startswith(path_of + ".") for other in alive):
            return f"module {path_of} has neither code nor tensors"
    return None


def tensors(output) -> List[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return [t for key in sorted(output) for t in tensors(output[key])]
    return [t for item in output if item is not None for t in tensors(item)]


def difference(got: List[torch.Tensor], wanted: List[torch.Tensor], relative: bool) -> float:
    """The largest absolute difference, divided by the largest wanted value if relative; infinite if incomparable."""
    if [t.shape for t in got] != [t.shape for t in wanted]:
        return float("inf")
    worst = 0.0
    for a, b in zip(got, wanted):
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            return float("inf")
        apart = (a - b).abs().max().item()
        worst = max(worst, apart / b.abs().max().clamp_min(1e-30).item() if relative else apart)
    return worst
