"""Fine-tunes the network that ckaprune hands over: the `train.py` of `prune --tune-with`. Yours will know your data better.

    ckaprune prune --model resnet20.pt --iterations 3 --epochs 1 --data data.npz --tune-with \
        'torchrun --nproc-per-node 2 train.py --model {model} --output {output} --epochs {epochs} --data data.npz'

Runs in one process, or in as many as torchrun starts (on gloo, so on any CPU). What it writes has to be what it read, with
other weights: a TorchScript module is trained as it is, its code untouched.
"""

import argparse
import os

import numpy
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def images(path: str) -> TensorDataset:
    arrays = numpy.load(path)
    pixels = torch.from_numpy(arrays["x_train"]).float() / 255
    if pixels.shape[-1] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
    return TensorDataset(pixels, torch.from_numpy(arrays["y_train"]).long())


def train(network: torch.nn.Module, loader: DataLoader, epochs: int, rate: float, is_first: bool) -> None:
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * len(loader))
    network.train()
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        losses = []
        for pixels, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(pixels), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        if is_first:
            # What is printed is shown by ckaprune, and kept in the run's folder.
            print(f"epoch {epoch + 1} of {epochs}: loss {sum(losses) / len(losses):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "output", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    # One process is a group as well.
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        os.environ.setdefault(name, value)
    dist.init_process_group("gloo")
    is_first = dist.get_rank() == 0
    torch.manual_seed(0)
    data = images(options.data)
    loader = DataLoader(data, options.batch_size, sampler=DistributedSampler(data, seed=0))
    network = torch.jit.load(options.model)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        # It was saved for inference alone; where some are to be trained, the others stay.
        for parameter in network.parameters():
            parameter.requires_grad_()
    train(DistributedDataParallel(network), loader, options.epochs, options.lr, is_first)
    if is_first:
        torch.jit.save(network.eval(), options.output)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
