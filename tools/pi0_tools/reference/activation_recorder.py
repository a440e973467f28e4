"""Records what LeRobot's modules receive and return while LeRobot itself runs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class ActivationRecorder:
    """Inputs and outputs of named modules, of the latest call of each, without the batch dimension."""

    def __init__(self) -> None:
        self.inputs: dict[str, torch.Tensor] = {}
        self.outputs: dict[str, torch.Tensor] = {}

    def _hook(self, name: str):
        def record(_module, arguments, keyword_arguments, output):
            entered = arguments[0] if arguments else keyword_arguments["hidden_states"]
            left = output[0] if isinstance(output, tuple) else output
            self.inputs[name] = entered.detach().squeeze(0).clone()
            self.outputs[name] = left.detach().squeeze(0).clone()

        return record

    @contextmanager
    def watching(self, modules: dict[str, nn.Module]) -> Iterator["ActivationRecorder"]:
        handles = [module.register_forward_hook(self._hook(name), with_kwargs=True) for name, module in modules.items()]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
