"""The ways in which a network becomes an archive, and outputs compared whatever container holds them."""

from pathlib import Path
from typing import List

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


@torch.no_grad()
def save(model: nn.Module, export: str, example: torch.Tensor, path: Path) -> None:
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
    # It runs once only, so that optimising it would cost more time than it saves.
    with torch.jit.optimized_execution(False):
        return run(torch.jit.load(str(path)), images)


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
