"""The scoring that ckaprune does, as a loop in eager PyTorch: what one writes without a tool for it.

    python eager.py NETWORK ARCHIVE IMAGES --side S --batch B --threads N     prints JSON

The clock runs over the loop alone: the weights are loaded and the images lie normalised in memory before it starts.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Dict, List

import torch
from torch import nn

import images
import networks


def load_images(path: Path, side: int, name: str = "images") -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(images.read(path, name)), dtype=torch.uint8).reshape(-1, 3, side, side)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (images.MEAN, images.STD))
    return (pixels.float() / 255 - mean) / std


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
def score(model: nn.Module, classifier: nn.Module, data: torch.Tensor, batch: int) -> Dict[str, float]:
    """CKA with the whole network of the network without each block, the highest first."""
    whole = representation(model, classifier, data, batch)
    found = {}
    for path in networks.removable_blocks(model):
        block = model.get_submodule(path)
        model.set_submodule(path, nn.Identity())
        found[path] = linear_cka(whole, representation(model, classifier, data, batch))
        model.set_submodule(path, block)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=networks.NETWORKS)
    parser.add_argument("archive", type=Path)
    parser.add_argument("images", type=Path)
    for number in ("--side", "--batch", "--threads"):
        parser.add_argument(number, type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = networks.load(options.network, options.archive)
    classifier = model.get_submodule(networks.NETWORKS[options.network].classifier)
    data = load_images(options.images, options.side)
    start = time.perf_counter()
    found = score(model, classifier, data, options.batch)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "samples": len(data), "cka": found}))


if __name__ == "__main__":
    main()
