"""SongUNet (DDPM++) and DhariwalUNet (ADM) in EDM's form, and EDM's preconditioning.

Built from the JSON of this workspace's `NetworkConfig`; options that no case uses are errors.
"""

import torch
import torch.nn.functional as F
from torch import nn

from layers import ROOT_HALF, Block, Conv, Linear, Norm, waves


class SongUNet(nn.Module):
    """DDPM++ (Song et al. 2021, arXiv:2011.13456)."""

    def __init__(self, options, resolution, channels):
        super().__init__()
        require(options, embedding_type="positional", encoder_type="standard")
        require(options, decoder_type="standard", resample_filter="box")
        width, mults = options["model_channels"], options["channel_mult"]
        self.noise = width * options["channel_mult_noise"]
        emb = width * options["channel_mult_emb"]
        style = {
            "emb": emb,
            "eps": 1e-6,
            "adaptive": False,
            "skip_scale": ROOT_HALF,
            "resample_proj": True,
        }
        blocks, attends = options["num_blocks"], options["attn_resolutions"]
        self.map_layer0 = Linear(self.noise, emb)
        self.map_layer1 = Linear(emb, emb)

        self.enc, skips, now = nn.ModuleDict(), [], width
        for level, mult in enumerate(mults):
            side = resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = Conv(channels, width, 3)
            else:
                self.enc[f"{side}x{side}_down"] = Block(now, now, style, "down")
            skips.append(now)
            for i in range(blocks):
                heads = int(side in attends)
                block = Block(now, width * mult, style, heads=heads)
                self.enc[f"{side}x{side}_block{i}"], now = block, width * mult
                skips.append(now)

        self.dec = nn.ModuleDict()
        for level, mult in reversed(list(enumerate(mults))):
            side = resolution >> level
            if level == len(mults) - 1:
                self.dec[f"{side}x{side}_in0"] = Block(now, now, style, heads=1)
                self.dec[f"{side}x{side}_in1"] = Block(now, now, style)
            else:
                self.dec[f"{side}x{side}_up"] = Block(now, now, style, "up")
            for i in range(blocks + 1):
                heads = int(i == blocks and side in attends)
                block = Block(now + skips.pop(), width * mult, style, heads=heads)
                self.dec[f"{side}x{side}_block{i}"], now = block, width * mult
        self.dec[f"{resolution}x{resolution}_aux_norm"] = Norm(now, style["eps"])
        self.dec[f"{resolution}x{resolution}_aux_conv"] = Conv(now, channels, 3)

    def forward(self, x, noise):
        cos, sin = waves(noise, self.noise // 2, self.noise // 2 - 1)
        emb = F.silu(self.map_layer0(torch.cat([sin, cos], dim=1)))
        emb = F.silu(self.map_layer1(emb))
        skips = []
        for layer in self.enc.values():
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if name.endswith("aux_norm"):
                x = F.silu(layer(x))
            elif name.endswith("aux_conv"):
                x = layer(x)
            else:
                x = layer(torch.cat([x, skips.pop()], 1) if "block" in name else x, emb)
        return x


class DhariwalUNet(nn.Module):
    """ADM (Dhariwal and Nichol 2021, arXiv:2105.05233)."""

    HEAD_CHANNELS = 64

    def __init__(self, options, resolution, channels):
        super().__init__()
        width, mults = options["model_channels"], options["channel_mult"]
        emb = width * options["channel_mult_emb"]
        style = {
            "emb": emb,
            "eps": 1e-5,
            "adaptive": True,
            "skip_scale": 1.0,
            "resample_proj": False,
        }
        self.width = width
        blocks, attends = options["num_blocks"], options["attn_resolutions"]
        self.map_layer0 = Linear(width, emb)
        self.map_layer1 = Linear(emb, emb)

        def block(inputs, outputs, resample="keep", attend=False):
            heads = outputs // self.HEAD_CHANNELS if attend else 0
            return Block(inputs, outputs, style, resample, heads)

        now = width * mults[0]
        self.enc = nn.ModuleDict()
        self.enc[f"{resolution}x{resolution}_conv"] = Conv(channels, now, 3)
        skips = [now]
        for level, mult in enumerate(mults):
            side = resolution >> level
            if level != 0:
                self.enc[f"{side}x{side}_down"] = block(now, now, "down")
                skips.append(now)
            for i in range(blocks):
                self.enc[f"{side}x{side}_block{i}"] = block(now, width * mult, attend=side in attends)
                now = width * mult
                skips.append(now)

        self.dec = nn.ModuleDict()
        for level, mult in reversed(list(enumerate(mults))):
            side = resolution >> level
            if level == len(mults) - 1:
                self.dec[f"{side}x{side}_in0"] = block(now, now, attend=True)
                self.dec[f"{side}x{side}_in1"] = block(now, now)
            else:
                self.dec[f"{side}x{side}_up"] = block(now, now, "up")
            for i in range(blocks + 1):
                inputs = now + skips.pop()
                self.dec[f"{side}x{side}_block{i}"] = block(
                    inputs, width * mult, attend=side in attends
                )
                now = width * mult
        self.out_norm = Norm(now, style["eps"])
        self.out_conv = Conv(now, channels, 3)

    def forward(self, x, noise):
        emb = torch.cat(waves(noise, self.width // 2, self.width // 2), dim=1)
        emb = F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))
        skips = []
        for layer in self.enc.values():
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            x = layer(torch.cat([x, skips.pop()], 1) if "block" in name else x, emb)
        return self.out_conv(F.silu(self.out_norm(x)))


class Denoiser(nn.Module):
    """`D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)` (arXiv:2206.00364, Table 1)."""

    KINDS = {"song": SongUNet, "dhariwal": DhariwalUNet}

    def __init__(self, config):
        super().__init__()
        require(config, label_dim=0, augment_dim=0, precond={"kind": "edm"})
        options = config["architecture"]
        kind = self.KINDS[options["kind"]]
        self.model = kind(options, config["img_resolution"], config["img_channels"])
        self.sigma_data = config["sigma_data"]

    def forward(self, x, sigma):
        level = sigma[:, None, None, None]
        variance = level.square() + self.sigma_data**2
        raw = self.model(x * variance.rsqrt(), sigma.log() / 4)
        skip = self.sigma_data**2 / variance
        return skip * x + level * self.sigma_data * variance.rsqrt() * raw


def require(options, **expected):
    """Rejects options that the peer does not implement."""
    for name, value in expected.items():
        if options.get(name, value) != value:
            raise SystemExit(f"{name} = {options[name]!r}: the peer implements {value!r} only")
