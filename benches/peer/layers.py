"""The layers of EDM's two U-Nets (Karras et al. 2022, arXiv:2206.00364, App. F).

They use PyTorch's fastest operations on a CPU: nearest-neighbor interpolation and mean pooling for the
box filter, fused attention. Tensors have the names of EDM's files, so that weights load on both sides.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    """A convolution of odd kernel, same padding, after a change of resolution."""

    def __init__(self, inputs, outputs, kernel, resample="keep"):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.padding = kernel // 2
        self.resample = resample

    def forward(self, x):
        return F.conv2d(resampled(x, self.resample), self.weight, self.bias, padding=self.padding)


class Resample(nn.Module):
    """A change of resolution alone."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return resampled(x, self.kind)


def resampled(x, kind):
    """Applies the box filter to `x`: repeats pixels, averages over 2x2, or returns `x`."""
    if kind == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    if kind == "down":
        return F.avg_pool2d(x, 2)
    return x


class Linear(nn.Module):
    """`x W^T + b`."""

    def __init__(self, inputs, outputs, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Norm(nn.Module):
    """Group norm in groups of at least four channels, at most 32 groups."""

    def __init__(self, channels, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.groups = min(32, channels // 4)
        self.eps = eps

    def forward(self, x):
        return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)


class Block(nn.Module):
    """Two convolutions with a residual path, conditioned on the embedding, then optional attention."""

    def __init__(self, inputs, outputs, style, resample="keep", heads=0):
        super().__init__()
        self.adaptive = style["adaptive"]
        self.scale = style["skip_scale"]
        self.heads = heads
        eps = style["eps"]
        self.norm0 = Norm(inputs, eps)
        self.conv0 = Conv(inputs, outputs, 3, resample)
        self.affine = Linear(style["emb"], outputs * (2 if self.adaptive else 1))
        self.norm1 = Norm(outputs, eps)
        self.conv1 = Conv(outputs, outputs, 3)
        self.skip = None
        if inputs != outputs or (style["resample_proj"] and resample != "keep"):
            self.skip = Conv(inputs, outputs, 1, resample)
        elif resample != "keep":
            self.skip = Resample(resample)
        if heads:
            self.norm2 = Norm(outputs, eps)
            self.qkv = Conv(outputs, 3 * outputs, 1)
            self.proj = Conv(outputs, outputs, 1)

    def forward(self, x, emb):
        y = self.conv0(F.silu(self.norm0(x)))
        params = self.affine(emb)[:, :, None, None]
        if self.adaptive:
            scale, shift = params.chunk(2, dim=1)
            y = F.silu(torch.addcmul(shift, self.norm1(y), scale + 1))
        else:
            y = F.silu(self.norm1(y + params))
        y = self.conv1(y)
        y = scaled(y + (x if self.skip is None else self.skip(x)), self.scale)
        if self.heads:
            y = scaled(self.proj(attend(self.qkv(self.norm2(y)), self.heads)) + y, self.scale)
        return y


def scaled(x, factor):
    return x if factor == 1.0 else x * factor


def attend(qkv, heads):
    """Self-attention over pixels; channel `(h C/heads + c) 3 + j` is query, key or value `j`."""
    batch, packed, height, width = qkv.shape
    size = packed // heads // 3
    parts = qkv.reshape(batch, heads, size, 3, height * width)
    # Contiguous, because the fused kernel was measured faster on copies than on strided views.
    query, key, value = parts.permute(3, 0, 1, 4, 2).contiguous().unbind(0)
    y = F.scaled_dot_product_attention(query, key, value)
    return y.transpose(-1, -2).reshape(batch, heads * size, height, width)


def waves(x, count, steps):
    """Computes cosines and sines of `x` at the frequencies `10000^(-k/steps)`."""
    freqs = torch.arange(count, dtype=torch.float64) / steps
    phase = x[:, None] * (10000.0**-freqs).to(x)[None]
    return phase.cos(), phase.sin()


ROOT_HALF = math.sqrt(0.5)
