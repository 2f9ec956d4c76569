"""Tasks of a network: passes and samplers. Steps are in `distillation`."""

import torch


def denoiser_forward(net, inputs):
    with torch.no_grad():
        return net(inputs["x"], inputs["sigma"])


def grad_weights(net, inputs):
    """Computes the gradient with respect to every weight, in `.grad`; returns the output."""
    for weight in net.parameters():
        weight.grad = None
    y = net(inputs["x"], inputs["sigma"])
    (y * inputs["cotangent"]).sum().backward()
    return y.detach()


def grad_input(net, inputs):
    """Returns the output, and the gradient with respect to the images."""
    x = inputs["x"].detach().requires_grad_()
    y = net(x, inputs["sigma"])
    (gradient,) = torch.autograd.grad((y * inputs["cotangent"]).sum(), x)
    return y.detach(), gradient


def one_step(net, z, sigma_init):
    with torch.no_grad():
        return net(z * sigma_init, torch.full((len(z),), sigma_init))


def heun(net, latents, steps, sigma_min=0.002, sigma_max=80.0, rho=7.0):
    """Samples by EDM's deterministic sampler (arXiv:2206.00364, Algorithm 1), with float64 state."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    levels = [*(high + ramp * (low - high)).pow(rho).tolist(), 0.0]

    def slope(x, level):
        sigma = torch.full((len(x),), level, dtype=latents.dtype)
        return (x - net(x.to(latents.dtype), sigma).double()) / level

    with torch.no_grad():
        x = latents.double() * levels[0]
        for level, following in zip(levels[:-1], levels[1:]):
            step = following - level
            first = slope(x, level)
            euler = x + first * step
            if following == 0.0:
                x = euler
            else:
                x = x + (first + slope(euler, following)) * (0.5 * step)
        return x.to(latents.dtype)
