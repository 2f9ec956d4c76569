"""The PyTorch side of a benchmark: a case made ready, then run once for each line `go`.

    peer.py verify FOLDER --mode MODE    compares with what the workspace computed; prints the errors
    peer.py run FOLDER --mode MODE       speaks the protocol of `benches/src/bin/subject.rs`

FOLDER is what `subject record` wrote. MODE is `eager`, `channels_last` or `compile`.
"""

import argparse
import json
import os
import sys
import time

import torch
from safetensors import safe_open

import acts
import distillation
from inception import Inception
from networks import Denoiser

# Level of the one-step generator's input: `sampling::SIGMA_INIT`.
SIGMA_INIT = 2.5
MODES = ["eager", "channels_last", "compile"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["verify", "run"])
    parser.add_argument("folder")
    parser.add_argument("--mode", choices=MODES, default="eager")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    case = Case(options.folder, options.mode)
    if options.verb == "verify":
        # Imported here: what it needs is not part of what is timed.
        import verify

        verify.verify(case, options.folder)
    else:
        serve(case)


class Case:
    """Networks and inputs of one case."""

    def __init__(self, folder, mode):
        path = os.path.join(folder, "inputs.safetensors")
        self.weights, self.inputs = {}, {}
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            for name in file.keys():
                kind, rest = name.split("/", 1)
                # A copy: tensors of the file are pages of the file.
                tensor = file.get_tensor(name).clone()
                if kind == "input":
                    self.inputs[rest] = tensor
                else:
                    player, rest = rest.split("/", 1)
                    self.weights.setdefault(player, {})[rest] = tensor
        self.mode = mode
        self.work = json.loads(metadata["case"])["work"]
        # What is not a network's act is its own: `product`, `features`, `frechet`.
        self.act = self.work.get("act", {"kind": self.work["kind"]})
        self.step = None
        self.nets = {player: self.network(weights) for player, weights in self.weights.items()}
        self.weights = None
        if self.act["kind"] == "step":
            self.nets["teacher"].requires_grad_(False)
            players = (self.nets[it] for it in ["generator", "teacher", "fake"])
            self.step = distillation.Step(json.loads(metadata["config"]), *players)
        elif self.act["kind"] == "input":
            self.nets["network"].requires_grad_(False)

    def network(self, weights):
        if self.act["kind"] == "features":
            net = Inception(weights).requires_grad_(False)
        else:
            net = self.denoiser(weights)
        if self.mode == "channels_last":
            net = net.to(memory_format=torch.channels_last)
        if self.mode == "compile":
            net.compile()
        return net

    def denoiser(self, weights):
        net = Denoiser(self.work["network"])
        # Filters of resampling are constants that PyTorch's own pooling does not need.
        weights = {k: v for k, v in weights.items() if not k.endswith("resample_filter")}
        net.load_state_dict(weights, assign=True)
        for weight in net.parameters():
            weight.requires_grad_(True)
        return net

    def run(self, draws=None):
        """One iteration; returns what it computes."""
        kind, inputs = self.act["kind"], self.inputs
        if kind == "product":
            return inputs["a"] @ inputs["b"]
        if kind == "features":
            return self.nets["inception"](inputs["x"])
        if kind == "frechet":
            # Imported here: SciPy is needed by this act alone.
            import frechet

            return torch.tensor(frechet.distance(inputs["a"].numpy(), inputs["b"].numpy()))
        if kind == "step":
            step = self.step
            return step.run(draws or distillation.fresh_draws(step.config, inputs["z"].shape))
        net = self.nets["network"]
        if kind == "forward":
            return acts.denoiser_forward(net, inputs)
        if kind == "weights":
            return acts.by_weights(net, inputs)
        if kind == "input":
            return acts.by_input(net, inputs)
        if kind == "generate":
            return acts.one_step(net, inputs["cotangent"], SIGMA_INIT)
        if kind == "heun":
            return acts.heun(net, inputs["cotangent"], self.act["steps"])
        raise SystemExit(f"the peer does not know the act {kind!r}")


def serve(case):
    tell({"ready": True})
    for line in sys.stdin:
        word = line.strip()
        if word == "go":
            cpu, start = time.process_time(), time.perf_counter()
            case.run()
            wall = time.perf_counter() - start
            tell({"wall": wall, "cpu": time.process_time() - cpu})
        elif word == "end":
            return tell({"peak": peak_memory()})
        else:
            raise SystemExit(f"`{word}` is neither `go` nor `end`")


def peak_memory():
    """Largest resident memory so far, in bytes; None where the kernel does not tell."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def tell(value):
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
