"""Parameters of a torch module as one flat vector, with a named layout, and back.

The order is torch's: `torch.nn.utils.parameters_to_vector` of the same module gives the same
numbers. A parameter that has several names (tied weights) is there once, under its first name. One
with `requires_grad=False` is frozen, as it is for torch's optimizers, and not there. Frozen
parameters and the buffers that are not searched are the fixed tensors: part of the policy all the
same, so files hold them by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.storage import Arrays
from zorl.common.types import Vector

Float32 = NDArray[np.float32]
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies in the vector.

    Attributes:
        name: its name in the module, as "0.weight".
        shape: its shape.
        offset: index of its first number.
    """

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    @property
    def stop(self) -> int:
        """Index after its last number."""
        return self.offset + self.size


@dataclass(frozen=True)
class Layout:
    """The tensors of a module in a flat vector.

    Attributes:
        entries: one a tensor, in order and without gaps.
    """

    entries: tuple[Entry, ...]

    @staticmethod
    def of(module: nn.Module, buffers: Iterable[str] = ()) -> Layout:
        """The layout of a module's parameters, and of the named buffers after them.

        Raises:
            ConfigurationError: nothing to search, or a tensor that is not float32.
            UnknownNameError: a buffer that is not there.
        """
        entries: list[Entry] = []
        for name, tensor in _tensors(module, tuple(buffers)):
            if tensor.dtype != torch.float32:
                raise ConfigurationError(
                    f"{name} is {tensor.dtype}, expected torch.float32: policies compute in "
                    "single precision; call .float() on the module"
                )
            offset = entries[-1].stop if entries else 0
            entries.append(Entry(name, tuple(tensor.shape), offset))
        if not entries or not entries[-1].stop:
            raise ConfigurationError(
                f"{type(module).__name__} has no parameters to search; are all of them frozen "
                "(requires_grad=False)?"
            )
        return Layout(tuple(entries))

    @property
    def dim(self) -> int:
        """d, the length of the vector."""
        return self.entries[-1].stop

    def flatten(self, module: nn.Module) -> Vector:
        """(d,) float64, a copy of the module's tensors.

        Raises:
            ConfigurationError: the module has other tensors than the layout.
        """
        names = tuple(entry.name for entry in self.entries)
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        theta = np.empty(self.dim)
        for entry in self.entries:
            tensor = tensors.get(entry.name)
            if tensor is None or tuple(tensor.shape) != entry.shape:
                got = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                raise ConfigurationError(
                    f"{type(module).__name__} does not have the layout {names}: {entry.name} must "
                    f"have shape {entry.shape}, found {got}"
                )
            theta[entry.offset : entry.stop] = tensor.detach().cpu().numpy().ravel()
        return theta

    def unflatten(self, theta: NDArray[np.floating]) -> dict[str, Float32]:
        """Copies of the tensors by name, float32.

        Raises:
            ConfigurationError: theta is not (d,) floats, or not finite in float32.
        """
        copy = self._checked(theta)
        return {
            entry.name: copy[entry.offset : entry.stop].reshape(entry.shape)
            for entry in self.entries
        }

    def load(self, module: nn.Module, theta: NDArray[np.floating]) -> None:
        """Write theta (d,) into a module's tensors.

        Raises:
            ConfigurationError: as `flatten` and `unflatten`.
        """
        self.flatten(module)  # complains of a module of another layout
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        with torch.no_grad():
            for name, values in self.unflatten(theta).items():
                tensors[name].copy_(torch.from_numpy(values))

    def fixed(self, module: nn.Module) -> Arrays:
        """Copies of the fixed tensors by name, as numpy has them (bfloat16 as float32)."""
        return {name: _as_array(tensor) for name, tensor in self._fixed_tensors(module).items()}

    def load_fixed(self, module: nn.Module, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Write into a module's fixed tensors what `fixed` took from another one.

        Raises:
            ConfigurationError: the module has other fixed tensors, by name, shape or dtype.
        """
        tensors = self._fixed_tensors(module)
        other = sorted(tensors.keys() ^ arrays.keys())
        if other:
            where = "the module" if other[0] in tensors else "the file"
            raise ConfigurationError(
                f"{type(module).__name__} is not the saved network: only {where} has the buffer or "
                f"frozen parameter {other[0]}"
            )
        for name, tensor in tensors.items():
            own, saved = _as_array(tensor), arrays[name]
            if (own.shape, own.dtype) != (saved.shape, saved.dtype):
                raise ConfigurationError(
                    f"{type(module).__name__} is not the saved network: its {name} is {own.dtype} "
                    f"of shape {own.shape}, the saved one {saved.dtype} of shape {saved.shape}"
                )
        with torch.no_grad():
            for name, tensor in tensors.items():
                saved_tensor = torch.from_numpy(arrays[name].copy())
                if tensor.is_complex():
                    saved_tensor = torch.view_as_complex(saved_tensor)
                tensor.copy_(saved_tensor)

    def _fixed_tensors(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """The module's tensors that theta does not hold; tied ones once."""
        searched = {entry.name for entry in self.entries}
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {name: tensor for name, tensor in tensors.items() if name not in searched}

    def _checked(self, theta: NDArray[np.floating]) -> Float32:
        """A copy in float32."""
        theta = np.asarray(theta)
        if theta.shape != (self.dim,) or theta.dtype.kind != "f":
            raise ConfigurationError(
                f"theta must be {self.dim} floats, got {theta.dtype} of shape {theta.shape}"
            )
        with np.errstate(over="ignore"):
            single = theta.astype(np.float32)
        if not np.isfinite(single).all():
            raise ConfigurationError("theta has values that are no finite numbers in float32")
        return single


def _as_array(tensor: torch.Tensor) -> NDArray[np.generic]:
    """A copy of a tensor's numbers, in a dtype that numpy and files know."""
    tensor = tensor.detach().cpu()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.dtype.is_floating_point and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()  # exact
    array: NDArray[np.generic] = tensor.numpy().copy()
    return array


def _tensors(module: nn.Module, buffers: tuple[str, ...]) -> Iterator[tuple[str, torch.Tensor]]:
    """What is searched, by name; tied tensors once."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
    own = dict(module.named_buffers())
    for name in dict.fromkeys(buffers):
        if name not in own:
            raise UnknownNameError("buffer", name, own)
        yield name, own[name]
