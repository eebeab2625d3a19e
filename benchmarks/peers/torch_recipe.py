#!/usr/bin/env python3
"""A config file of glomseg train, trained in PyTorch: the same model, loss, optimiser, schedule, augmentation and average.

    python benchmarks/peers/torch_recipe.py DATA --config configs/glomeruli-256.yaml --seed 0

Prints one JSON line an epoch: the training loss, and the validation split's precision, recall and F1 over all its pixels
pooled, at probability 0.5, of the averaged parameters with batch norm statistics re-estimated over training batches.
"""

import argparse
import copy
import json
import math
import pathlib
import random
import sys
import time

import numpy
import torch
import yaml
from torch.nn import functional

from torch_train import Patches, validate
from variable_unet import BCEDiceLoss, VariableUNet

# What this script knows; another setting would be silently left out.
KNOWN = {
    "patch", "base", "batch", "epochs", "learning_rate", "schedule", "warmup_epochs", "weight_decay", "clip_norm", "average",
    "recalibrate", "bce_weight", "pos_weight", "dice_smooth", "flips", "turns", "brightness", "contrast",
    "warp_probability", "rotation", "scaling", "elastic", "stain_probability", "stain", "blur_probability", "blur",
    "noise_probability", "noise",
}
STAINS = numpy.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def stain_change(most, rng):
    """The matrix and offset of optical densities for factors and shifts of haematoxylin, eosin and DAB."""
    factors = 1 + rng.uniform(-most, most, 3)
    shifts = rng.uniform(-most, most, 3)
    return numpy.linalg.inv(STAINS) @ (factors[:, None] * STAINS), shifts @ STAINS


