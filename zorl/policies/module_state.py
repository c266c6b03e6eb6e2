"""What a torch module remembers from step to step, and modules that would forget it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn

from zorl.common.errors import ConfigurationError

SIGNATURE = (
    "for a memory let forward take (features, state), with state None where an episode begins, and "
    "return (outputs, state)"
)


@dataclass(frozen=True)
class ModuleState:
    """A state of tensors, alone or in tuples, as m numbers in a row.

    Attributes:
        shapes: of the tensors: a shape, or a tuple of such.
        size: m.
    """

    shapes: Any
    size: int

    @staticmethod
    def of(module: nn.Module, inputs: int) -> ModuleState | None:
        """The state that a module's `forward` takes and returns; None if it has no such signature.

        Raises:
            ConfigurationError: it returns something that cannot be kept, or does not begin with 0.
        """
        if not _takes_state(module):
            return None
        generator = torch.Generator().manual_seed(0)
        features = torch.randn((1, inputs), generator=generator)
        name = type(module).__name__
        with torch.no_grad():
            try:
                result = module(features, None)
            except Exception:  # the second argument is something else, or the call says what fails
                return None
            if not (isinstance(result, tuple) and len(result) == 2):
                return None
            found = ModuleState.like(result[1], name)
            again = module(features, found.unflatten(torch.zeros(found.size)))
            same = torch.equal(found.flatten(again[1], name), found.flatten(result[1], name))
            if not (same and torch.equal(again[0], result[0])):
                raise ConfigurationError(
                    f"{name} begins otherwise with the state None than with zeros: a policy's "
                    "memory is 0 where an episode begins; add a learned start inside of forward"
                )
        return found

    @staticmethod
    def like(state: Any, name: str) -> ModuleState:
        """The layout of a state.

        Raises:
            ConfigurationError: it is no tensor of float32, and no tuple of such.
        """
        shapes = _shapes(state, name)
        return ModuleState(shapes, _size(shapes))

    def unflatten(self, row: torch.Tensor) -> Any:
        """The state from its numbers (m,)."""
        return _unflattened(self.shapes, row)

    def flatten(self, state: Any, name: str) -> torch.Tensor:
        """(m,) the numbers of a state.

        Raises:
            ConfigurationError: it has another shape than the first one had.
        """
        found = _shapes(state, name)
        if found != self.shapes:
            raise ConfigurationError(
                f"{name} must return a state of the same shape at every step, {self.shapes}, got "
                f"{found}"
            )
        return torch.cat([tensor.reshape(-1) for tensor in _tensors(state)])


@contextlib.contextmanager
def counted_steps(module: nn.Module) -> Iterator[dict[str, int]]:
    """How many steps of a sequence each recurrent layer, by name, is given in here."""
    steps: dict[str, int] = {}
    handles = []
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):

            def count(layer: Any, given: Any, name: str = name) -> None:
                steps[name] = steps.get(name, 0) + _steps(layer, given[0])

            handles.append(layer.register_forward_pre_hook(count))
    try:
        yield steps
    finally:
        for handle in handles:
            handle.remove()


def refuse_lost_memory(module: nn.Module, steps: Mapping[str, int]) -> None:
    """Refuse a module without state if a recurrent layer is given a single step in a call.

    A GRU that reads the numbers of one observation, or stacked ones, one after the other is no
    memory. One that reads a single step begins anew at each, and remembers nothing.

    Raises:
        ConfigurationError: naming the layer, and what would give it a memory.
    """
    for name, number in steps.items():
        if number <= 1:
            layer = type(module.get_submodule(name)).__name__
            raise ConfigurationError(
                f"the {layer} {name!r} of {type(module).__name__} begins anew at every step, so "
                f"that the policy would be played without its memory; {SIGNATURE}"
            )


def _takes_state(module: nn.Module) -> bool:
    """Whether `forward` takes two arguments."""
    try:
        inspect.signature(module.forward).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _steps(layer: Any, features: Any) -> int:
    """How many steps of a sequence a recurrent layer is given."""
    if isinstance(layer, nn.RNNCellBase):
        return 1
    if not isinstance(features, torch.Tensor):  # packed sequences are sequences
        return 2
    batched = features.ndim == 3 and layer.batch_first
    return int(features.shape[1 if batched else 0])


def _shapes(state: Any, name: str) -> Any:
    if isinstance(state, (tuple, list)) and state:
        return tuple(_shapes(part, name) for part in state)
    if isinstance(state, torch.Tensor) and state.dtype == torch.float32:
        return torch.Size(state.shape)
    kind = state.dtype if isinstance(state, torch.Tensor) else type(state).__name__
    raise ConfigurationError(
        f"the state of {name} must be a tensor of torch.float32, or a tuple of such, got {kind}"
    )


def _size(shapes: Any) -> int:
    return prod(shapes) if isinstance(shapes, torch.Size) else sum(map(_size, shapes))


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
        return
    for part in state:
        yield from _tensors(part)


def _unflattened(shapes: Any, row: torch.Tensor) -> Any:
    if isinstance(shapes, torch.Size):
        return row.reshape(shapes)
    parts, at = [], 0
    for shape in shapes:
        size = _size(shape)
        parts.append(_unflattened(shape, row[at : at + size]))
        at += size
    return tuple(parts)
