"""Trains a network that marks out classes in images: a trainer for `prune --tune-with`, with labels that ckaprune never sees.

    ckaprune prune --model network.pt --pretrain 8 --tune-with \
        'python segment.py --model {model} --output {output} --epochs {epochs} --images images.npz --masks masks.npz' ..
"""

import argparse

import numpy
import torch
import torch.nn.functional as F


def train(network: torch.nn.Module, images: torch.Tensor, masks: torch.Tensor, epochs: int, rate: float) -> None:
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * -(-len(images) // 64))
    network.train()
    for epoch in range(epochs):
        losses = []
        for places in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images[places]), masks[places])
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {epochs}: loss {sum(losses) / len(losses):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "output", "images", "masks"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, default=0.1)
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.from_numpy(numpy.load(options.images)["x_train"]).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(numpy.load(options.masks)["y_train"]).long()
    network = torch.jit.load(options.model)
    train(network, images, masks, options.epochs, options.lr)
    torch.jit.save(network.eval(), options.output)


if __name__ == "__main__":
    main()