def warp(x, target, recipe, rng):
    """Turns, scales and stretches: values linearly, labels by the nearest pixel, mirrored beyond the edges."""
    side = x.shape[-1]
    angle = math.radians(rng.uniform(-1, 1) * recipe["rotation"])
    scale = 2 ** (rng.uniform(-1, 1) * math.log2(1 + recipe["scaling"]))
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]) / scale
    grid = functional.affine_grid(matrix[None].float(), [1, 1, side, side], align_corners=False)
    coarse = torch.from_numpy(rng.uniform(-1, 1, (1, 2, 5, 5)) * 2 * recipe["elastic"]).float()
    grid = grid + functional.interpolate(coarse, side, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    sample = dict(padding_mode="reflection", align_corners=False)
    return (functional.grid_sample(x[None], grid, mode="bilinear", **sample)[0],
            functional.grid_sample(target[None], grid, mode="nearest", **sample)[0])


def augment(x, target, recipe, rng):
    if recipe["flips"]:
        for axis in (-1, -2):
            if rng.random() < 0.5:
                x, target = x.flip(axis), target.flip(axis)
    if recipe["turns"]:
        quarters = int(rng.integers(4))
        x, target = x.rot90(quarters, (-2, -1)), target.rot90(quarters, (-2, -1))
    if rng.random() < recipe["warp_probability"]:
        x, target = warp(x, target, recipe, rng)
    brightness = 1 + rng.uniform(-1, 1) * recipe["brightness"]
    contrast = 1 + rng.uniform(-1, 1) * recipe["contrast"]
    x = (((x - x.mean()) * contrast + x.mean()) * brightness).clamp(0, 1)
    if rng.random() < recipe["stain_probability"]:
        matrix, offset = stain_change(recipe["stain"], rng)
        density = -torch.log10(x.clamp_min(1e-3)).permute(1, 2, 0).double() @ torch.from_numpy(matrix) + torch.from_numpy(offset)
        x = (10 ** -density).clamp_max(1).permute(2, 0, 1).float()
    if rng.random() < recipe["blur_probability"]:
        deviation = rng.random() * recipe["blur"]
        if deviation > 0:
            radius = max(1, math.ceil(3 * deviation))
            taps = torch.exp(-torch.arange(-radius, radius + 1).float() ** 2 / (2 * deviation**2))
            taps = (taps / taps.sum()).expand(3, 1, -1)
            x = functional.pad(x[None], [radius] * 4, mode="reflect")
            x = functional.conv2d(functional.conv2d(x, taps[:, :, None], groups=3), taps[..., None], groups=3)[0]
    if rng.random() < recipe["noise_probability"]:
        x = (x + torch.from_numpy(rng.normal(0, rng.random() * recipe["noise"], x.shape)).float()).clamp(0, 1)
    return x, target


def rate_at(step, recipe, steps_per_epoch):
    """The learning rate of a step, from 1, as glomseg's Schedule."""
    rate, warmup = recipe["learning_rate"], round(recipe["warmup_epochs"] * steps_per_epoch)
    if step <= warmup:
        return rate * step / warmup
    progress = min(1, (step - 1 - warmup) / max(1, recipe["epochs"] * steps_per_epoch - warmup))
    return {"constant": rate, "cosine": rate * 0.5 * (1 + math.cos(math.pi * progress)),
            "polynomial": rate * (1 - progress) ** 0.9}[recipe["schedule"]]


@torch.no_grad()
def recalibrate(model, batches):
    """Batch norm statistics as means over batches."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    model.train()
    for x, _ in batches:
        model(x)


def load_recipe(path):
    recipe = {"epochs": 20, "batch": 1, "patch": 256, "learning_rate": 1e-4, "schedule": "constant", "weight_decay": 0,
              "bce_weight": 0.8, "pos_weight": 25, "dice_smooth": 1e-6}
    given = yaml.safe_load(pathlib.Path(path).read_text())
    if unknown := set(given) - KNOWN:
        sys.exit(f"torch_recipe.py: {path} has settings that this script does not know: {', '.join(sorted(unknown))}.")
    recipe = {**dict.fromkeys(KNOWN, 0), **recipe, **given}
    recipe["base"] = recipe["base"] or max(16, 64 * recipe["patch"] // 2048)
    if recipe["average"] and "recalibrate" not in given:
        recipe["recalibrate"] = 16
    return recipe


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--config", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--limit", type=int, help="at most this many batches of each split, to try the script out")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.config)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    rng = numpy.random.default_rng(arguments.seed)

    splits = {split: Patches(arguments.data, split, recipe["patch"]) for split in ("train", "validation")}
    decoded = [splits["train"][index] for index in range(len(splits["train"]))]
    size = recipe["batch"]
    steps_per_epoch = math.ceil(len(decoded) / size)

    def batches(limit=None):
        order = rng.permutation(len(decoded))
        for number, first in enumerate(range(0, len(order), size)):
            if number == limit or number == arguments.limit:
                return
            pairs = [augment(*decoded[index], recipe, rng) for index in order[first:first + size]]
            x, target = (torch.stack(part).to(arguments.device) for part in zip(*pairs))
            yield x.contiguous(memory_format=torch.channels_last), target

    def held_out():
        data = torch.utils.data.DataLoader(splits["validation"], batch_size=size)
        for number, (x, target) in enumerate(data):
            if number == arguments.limit:
                return
            yield x.to(arguments.device, memory_format=torch.channels_last), target.to(arguments.device)

    model = VariableUNet(recipe["base"]).to(arguments.device, memory_format=torch.channels_last)
    loss_function = BCEDiceLoss(recipe["bce_weight"], recipe["pos_weight"], recipe["dice_smooth"]).to(arguments.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    average = copy.deepcopy(model)
    step = 0
    for epoch in range(1, recipe["epochs"] + 1):
        start = time.perf_counter()
        model.train()
        total = count = 0
        for x, target in batches():
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, recipe, steps_per_epoch)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_function(model(x), target)
            loss.backward()
            if recipe["clip_norm"]:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_norm"])
            optimizer.step()
            decay = min(recipe["average"], (1 + step) / (10 + step))
            with torch.no_grad():
                for mean, value in zip(average.parameters(), model.parameters()):
                    mean.lerp_(value, 1 - decay)
            total += loss.item() * len(x)
            count += len(x)
        seconds = time.perf_counter() - start
        judged = average if recipe["average"] else model
        if not recipe["average"] and recipe["recalibrate"]:
            judged = copy.deepcopy(model)
        if recipe["recalibrate"]:
            recalibrate(judged, batches(recipe["recalibrate"]))
        metrics = validate(judged, held_out())
        print(json.dumps({"epoch": epoch, "training_loss": total / count,
                          **{f"validation_{name}": value for name, value in metrics.items()},
                          "training_seconds": seconds, "seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
