"""One update of a distillation, as in `crates/train`: of the fake score, then of the generator.

Methods are data: the step reads the same configuration (JSON of `train::Config`) as the engine.
Methods that need a discriminator or images are errors.
"""

import math

import torch

from networks import require


class Step:
    def __init__(self, config, generator, teacher, fake):
        self.config = config
        self.method = config["phase"][0]["method"]
        require(self.method, fake_score="trained", fake_updates=1, distance="squared")
        require(config, accumulation=1, dropout=0.0, augment=0.0)
        if self.method.get("adversarial") or self.method.get("regression"):
            raise SystemExit("the peer has neither an adversarial nor a regression term")
        self.generator, self.teacher, self.fake = generator, teacher, fake
        self.average = [p.detach().clone() for p in generator.parameters()]
        self.optimizers = [
            adam(net, config[name]) for net, name in [(generator, "generator"), (fake, "fake")]
        ]
        self.images = 0

    def run(self, draws):
        """Runs one update on the given draws. Returns the losses, after checking that they are finite."""
        return self.fake_update(draws), self.generator_update(draws)

    def fake_update(self, draws):
        sigma, sigma_init = draws["fake_sigma"], self.method["sigma_init"]
        with torch.no_grad():
            x0 = generate(self.generator, draws["fake_z"], sigma_init)
            x = x0 + draws["fake_noise"] * sigma[:, None, None, None]
        self.fake.requires_grad_(True)
        self.optimizers[1].zero_grad(set_to_none=True)
        squares = (self.fake(x, sigma) - x0).square().flatten(1).sum(1)
        data = self.fake.sigma_data
        losses = squares * ((sigma.square() + data**2) / (sigma * data).square())
        return descend(losses, self.fake, self.optimizers[1])

    def generator_update(self, draws):
        method, sigma = self.method, draws["sigma"]
        self.fake.requires_grad_(False)
        self.optimizers[0].zero_grad(set_to_none=True)
        x0 = generate(self.generator, draws["z"], method["sigma_init"])
        x = x0 + draws["noise"] * sigma[:, None, None, None]
        noised = x.detach() if method["objective"] == "integral" else x
        teacher, fake = self.teacher(noised, sigma), self.fake(noised, sigma)
        losses = surrogate(method, x0, teacher, fake) * level_weight(method, x0, teacher)
        with torch.no_grad():
            # The engine logs this distance of the student from its teacher.
            (fake - teacher).square().flatten(1).mean(1).sqrt().mean().item()
        loss = descend(losses, self.generator, self.optimizers[0])
        self.images += len(x0)
        half_life = min(
            self.config["ema"]["half_life"], self.config["ema"]["ramp"] * self.images
        )
        beta = 0.5 ** (len(x0) / half_life)
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.generator.parameters()), 1 - beta)
        return loss


def adam(net, options):
    require(options, weight_decay=0.0, ramp_images=0)
    return torch.optim.Adam(
        net.parameters(),
        lr=options["learning_rate"],
        betas=(options["beta1"], options["beta2"]),
        eps=options["eps"],
        fused=True,
    )


def generate(net, z, sigma_init):
    return net(z * sigma_init, torch.full((len(z),), sigma_init))


def surrogate(method, x0, teacher, fake):
    """Computes the loss of each sample, `[B]`, without its weight (see `divergence::surrogate`)."""
    gap, objective = fake - teacher, method["objective"]
    if objective == "integral":
        return (gap.detach() * x0).flatten(1).sum(1)
    alpha = objective["sid"]["alpha"]
    matching = (gap * (fake - x0)).flatten(1).sum(1)
    return gap.square().flatten(1).sum(1) * (1 - alpha) - matching


def level_weight(method, x0, teacher):
    if method["weighting"] == "uniform":
        return 1.0
    require(method, weighting="per-sample")
    error = (x0 - teacher).detach().abs().flatten(1).mean(1)
    return error.clamp_min(1e-5).reciprocal()


def descend(losses, net, optimizer):
    """Backward pass from the mean, check for finite values, update."""
    loss = losses.mean()
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in net.parameters()])
    value = loss.item()
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        raise SystemExit("a loss or gradient is not finite")
    optimizer.step()
    return value


def fresh_draws(config, shape):
    """Draws the random tensors of one update from PyTorch's generator."""
    batch, method = shape[0], config["phase"][0]["method"]
    other = noise_levels(method["sigma_law"], batch)
    mixed = torch.where(
        torch.rand(batch) < config["fake_share"], other, noise_levels(method["fake_sigma_law"], batch)
    )
    return {
        "fake_z": torch.randn(shape),
        "fake_sigma": mixed,
        "fake_noise": torch.randn(shape),
        "z": torch.randn(shape),
        "sigma": noise_levels(method["sigma_law"], batch),
        "noise": torch.randn(shape),
    }


def noise_levels(distribution, batch):
    """Draws `batch` noise levels (see `divergence::SigmaDistribution`)."""
    ((kind, of),) = distribution.items()
    if kind == "log-normal":
        return (torch.randn(batch) * of["std"] + of["mean"]).exp()
    if kind == "karras-ramp":
        low, high = of["min"] ** (1 / of["rho"]), of["max"] ** (1 / of["rho"])
        return (low + torch.rand(batch) * of["t_max"] * (high - low)) ** of["rho"]
    raise SystemExit(f"the peer has no distribution {kind!r}")
