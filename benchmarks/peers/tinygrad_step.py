#!/usr/bin/env python3
"""Times one whole training step of the VariableUNet in tinygrad: forward, loss, backward, Adam, compiled by TinyJit.

    DEV=CL python benchmarks/peers/tinygrad_step.py --patch 64 --base 16 --batch 2 --steps 3

prints one JSON line. DEV chooses tinygrad's device: CPU, CL (OpenCL) and others.
"""

import argparse
import json
import statistics
import time
from importlib.metadata import version

from tinygrad import Context, Device, Tensor, TinyJit, nn


class DoubleConv:
    def __init__(self, channels_in, channels_out):
        self.layers = [
            nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm(channels_out), Tensor.relu,
            nn.Conv2d(channels_out, channels_out, 3, padding=1), nn.BatchNorm(channels_out), Tensor.relu,
        ]

    def __call__(self, x):
        return x.sequential(self.layers)


class Bottleneck:
    def __init__(self, channels):
        third = channels // 3
        self.branches = [
            [nn.Conv2d(channels, width, 3, padding=rate, dilation=rate), nn.BatchNorm(width), Tensor.relu]
            for width, rate in zip([third, third, channels - 2 * third], [1, 2, 4])
        ]

    def __call__(self, x):
        parts = [x.sequential(branch) for branch in self.branches]
        return parts[0].cat(*parts[1:], dim=1)


class VariableUNet:
    def __init__(self, base):
        widths = [base, 2 * base, 4 * base, 8 * base]
        self.down = [DoubleConv(before, width) for before, width in zip([3] + widths, widths)]
        self.bottleneck = Bottleneck(widths[3])
        below, ups, self.up = widths[3], [base // 2] + widths[:3], []
        for level in reversed(range(4)):
            width = ups[level]
            self.up.append((nn.ConvTranspose2d(below, width, 2, stride=2), DoubleConv(width + widths[level], width)))
            below = width
        self.final = nn.Conv2d(below, 1, 1)

    def __call__(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = x.max_pool2d()
        x = self.bottleneck(x)
        for transposed, block in self.up:
            x = block(transposed(x).cat(skips.pop(), dim=1))
        return self.final(x)


def loss_of(logits, target):
    """0.8 BCE, its positive term times 25, and 0.2 of 1 - Dice."""
    bce = logits.binary_crossentropy_logits(target, pos_weight=Tensor([25.0])).mean()
    p = logits.sigmoid()
    dice = (2 * (p * target).sum() + 1e-6) / (p.sum() + target.sum() + 1e-6)
    return 0.8 * bce + 0.2 * (1 - dice)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in [("patch", 64), ("base", 16), ("batch", 2), ("steps", 3), ("warmup", 3)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()

    Tensor.manual_seed(7)
    model = VariableUNet(arguments.base)
    optimizer = nn.optim.Adam(nn.state.get_parameters(model), lr=1e-4)
    x = Tensor.rand(arguments.batch, 3, arguments.patch, arguments.patch).realize()
    target = (Tensor.rand(arguments.batch, 1, arguments.patch, arguments.patch) < 0.05).float().realize()

    @TinyJit
    def train():
        with Context(TRAINING=1):
            optimizer.zero_grad()
            loss = loss_of(model(x), target).backward()
            return loss.realize(*optimizer.schedule_step())

    def step():
        start = time.perf_counter()
        loss = train().item()
        Device[Device.DEFAULT].synchronize()
        if loss != loss:
            raise SystemExit("tinygrad_step.py: the loss is not a number.")
        return time.perf_counter() - start

    first = [step() for _ in range(arguments.warmup)]
    seconds = [step() for _ in range(arguments.steps)]
    print(json.dumps({
        "framework": "tinygrad", "version": version("tinygrad"), "device": Device.DEFAULT, "patch": arguments.patch,
        "base": arguments.base, "batch": arguments.batch, "seconds_first": first[0], "seconds_median": statistics.median(seconds), "seconds_min": min(seconds),
    }))


if __name__ == "__main__":
    main()
