"""The training that `ckaprune finetune` does, as a plain loop in eager PyTorch, in its default memory layout.

    python eager_training.py NETWORK ARCHIVE IMAGES --side S --batch B --epochs E --threads N     prints JSON

The clock runs over the loop alone. The images lie normalised in memory before it starts and are not augmented, which
favours the loop: ckaprune reads, crops, flips and normalises each image in its time.
"""

import argparse
import json
import time
from pathlib import Path
from typing import List

import torch
import torch.nn.functional as F
from torch import nn

import images
import networks
from eager import load_images

LEARNING_RATE = 0.01
MOMENTUM = 0.9
SEED = 0


def train(model: nn.Module, data: torch.Tensor, labels: torch.Tensor, batch: int, epochs: int) -> List[float]:
    """The mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    model.train()
    means = []
    for _ in range(epochs):
        losses = []
        for chosen in torch.randperm(len(data)).split(batch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        means.append(torch.stack(losses).mean().item())
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=networks.NETWORKS)
    parser.add_argument("archive", type=Path)
    parser.add_argument("images", type=Path)
    for number in ("--side", "--batch", "--epochs", "--threads"):
        parser.add_argument(number, type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    model = networks.load(options.network, options.archive)
    data = load_images(options.images, options.side, "x_train")
    labels = torch.tensor(list(images.read(options.images, "y_train")))
    start = time.perf_counter()
    losses = train(model, data, labels, options.batch, options.epochs)
    seconds = time.perf_counter() - start
    speed = options.epochs * len(data) / seconds
    print(json.dumps({"seconds": seconds, "train_images_per_second": speed, "train_losses": losses}))


if __name__ == "__main__":
    main()
