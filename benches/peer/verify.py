"""Verifies that the peer computes the workspace's results: relative errors, and a verdict."""

import json
import os

import torch
from safetensors import safe_open

# Largest relative error (Euclidean) of an output, and of a network's gradient as one vector. Only the
# orders of summation differ.
OUTPUT, GRADIENT = 1e-5, 1e-4
# Adam's first step is nearly the sign of the gradient, so that a small error of a gradient near zero
# changes the update by its full size.
UPDATE = 2e-2


def verify(case, folder):
    got = results(case)
    errors, scales = {}, {}
    path = os.path.join(folder, "expected.safetensors")
    with safe_open(path, "pt") as file:
        for name in file.keys():
            if name.endswith("resample_filter"):
                continue
            expected = file.get_tensor(name)
            if name not in got:
                raise SystemExit(f"the peer has no `{name}`")
            found, before = got.pop(name)
            key = name if name == "output" else "/".join(name.split("/")[:2])
            if name.startswith("gradient/model"):
                key = "gradient"
            difference = (found - expected).double().square().sum().item()
            # The update is compared, because the weights hardly change.
            scale = (expected if before is None else expected - before).double().square().sum().item()
            errors[key] = errors.get(key, 0.0) + difference
            scales[key] = scales.get(key, 0.0) + scale
    if got:
        raise SystemExit(f"the workspace has no {sorted(got)[0]!r}")
    relative = {key: (errors[key] / scales[key]) ** 0.5 for key in errors}
    print(json.dumps(relative), flush=True)
    for key, error in relative.items():
        limit = {"output": OUTPUT, "updated": UPDATE}.get(key.split("/")[0], GRADIENT)
        # Written so that a NaN fails.
        if not error < limit:
            raise SystemExit(f"{key}: relative error {error:.1e}, at most {limit:.0e}")


def results(case):
    """Returns tensors by the names of the expected file, each with the weights before an update."""
    kind = case.task["kind"]
    if kind == "step":
        return step_results(case)
    found = case.run()
    if kind == "input":
        return {"output": (found[0], None), "gradient/x": (found[1], None)}
    out = {"output": (found, None)}
    if kind == "weights":
        for name, weight in case.nets["network"].named_parameters():
            out[f"gradient/{name}"] = (weight.grad, None)
    return out


def step_results(case):
    players = ["generator", "fake"]
    named = {player: dict(case.nets[player].named_parameters()) for player in players}
    before = {
        player: {name: weight.detach().clone() for name, weight in weights.items()}
        for player, weights in named.items()
    }
    case.run(case.inputs)
    out = {}
    for player, weights in named.items():
        for name, weight in weights.items():
            out[f"gradient/{player}/{name}"] = (weight.grad, None)
            out[f"updated/{player}/{name}"] = (weight.detach(), before[player][name])
    for name, average in zip(named["generator"], case.step.average):
        out[f"updated/average/{name}"] = (average, before["generator"][name])
    return out
