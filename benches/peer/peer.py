"""The PyTorch side of a benchmark: prepares a case, then runs it once for each line `go`.

    peer.py verify FOLDER --mode MODE    compares with the workspace's results; prints the errors
    peer.py run FOLDER --mode MODE       follows the protocol of `benches/src/bin/subject.rs`

FOLDER is the folder that `subject record` wrote. MODE is `eager`, `channels_last` or `compile`.
"""

import argparse
import json
import os
import sys
import time

import torch
from safetensors import safe_open

import distillation
import tasks
from inception import Inception
from networks import Denoiser

# Noise level of the one-step generator's input: `sampling::SIGMA_INIT`.
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
        # Imported here, so that its memory is not part of a timed run.
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
                # A copy, because tensors of the file are pages of the file.
                tensor = file.get_tensor(name).clone()
                if kind == "input":
                    self.inputs[rest] = tensor
                else:
                    player, rest = rest.split("/", 1)
                    self.weights.setdefault(player, {})[rest] = tensor
        self.mode = mode
        self.work = json.loads(metadata["case"])["work"]
        # Work without a network is its own task: `product`, `features`, `frechet`.
        self.task = self.work.get("task", {"kind": self.work["kind"]})
        self.step = None
        self.nets = {player: self.network(weights) for player, weights in self.weights.items()}
        self.weights = None
        if self.task["kind"] == "step":
            self.nets["teacher"].requires_grad_(False)
            players = (self.nets[it] for it in ["generator", "teacher", "fake"])
            self.step = distillation.Step(json.loads(metadata["config"]), *players)
        elif self.task["kind"] == "input":
            self.nets["network"].requires_grad_(False)

    def network(self, weights):
        if self.task["kind"] == "features":
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
        # The filters of resampling are constants, which PyTorch's pooling does not need.
        weights = {k: v for k, v in weights.items() if not k.endswith("resample_filter")}
        net.load_state_dict(weights, assign=True)
        for weight in net.parameters():
            weight.requires_grad_(True)
        return net

    def run(self, draws=None):
        """Runs one iteration and returns its result."""
        kind, inputs = self.task["kind"], self.inputs
        if kind == "product":
            return inputs["a"] @ inputs["b"]
        if kind == "features":
            return self.nets["inception"](inputs["x"])
        if kind == "frechet":
            # Imported here, because only this task needs SciPy.
            import frechet

            return torch.tensor(frechet.distance(inputs["a"].numpy(), inputs["b"].numpy()))
        if kind == "step":
            step = self.step
            return step.run(draws or distillation.fresh_draws(step.config, inputs["z"].shape))
        net = self.nets["network"]
        if kind == "forward":
            return tasks.denoiser_forward(net, inputs)
        if kind == "weights":
            return tasks.grad_weights(net, inputs)
        if kind == "input":
            return tasks.grad_input(net, inputs)
        if kind == "generate":
            return tasks.one_step(net, inputs["cotangent"], SIGMA_INIT)
        if kind == "heun":
            return tasks.heun(net, inputs["cotangent"], self.task["steps"])
        raise SystemExit(f"the peer has no task {kind!r}")


def serve(case):
    send({"ready": True})
    for line in sys.stdin:
        word = line.strip()
        if word == "go":
            cpu, start = time.process_time(), time.perf_counter()
            case.run()
            wall = time.perf_counter() - start
            send({"wall": wall, "cpu": time.process_time() - cpu})
        elif word == "end":
            return send({"peak": peak_memory()})
        else:
            raise SystemExit(f"`{word}` is not a command; expected `go` or `end`")


def peak_memory():
    """Largest resident memory so far, in bytes; None if the system does not report it."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def send(value):
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
