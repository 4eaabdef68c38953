"""Removes blocks of the networks inside detectors of torchvision (`--inside backbone.body`), which take lists of images.

    python inside.py --ckaprune target/release/ckaprune [--blocks N]

Of each scripted detector every removable block is removed singly (or N of them, spread over the network), and a third of them
together. What is written is loaded in PyTorch and given a list of two images of different sizes: the boxes, scores and labels
have to be those of the eager detector in which these modules are the identity, with a difference of exactly 0, and so
have the maps of the module inside on a batch. Every other tensor has to be what it was. Then the blocks are scored on noise,
each below 1. Exit code 1 if anything is amiss.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torchvision.models import detection

PATH = "backbone.body"
SIDE = 96
DETECTORS = {
    # With random weights no score is above the usual threshold.
    "retinanet_resnet50_fpn": {"score_thresh": 0.0, "detections_per_img": 50},
    "fasterrcnn_mobilenet_v3_large_fpn": {"box_score_thresh": 0.0, "box_detections_per_img": 50},
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    detector = getattr(detection, name)(
        weights=None, weights_backbone=None, min_size=SIDE, max_size=2 * SIDE, **DETECTORS[name]
    )
    generator = torch.Generator().manual_seed(1)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Statistics and an affine part that are not the identity.
            for tensor, low, high in [(module.running_mean, -0.1, 0.1), (module.running_var, 0.8, 1.2),
                                      (module.weight.data, 0.8, 1.2), (module.bias.data, -0.1, 0.1)]:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return detector.eval()


def ckaprune(program: Path, *arguments) -> dict:
    done = subprocess.run([program, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return json.loads(done.stdout)


@torch.no_grad()
def answers(detector) -> list:
    generator = torch.Generator().manual_seed(2)
    images = [torch.rand(3, SIDE, SIDE + more, generator=generator) for more in (0, 32)]
    batch = torch.rand(2, 3, SIDE, SIDE, generator=generator)
    found = detector(images)
    # Scripted detectors give losses as well.
    found = found[1] if isinstance(found, tuple) else found
    return [tensor for one in found for _, tensor in sorted(one.items())] + list(detector.backbone.body(batch).values())


def without(name: str, blocks: list) -> nn.Module:
    detector = built(name)
    body = detector.get_submodule(PATH)
    for block in blocks:
        owner, _, child = block.rpartition(".")
        setattr(body.get_submodule(owner), child, nn.Identity())
    return detector


def is_exact(program: Path, archive: Path, name: str, blocks: list) -> bool:
    pruned = archive.with_name("pruned.pt")
    ckaprune(program, "remove", "--model", archive, "--inside", PATH, "--input-size", SIDE,
             "--blocks", ",".join(blocks), "--output", pruned, "--force")
    loaded, eager, whole = torch.jit.load(pruned), without(name, blocks), built(name)
    pairs = list(zip(answers(loaded), answers(eager), strict=True))
    weights, expected = loaded.state_dict(), eager.state_dict()
    same = weights.keys() == expected.keys() and all(torch.equal(weights[key], expected[key]) for key in expected)
    shows = any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(answers(whole), answers(eager), strict=True))
    return same and shows and all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def check(program: Path, folder: Path, name: str, most: int) -> bool:
    archive = folder / f"{name}.pt"
    torch.jit.script(built(name)).save(str(archive))
    options = ["--model", archive, "--inside", PATH, "--input-size", SIDE]
    found = ckaprune(program, "inspect", *options)["blocks"]
    removable = [block["path"] for block in found if block["removable"]]
    step = max(1, -(-len(removable) // most)) if most else 1
    sets = [[block] for block in removable[::step]] + [removable[1::3]]
    exact = [is_exact(program, archive, name, blocks) for blocks in sets]
    scored = ckaprune(program, "score", *options, "--samples", 16, "--device", "cpu", "--min-blocks-per-stage", 0)["blocks"]
    seen = [block["path"] for block in scored if block["removable"] and block.get("cka", 1) < 1]
    print(f"| {name} | {len(found)} | {len(removable)} | {sum(exact)} of {len(exact)} | {len(seen)} |", flush=True)
    return bool(removable) and all(exact) and len(seen) == len(removable)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=0)
    options = parser.parse_args()
    print("| detector | blocks inside | removable | removals exact | scored below 1 |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        program = options.ckaprune.resolve()
        done = [check(program, Path(folder), name, options.blocks) for name in DETECTORS]
    print("all exact and scored" if all(done) else "something is amiss")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
