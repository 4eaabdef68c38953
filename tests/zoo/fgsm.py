"""Compares `ckaprune eval --attacks fgsm` with the same attack written in PyTorch, image by image. README.md says more.

    python fgsm.py --ckaprune target/release/ckaprune --model MODEL.pt --data CIFAR-10-FOLDER --mean R,G,B --std R,G,B
"""

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F

RECORD = 1 + 3 * 32 * 32


def main():
    options = arguments()
    ours = ask_ckaprune(options)
    data = Path(options.data) / "test_batch.bin"
    records = torch.frombuffer(bytearray(data.read_bytes()), dtype=torch.uint8).view(-1, RECORD)[ours["indices"]]
    labels, pixels = records[:, 0].long(), records[:, 1:].view(-1, 3, 32, 32).float() / 255
    if labels.tolist() != ours["labels"]:
        sys.exit(f"{data}: ckaprune and this program do not mean the same images")
    model = torch.jit.load(options.model, map_location="cpu").eval()
    mean, std = (torch.tensor([float(x) for x in text.split(",")]).view(-1, 1, 1) for text in (options.mean, options.std))
    clean, attacked = [], []
    for x, y in zip(pixels.split(options.batch_size), labels.split(options.batch_size)):
        classes, classes_attacked = fgsm(lambda p: model((p - mean) / std), x, y, float(Fraction(options.epsilon)))
        clean += classes
        attacked += classes_attacked
    right = compare("clean", clean, ours["clean"], ours)
    right &= compare(f"fgsm at {options.epsilon}", attacked, ours["rows"][0]["predicted"], ours)
    if clean == attacked:
        print("the attack changes no prediction, so that nothing is shown")
        right = False
    sys.exit(0 if right else 1)


def fgsm(model, pixels, labels, epsilon):
    """Predicted classes of the images as they are, and after one step of the sign of the gradient (arXiv 1412.6572)."""
    pixels = pixels.clone().requires_grad_()
    scores = model(pixels)
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, labels), pixels)
    with torch.no_grad():
        attacked = model((pixels + epsilon * gradient.sign()).clamp(0, 1))
    return scores.argmax(1).tolist(), attacked.argmax(1).tolist()


def compare(name, theirs, ours, document):
    pairs = list(zip(theirs, ours, document["labels"], document["indices"]))
    same = sum(a == b for a, b, _, _ in pairs)
    accuracies = [100 * sum(c == label for c, label in zip(classes, document["labels"])) / len(pairs) for classes in (theirs, ours)]
    print("{}: {} of {} predictions agree; accuracy {:.2f} % in PyTorch, {:.2f} % in ckaprune".format(name, same, len(pairs), *accuracies))
    for a, b, label, index in pairs:
        if a != b:
            print(f"  image {index} of class {label}: {a} in PyTorch, {b} in ckaprune")
    return same == len(pairs) == len(ours)


def ask_ckaprune(options):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.json"
        command = [options.ckaprune, "eval", "--model", options.model, "--data", options.data]
        command += [f"--mean={options.mean}", f"--std={options.std}", "--attacks", "fgsm", "--epsilon", options.epsilon]
        command += ["--robust-samples", options.samples, "--batch-size", str(options.batch_size), "--seed", options.seed]
        command += ["--predictions", str(file), "--device", "cpu", "--json", "--quiet"]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        predictions = json.loads(file.read_text())
    tally, labels = result["robustness"]["rows"][0], predictions["labels"]
    correct = sum(c == label for c, label in zip(predictions["rows"][0]["predicted"], labels))
    if (tally["correct"], tally["images"]) != (correct, len(labels)):
        sys.exit("ckaprune's predictions do not give the accuracy that it reports")
    return predictions


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckaprune", required=True, help="the program")
    parser.add_argument("--model", required=True, help="TorchScript archive")
    parser.add_argument("--data", required=True, help="folder of CIFAR-10 in its binary version, with test_batch.bin")
    parser.add_argument("--mean", required=True, metavar="R,G,B")
    parser.add_argument("--std", required=True, metavar="R,G,B")
    parser.add_argument("--epsilon", default="8/255")
    parser.add_argument("--samples", default="200")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--batch-size", type=int, default=128)
    return parser.parse_args()


if __name__ == "__main__":
    main()
