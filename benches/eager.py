"""What ckaprune does, as loops in eager PyTorch: what one writes without a tool for it. Prints JSON.

    python eager.py score    NETWORK ARCHIVE IMAGES --blocks PATH,PATH...
    python eager.py evaluate NETWORK ARCHIVE IMAGES
    python eager.py train    NETWORK ARCHIVE IMAGES
    python eager.py probe    NETWORK ARCHIVE IMAGES --work score --batches 4,8,16
    python eager.py map      NETWORK ARCHIVE IMAGES --against ARCHIVE --blocks PATH,PATH...    with pytorch-cka

Default memory layout, no compilation. The clock runs over the loop alone: the weights are loaded, and the images lie
normalised in memory, on the GPU where there is one, before it starts.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Callable, Dict, List

import torch
import torch.nn.functional as F
from torch import nn

import images
import networks

LEARNING_RATE = 0.01
MOMENTUM = 0.9
SEED = 0
# Of a probe: the first pass over a batch of another size also prepares for that size.
PROBE_REPEATS = 2


def load_images(path: Path, name: str, side: int, device: str) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(images.read(path, name)), dtype=torch.uint8).reshape(-1, 3, side, side)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (images.MEAN, images.STD))
    # In place, so that no copies count as memory of the loop.
    return pixels.float().div_(255).sub_(mean).div_(std).to(device)


def load_labels(path: Path, name: str, device: str) -> torch.Tensor:
    return torch.tensor(list(images.read(path, name)), device=device)


def last_linear(model: nn.Module) -> nn.Module:
    """Its input is the representation."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def representation(model: nn.Module, classifier: nn.Module, data: torch.Tensor, batch: int) -> torch.Tensor:
    """The input of the classifier for all images, a row each."""
    features: List[torch.Tensor] = []
    hook = classifier.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
    for part in data.split(batch):
        model(part)
    hook.remove()
    return torch.cat(features)


def linear_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Kornblith et al., arXiv 1905.00414: by features where there are fewer of them than images, else by images."""
    x, y = x.double(), y.double()
    x, y = x - x.mean(0), y - y.mean(0)
    if x.shape[1] <= x.shape[0]:
        return ((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())).item()
    k, l = x @ x.T, y @ y.T
    return ((k * l).sum() / (k.norm() * l.norm())).item()


@torch.no_grad()
def score(model: nn.Module, blocks: List[str], data: torch.Tensor, batch: int) -> dict:
    """CKA with the whole network of the network without each block, the highest first."""
    classifier = last_linear(model)
    whole = representation(model, classifier, data, batch)
    found = {}
    for path in blocks:
        block = model.get_submodule(path)
        model.set_submodule(path, nn.Identity())
        found[path] = linear_cka(whole, representation(model, classifier, data, batch))
        model.set_submodule(path, block)
    return {"cka": dict(sorted(found.items(), key=lambda item: -item[1]))}


@torch.no_grad()
def evaluate(model: nn.Module, data: torch.Tensor, labels: torch.Tensor, batch: int) -> dict:
    correct, loss = 0, 0.0
    for part, wanted in zip(data.split(batch), labels.split(batch)):
        scores = model(part)
        loss += F.cross_entropy(scores, wanted, reduction="sum").item()
        correct += (scores.argmax(1) == wanted).sum().item()
    return {"correct": correct, "loss": loss / len(data)}


def train(model: nn.Module, data: torch.Tensor, labels: torch.Tensor, batch: int, amp: bool) -> dict:
    """One epoch; its mean loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    model.train()
    losses = []
    for chosen in torch.randperm(len(data), device=data.device).split(batch):
        optimizer.zero_grad()
        with torch.autocast(data.device.type, torch.bfloat16, enabled=amp):
            loss = F.cross_entropy(model(data[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {"loss": torch.stack(losses).mean().item()}


def seconds_of(work: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.no_grad()
def probe(model: nn.Module, work: str, data: torch.Tensor, batches: List[int], device: str) -> Dict[int, float]:
    """Images a second of a pass at each batch. That is all that scoring does, once for each candidate."""
    classifier = last_linear(model)
    labels = torch.zeros(len(data), dtype=torch.long, device=device)

    def one_pass(batch: int) -> object:
        if work == "score":
            return representation(model, classifier, data, batch)
        return evaluate(model, data, labels, batch)

    times: Dict[int, List[float]] = {batch: [] for batch in batches}
    for _ in range(PROBE_REPEATS):
        for batch, found in times.items():
            found.append(seconds_of(lambda: one_pass(batch), device))
    return {batch: len(data) / min(found) for batch, found in times.items()}


def cka_map(model: nn.Module, other: nn.Module, blocks: List[str], data: torch.Tensor, batch: int) -> dict:
    """All blocks of the one against all of the other, by the package pytorch-cka."""
    from cka import compute_cka

    # Ready batches: a loader that picks images one by one would take longer than the work.
    batches = torch.utils.data.DataLoader(data.split(batch), batch_size=None)
    found = compute_cka(model, other, batches, layers=blocks, device=data.device, progress=False)
    return {"map": found[0].tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["score", "evaluate", "train", "probe", "map"])
    parser.add_argument("network", choices=networks.NETWORKS)
    parser.add_argument("archive", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=lambda text: text.split(","), help="of score, to replace; of map, its rows")
    parser.add_argument("--against", type=Path, help="of map: the other network's archive")
    parser.add_argument("--amp", action="store_true", help="of train: bfloat16")
    parser.add_argument("--work", choices=["score", "evaluate"], help="of probe: whose pass")
    parser.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], help="of probe")
    parser.add_argument("--count", type=int, help="of probe: so many images")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    device = options.device
    model = networks.load(options.network, options.archive).to(device)
    kind = options.work if options.what == "probe" else options.what
    part = {"score": "images", "map": "images", "evaluate": "x_test", "train": "x_train"}[kind]
    data = load_images(options.images, part, options.side, device)
    if options.what == "probe":
        print(json.dumps(probe(model, kind, data[: options.count], options.batches, device)))
        return
    if device != "cpu":
        # The libraries of the GPU load at the first pass.
        with torch.no_grad():
            model(data[: options.batch])
        torch.cuda.synchronize()
    if kind == "score":
        work = lambda: score(model, options.blocks, data, options.batch)
    elif kind == "map":
        other = networks.load(options.network, options.against).to(device)
        work = lambda: cka_map(model, other, options.blocks, data, options.batch)
    else:
        labels = load_labels(options.images, part.replace("x_", "y_"), device)
        if kind == "evaluate":
            work = lambda: evaluate(model, data, labels, options.batch)
        else:
            work = lambda: train(model, data, labels, options.batch, options.amp)
    found: dict = {}
    seconds = seconds_of(lambda: found.update(work()), device)
    if device != "cpu":
        found["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"seconds": seconds, "samples": len(data), **found}))


if __name__ == "__main__":
    main()
