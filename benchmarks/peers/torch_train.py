#!/usr/bin/env python3
"""The plain recipe in PyTorch, for comparison with glomseg train: batch 1, Adam 1e-4, 20 epochs.

    python benchmarks/peers/torch_train.py DATA --patch 512 --base 64

DATA holds {train,validation}/GROUP/CASE/{img,mask}/PREFIX_I_X_Y_{img,mask}.jpg. Images are resized with antialiased
bilinear, masks with nearest; 128 and above is foreground. Prints one JSON line an epoch: the mean training loss, and the
validation split's accuracy, precision, recall and F1 over all its pixels pooled, at probability 0.5.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy
import torch
from PIL import Image

from variable_unet import BCEDiceLoss, VariableUNet


class Patches(torch.utils.data.Dataset):
    """The patches of one split, in the order of their paths."""

    def __init__(self, root, split, side):
        self.side = side
        self.images = sorted(pathlib.Path(root, split).glob("*/*/img/*_img.jpg"))
        if not self.images:
            sys.exit(f"torch_train.py: no {split}/GROUP/CASE/img/*_img.jpg in {root}.")
        for image in self.images:
            if not self.mask(image).is_file():
                sys.exit(f"torch_train.py: {image} has no mask {self.mask(image)}.")

    @staticmethod
    def mask(image):
        return image.parent.parent / "mask" / (image.name.removesuffix("_img.jpg") + "_mask.jpg")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        size = (self.side, self.side)
        with Image.open(self.images[index]) as file:
            # Pillow widens the bilinear filter when it shrinks: that is the antialiasing.
            image = numpy.asarray(file.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        with Image.open(self.mask(self.images[index])) as file:
            mask = numpy.asarray(file.convert("L").resize(size, Image.Resampling.NEAREST))
        x = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
        return x, torch.from_numpy(mask >= 128)[None].float()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--patch", type=int, default=512, help="side to resize to, in pixels (default: %(default)s)")
    parser.add_argument("--base", type=int, default=64, help="channels of the first level (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's own choice)")
    parser.add_argument("--memory-format", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument("--limit", type=int, help="at most this many batches of each split, to try the script out")
    parser.add_argument("--save", metavar="FILE", help="write the parameters as safetensors after the last epoch")
    arguments = parser.parse_args()
    if arguments.patch % 16 or arguments.patch <= 0:
        parser.error("--patch must be a multiple of 16: there are four poolings.")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no CUDA device.")
    return arguments


def batches(loader, arguments, layout):
    for index, (x, target) in enumerate(loader):
        if index == arguments.limit:
            return
        yield x.to(arguments.device, memory_format=layout), target.to(arguments.device)


def train(model, loss_function, optimizer, data):
    """The mean loss over images."""
    model.train()
    total = count = 0
    for x, target in data:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(model(x), target)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
        count += len(x)
    return total / count


@torch.no_grad()
def validate(model, data):
    """Counts pixels over all images before it divides. A ratio without a denominator is 0."""
    model.eval()
    true_positive = false_positive = false_negative = pixels = 0
    for x, target in data:
        predicted = torch.sigmoid(model(x)) >= 0.5
        actual = target >= 0.5
        true_positive += (predicted & actual).sum().item()
        false_positive += (predicted & ~actual).sum().item()
        false_negative += (~predicted & actual).sum().item()
        pixels += actual.numel()

    def ratio(part, whole):
        return part / whole if whole else 0.0

    return {
        "accuracy": ratio(pixels - false_positive - false_negative, pixels),
        "precision": ratio(true_positive, true_positive + false_positive),
        "recall": ratio(true_positive, true_positive + false_negative),
        "f1": ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
    }


def main():
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    layout = torch.channels_last if arguments.memory_format == "channels_last" else torch.contiguous_format
    loaders = {
        split: torch.utils.data.DataLoader(
            Patches(arguments.data, split, arguments.patch), batch_size=arguments.batch, shuffle=split == "train",
            num_workers=arguments.workers, pin_memory=arguments.device == "cuda")
        for split in ("train", "validation")
    }
    model = VariableUNet(arguments.base).to(arguments.device, memory_format=layout)
    loss_function = BCEDiceLoss().to(arguments.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.lr)

    for epoch in range(1, arguments.epochs + 1):
        start = time.perf_counter()
        loss = train(model, loss_function, optimizer, batches(loaders["train"], arguments, layout))
        training_seconds = time.perf_counter() - start
        metrics = validate(model, batches(loaders["validation"], arguments, layout))
        print(json.dumps({
            "epoch": epoch,
            "training_loss": loss,
            **{f"validation_{name}": value for name, value in metrics.items()},
            "training_seconds": training_seconds,
            "seconds": time.perf_counter() - start,
        }), flush=True)

    if arguments.save:
        from safetensors.torch import save_file

        state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        save_file(state, arguments.save)


if __name__ == "__main__":
    main()
