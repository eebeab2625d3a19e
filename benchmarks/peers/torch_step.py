#!/usr/bin/env python3
"""Times one whole training step of the VariableUNet in PyTorch: forward, loss, backward, Adam.

    python benchmarks/peers/torch_step.py --patch 256 --base 16 --batch 16 --steps 5

prints one JSON line. With --serve it prints "ready" after the warm-up, then runs one step for each line "step" on
stdin and answers {"seconds": s}, so that a driver can alternate it with another program.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import torch

from variable_unet import BCEDiceLoss, VariableUNet


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=256, help="side of the square input, in pixels")
    parser.add_argument("--base", type=int, default=16, help="channels of the first level")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before the timing")
    parser.add_argument("--memory-format", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's own choice)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32",
                        help="fp32: no TF32 anywhere; tf32: convolutions and products in TF32; bf16: autocast")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--inference", action="store_true", help="forward alone, to logits, in inference mode")
    parser.add_argument("--serve", action="store_true", help='one step for each line "step" on stdin')
    arguments = parser.parse_args()
    if arguments.patch % 16 or arguments.patch <= 0:
        parser.error("--patch must be a multiple of 16: there are four poolings.")
    if arguments.steps < 1 or arguments.warmup < 0:
        parser.error("--steps must be at least 1 and --warmup at least 0.")
    if arguments.precision == "tf32" and arguments.device == "cpu":
        parser.error("--precision tf32 needs --device cuda: a CPU has no TF32.")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no CUDA device.")
    return arguments


def make_step(arguments):
    """A function that runs one step and returns its seconds."""
    torch.manual_seed(7)
    cuda = arguments.device == "cuda"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = arguments.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    channels_last = arguments.memory_format == "channels_last"
    layout = torch.channels_last if channels_last else torch.contiguous_format

    model = VariableUNet(arguments.base).to(arguments.device, memory_format=layout)
    loss_function = BCEDiceLoss().to(arguments.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    side = arguments.patch
    x = torch.rand(arguments.batch, 3, side, side).to(arguments.device, memory_format=layout)
    target = (torch.rand(arguments.batch, 1, side, side) < 0.05).float().to(arguments.device)
    model.train(not arguments.inference)
    run = torch.compile(model) if arguments.compile else model

    def autocast():
        return torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.precision == "bf16")

    def train():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            logits = run(x)
        loss_function(logits.float(), target).backward()
        optimizer.step()

    def infer():
        with torch.inference_mode(), autocast():
            run(x).float()

    work = infer if arguments.inference else train

    def step():
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return step


def peak_bytes(arguments):
    if arguments.device == "cuda":
        return {"peak_device_bytes": torch.cuda.max_memory_allocated()}
    return {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def description(arguments):
    cuda = arguments.device == "cuda"
    return {
        "framework": "pytorch",
        "version": torch.__version__,
        "work": "inference" if arguments.inference else "training step",
        "device": torch.cuda.get_device_name() if cuda else "cpu " + torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "patch": arguments.patch,
        "base": arguments.base,
        "batch": arguments.batch,
        "memory_format": arguments.memory_format,
        "precision": arguments.precision,
        "compile": arguments.compile,
    }


def main():
    arguments = parse_arguments()
    step = make_step(arguments)
    for _ in range(arguments.warmup):
        step()

    if arguments.serve:
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() != "step":
                sys.exit(f"torch_step.py: expected 'step' on stdin, read '{line.strip()}'.")
            seconds = step()
            print(json.dumps({"seconds": seconds, **peak_bytes(arguments), **description(arguments)}), flush=True)
        return

    seconds = [step() for _ in range(arguments.steps)]
    print(json.dumps({
        **description(arguments),
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds": seconds,
        **peak_bytes(arguments),
    }))


if __name__ == "__main__":
    main()
