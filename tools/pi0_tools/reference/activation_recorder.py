"""Records what LeRobot's modules receive and return while LeRobot itself runs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lerobot.policies.pi_gemma import PiGemmaRMSNorm
from torch import nn


class ActivationRecorder:
    """Inputs and outputs of named modules, of the latest call of each, without the batch dimension.

    gates: what an adaptive norm returns beside its output.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, torch.Tensor] = {}
        self.outputs: dict[str, torch.Tensor] = {}
        self.gates: dict[str, torch.Tensor] = {}

    def _hook(self, name: str):
        def record(_module, arguments, keyword_arguments, output):
            entered = arguments[0] if arguments else keyword_arguments["hidden_states"]
            left = output[0] if isinstance(output, tuple) else output
            self.inputs[name] = entered.detach().squeeze(0).clone()
            self.outputs[name] = left.detach().squeeze(0).clone()

        return record

    def _gate_hook(self, name: str):
        def record(_module, _arguments, output):
            _, gate = output
            if gate is not None:
                self.gates[name] = gate.detach().flatten().clone()

        return record

    @contextmanager
    def watching(self, modules: dict[str, nn.Module]) -> Iterator["ActivationRecorder"]:
        handles = [module.register_forward_hook(self._hook(name), with_kwargs=True) for name, module in modules.items()]
        handles += [
            module.register_forward_hook(self._gate_hook(name))
            for name, module in modules.items()
            if isinstance(module, PiGemmaRMSNorm)
        ]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
