"""Says how well a network marks out classes in images: the `iou.py` of `--measure-with`. Yours will know your data better.

    ckaprune eval --model network.pt --measure-with 'python iou.py --model {model} --images images.npz --masks masks.npz'

Its last line is {"IoU": ...}: of each class the pixels that network and mask agree on, over those that either calls so; the
mean over the classes. What else it prints is shown by ckaprune, and kept in the run's folder.
"""

import argparse
import json

import numpy
import torch


def overlaps(network: torch.nn.Module, images: torch.Tensor, masks: torch.Tensor, classes: int) -> torch.Tensor:
    """Of each class the number of pixels in both, and in either: 2 x classes."""
    counts = torch.zeros(2, classes, dtype=torch.long)
    with torch.no_grad():
        for pixels, mask in zip(images.split(64), masks.split(64)):
            found = network(pixels).argmax(1)
            for kind in range(classes):
                has, is_so = found == kind, mask == kind
                counts[0, kind] += (has & is_so).sum()
                counts[1, kind] += (has | is_so).sum()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "images", "masks"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    # A program of torch.export has a name of its own.
    if options.model.endswith(".pt2"):
        network = torch.export.load(options.model).module()
    else:
        network = torch.jit.load(options.model).eval()
    pixels = torch.from_numpy(numpy.load(options.images)["x_test"]).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(numpy.load(options.masks)["y_test"]).long()
    both, either = overlaps(network, pixels, masks, int(masks.max()) + 1)
    each = both / either.clamp(min=1)
    print("of each class:", " ".join(f"{iou:.4f}" for iou in each))
    print(json.dumps({"IoU": each.mean().item()}))


if __name__ == "__main__":
    main()
