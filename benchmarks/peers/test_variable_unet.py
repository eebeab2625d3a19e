#!/usr/bin/env python3
"""Checks variable_unet.py against a golden file, in float64: names and shapes (a strict load), the first logits, every
loss and gradient, and the parameters after the last step.

    python benchmarks/peers/test_variable_unet.py GOLDEN/variable_unet_3_steps.safetensors
"""

import json
import sys

import torch
from safetensors import safe_open

from variable_unet import BCEDiceLoss, VariableUNet, normalized_biases

# Both sides are float64; what differs is the order of sums.
TOLERANCE = 1e-9
# Adam's first steps turn the sign of a nearly-zero gradient into a full step.
FINAL_TOLERANCE = 1e-6


def relative_error(got, want):
    return ((got - want).norm() / want.norm().clamp_min(1e-30)).item()


class Checks:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, name, got, want, tolerance):
        self.count += 1
        norm = want.norm().item()
        # A gradient of zero is compared absolutely.
        error = relative_error(got, want) if norm >= 1e-12 else (got - want).norm().item()
        if not error <= tolerance:
            self.failed += 1
            print(f"{name}: error {error:.3g}, allowed {tolerance:g}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with safe_open(sys.argv[1], "pt") as file:
        metadata = file.metadata()
        golden = {name: file.get_tensor(name) for name in file.keys()}
    attributes = json.loads(metadata["attrs"])

    def group(prefix):
        return {name[len(prefix):]: value for name, value in golden.items() if name.startswith(prefix)}

    model = VariableUNet(attributes["base"]).double()
    model.load_state_dict(group("init."), strict=True)
    loss_function = BCEDiceLoss(attributes["bce_weight"], attributes["pos_weight"], attributes["dice_smooth"]).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=attributes["lr"])

    checks = Checks()
    for step in range(attributes["steps"]):
        logits = model(golden[f"x_{step}"])
        loss = loss_function(logits, golden[f"target_{step}"])
        optimizer.zero_grad()
        loss.backward()
        for bias in normalized_biases(model):
            bias.grad.zero_()
        checks.check(f"loss_{step}", loss.detach().reshape(1), golden[f"loss_{step}"], TOLERANCE)
        if step == 0:
            checks.check("logits_0", logits.detach(), golden["logits_0"], TOLERANCE)
            gradients = group("grad.")
            names = {name for name, _ in model.named_parameters()}
            if names != gradients.keys():
                sys.exit(f"parameters and gradients differ in names: {sorted(names ^ gradients.keys())}")
            for name, parameter in model.named_parameters():
                checks.check(f"grad.{name}", parameter.grad, gradients[name], TOLERANCE)
        optimizer.step()

    state = model.state_dict()
    for name, want in group("final.").items():
        checks.check(f"final.{name}", state[name], want, FINAL_TOLERANCE)
    model.eval()
    with torch.no_grad():
        checks.check("eval_logits", model(golden["x_0"]), golden["eval_logits"], FINAL_TOLERANCE)

    print(f"{checks.count - checks.failed} of {checks.count} tensors agree with {metadata['reference']}")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
