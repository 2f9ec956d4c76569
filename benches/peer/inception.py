"""Inception-v3 of 2015-12-05 (Szegedy et al. 2016, arXiv:1512.00567) up to its 2048 features.

Batch norms are folded into the convolutions, as in the recorded weights, so that both sides skip their
passes. Convolutions have the order of the workspace's file.
"""

import torch
import torch.nn.functional as F
from torch import nn

# Height and width of the network's input.
SIDE = 299


class Conv(nn.Module):
    """A convolution with ReLU; at every pixel with padding, or `within` the image."""

    def __init__(self, weight, bias, stride=1, within=False):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride = stride
        self.padding = [0 if within else side // 2 for side in weight.shape[2:]]

    def forward(self, x):
        return F.relu(F.conv2d(x, self.weight, self.bias, self.stride, self.padding), inplace=True)


class Halve(nn.Module):
    """Maximum over 3x3 at every other pixel."""

    def forward(self, x):
        return F.max_pool2d(x, 3, 2)


class Average(nn.Module):
    """Mean over 3x3, without pixels beyond the edge."""

    def forward(self, x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Largest(nn.Module):
    """Maximum over 3x3."""

    def forward(self, x):
        return F.max_pool2d(x, 3, 1, 1)


class Fork(nn.Module):
    """Several paths from the same input, with their channels concatenated."""

    def __init__(self, *paths):
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x):
        return torch.cat([path(x) for path in self.paths], 1)


class Inception(nn.Module):
    """Maps images in [-1, 1] to features; `weights` has `000.weight`, `000.bias`, `001.weight`, ..."""

    def __init__(self, weights):
        super().__init__()
        # Weights are consumed in order while the layers are built.
        self.weights, self.next = weights, 0
        stem = [
            *self.path(2, within=True),
            *self.path(1, within=True),
            *self.path(1),
            Halve(),
            *self.path(1),
            *self.path(1, within=True),
            Halve(),
        ]
        blocks = [*(self.at_35() for _ in range(3)), self.to_17()]
        blocks += [*(self.at_17() for _ in range(4)), self.to_8()]
        blocks += [self.at_8(Average()), self.at_8(Largest())]
        self.layers = nn.Sequential(*stem, *blocks)
        del self.weights

    def conv(self, stride=1, within=False):
        name = f"{self.next:03}"
        self.next += 1
        return Conv(self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], stride, within)

    def path(self, stride=1, within=False):
        return [self.conv(stride, within)]

    def convs(self, count):
        return nn.Sequential(*(self.conv() for _ in range(count)))

    def at_35(self):
        paths = [self.convs(1), self.convs(2), self.convs(3)]
        return Fork(*paths, nn.Sequential(Average(), self.conv()))

    def to_17(self):
        first = self.conv(2, within=True)
        return Fork(first, nn.Sequential(self.convs(2), self.conv(2, within=True)), Halve())

    def at_17(self):
        paths = [self.convs(1), self.convs(3), self.convs(5)]
        return Fork(*paths, nn.Sequential(Average(), self.conv()))

    def to_8(self):
        first = nn.Sequential(self.conv(), self.conv(2, within=True))
        return Fork(first, nn.Sequential(self.convs(3), self.conv(2, within=True)), Halve())

    def at_8(self, pool):
        first = self.conv()
        second = nn.Sequential(self.conv(), Fork(self.conv(), self.conv()))
        third = nn.Sequential(self.convs(2), Fork(self.conv(), self.conv()))
        return Fork(first, second, third, nn.Sequential(pool, self.conv()))

    @torch.no_grad()
    def forward(self, images):
        x = resize((images * 127.5 + 128).clamp(0, 255).floor())
        return self.layers((x - 128) / 128).mean((2, 3))


def resize(x):
    """Resizes to three channels of 299x299 as TensorFlow 1: bilinear, pixel `i` at `i * n / 299`."""
    if x.shape[1] == 1:
        x = x.expand(-1, 3, -1, -1)
    for axis in (3, 2):
        size = x.shape[axis]
        at = torch.arange(SIDE, dtype=torch.float32) * (size / SIDE)
        first = at.long().clamp(max=size - 1)
        share = (at - first).reshape([-1, 1] if axis == 2 else [-1])
        near, far = (x.index_select(axis, it) for it in (first, (first + 1).clamp(max=size - 1)))
        x = near + (far - near) * share
    return x
