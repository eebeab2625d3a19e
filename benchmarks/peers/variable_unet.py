"""The VariableUNet and its loss in PyTorch: the peer that glomseg is compared with.

Parameter names and shapes are those of glomseg's checkpoints and golden cases; test_variable_unet.py checks them.
"""

import torch
from torch import nn


class DoubleConv(nn.Module):
    """Two of: 3x3 convolution with padding 1, batch norm, ReLU."""

    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Bottleneck(nn.Module):
    """Three parallel 3x3 convolutions with dilation 1, 2, 4, each with batch norm and ReLU, concatenated."""

    def __init__(self, channels):
        super().__init__()
        third = channels // 3
        rest = channels - 2 * third
        self.dilated1 = nn.Conv2d(channels, third, 3, padding=1, dilation=1)
        self.dilated2 = nn.Conv2d(channels, third, 3, padding=2, dilation=2)
        self.dilated4 = nn.Conv2d(channels, rest, 3, padding=4, dilation=4)
        self.bn1 = nn.BatchNorm2d(third)
        self.bn2 = nn.BatchNorm2d(third)
        self.bn4 = nn.BatchNorm2d(rest)

    def forward(self, x):
        return torch.cat(
            [
                torch.relu(self.bn1(self.dilated1(x))),
                torch.relu(self.bn2(self.dilated2(x))),
                torch.relu(self.bn4(self.dilated4(x))),
            ],
            dim=1,
        )


class VariableUNet(nn.Module):
    """x (N, 3, H, W) to logits (N, 1, H, W); H and W are multiples of 16, base is even."""

    def __init__(self, base=64):
        super().__init__()
        c1, c2, c3, c4 = base, 2 * base, 4 * base, 8 * base
        self.enc1 = DoubleConv(3, c1)
        self.enc2 = DoubleConv(c1, c2)
        self.enc3 = DoubleConv(c2, c3)
        self.enc4 = DoubleConv(c3, c4)
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = Bottleneck(c4)
        # up4 meets enc4, the deepest; each decoder reads [up, skip].
        self.up4 = nn.ConvTranspose2d(c4, c3, 2, stride=2)
        self.dec4 = DoubleConv(c3 + c4, c3)
        self.up3 = nn.ConvTranspose2d(c3, c2, 2, stride=2)
        self.dec3 = DoubleConv(c2 + c3, c2)
        self.up2 = nn.ConvTranspose2d(c2, c1, 2, stride=2)
        self.dec2 = DoubleConv(c1 + c2, c1)
        self.up1 = nn.ConvTranspose2d(c1, c1 // 2, 2, stride=2)
        self.dec1 = DoubleConv(c1 // 2 + c1, c1 // 2)
        self.final = nn.Conv2d(c1 // 2, 1, 1)

    def forward(self, x):
        s1 = self.enc1(x)
        s2 = self.enc2(self.pool(s1))
        s3 = self.enc3(self.pool(s2))
        s4 = self.enc4(self.pool(s3))
        y = self.bottleneck(self.pool(s4))
        y = self.dec4(torch.cat([self.up4(y), s4], dim=1))
        y = self.dec3(torch.cat([self.up3(y), s3], dim=1))
        y = self.dec2(torch.cat([self.up2(y), s2], dim=1))
        y = self.dec1(torch.cat([self.up1(y), s1], dim=1))
        return self.final(y)


class BCEDiceLoss(nn.Module):
    """w * BCE + (1 - w) * (1 - Dice): BCE is the mean over all pixels with the positive weight inside, Dice is over
    the whole batch at once."""

    def __init__(self, bce_weight=0.8, pos_weight=25.0, dice_smooth=1e-6):
        super().__init__()
        self.bce_weight = bce_weight
        self.dice_smooth = dice_smooth
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)))

    def forward(self, logits, target):
        bce = nn.functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.pos_weight)
        probability = torch.sigmoid(logits).flatten()
        target = target.flatten()
        overlap = (probability * target).sum()
        dice = (2 * overlap + self.dice_smooth) / (probability.sum() + target.sum() + self.dice_smooth)
        return self.bce_weight * bce + (1 - self.bce_weight) * (1 - dice)


def normalized_biases(model):
    """The convolution biases that feed a batch norm: in training mode their gradient is zero but for rounding."""
    for name, parameter in model.named_parameters():
        if name.endswith((".double_conv.0.bias", ".double_conv.3.bias")) or (".dilated" in name and name.endswith(".bias")):
            yield parameter
