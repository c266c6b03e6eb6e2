"""Policies that are torch modules: any network, each row of a batch with its own parameters."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call, vmap

from zorl.common.errors import ConfigurationError
from zorl.common.storage import Arrays
from zorl.common.types import Vector
from zorl.policies.mlp import Actor, Array, Float32, check_states, check_thetas
from zorl.policies.module_state import SIGNATURE, ModuleState, counted_steps, refuse_lost_memory
from zorl.policies.parameters import Layout
from zorl.policies.spaces import ActionDecoder, Actions

Factory = Callable[[int, int], nn.Module]
log = logging.getLogger("zorl")

_BLOCK = 32  # rows computed at a time; see ModulePolicy
_ALIGNED = 16  # numbers; 64 bytes
_MOST_NUMBERS = 2**24  # of parameters in a block


class ModulePolicy:
    """Any `nn.Module` as a policy.

    The module is given float32 features of shape (1, o), normalised and flattened, and returns
    (1, outputs). One with a memory also takes its state, and returns both: (outputs, state); a
    state is a tensor or a tuple of tensors, and 0, or None, where an episode begins. The module
    runs in eval mode, so that dropout is off and batch normalisation uses its buffers; buffers are
    not searched unless they are named.

    A row's bits must not depend on its neighbours. `torch.func.vmap` runs rows in blocks that are
    always 32 rows long: kernels then have the same shapes whatever the number of lanes, and no
    remainder that is computed in another way than the rest. Whether a row comes out the same in
    every place and among any neighbours is tried out here, once; a module for which it does not,
    or that vmap cannot run, is run row by row, which is slower; a warning says so.

    Args:
        source: a module, whose parameters are the starting point; or a factory that makes one
            from the numbers of features and of outputs, and whose own initialisation, seeded, is.
        inputs: o, number of features.
        decoder: what the outputs mean.
        buffers: names of buffers to search too.
        fixed: buffers and frozen parameters by name, from `fixed` of the same network, instead of
            the source's own.
        name: under which the source can be imported, as "module:function"; "<…>" where it has none.

    Attributes:
        module: a copy in eval mode; its parameters stand for nothing in particular.
        layout: where each of its tensors lies in theta.
        block: rows computed at a time, 32 or 1.
        state: what it remembers; None: nothing.

    Raises:
        ConfigurationError: a module that does not fit, or not with `fixed`, or is random.
    """

    def __init__(
        self,
        source: nn.Module | Factory,
        inputs: int,
        decoder: ActionDecoder,
        buffers: tuple[str, ...] = (),
        *,
        fixed: Mapping[str, NDArray[Any]] | None = None,
        name: str = "<network>",
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.decoder = decoder
        self._factory = None if isinstance(source, nn.Module) else source
        module = source if isinstance(source, nn.Module) else self._make(0)
        self.module = _copy(module, needed=self._factory is None).to("cpu").eval()
        self.layout = Layout.of(self.module, buffers)
        if fixed is not None:
            self.layout.load_fixed(self.module, fixed)
        self._start = self.layout.flatten(self.module)
        self.state = ModuleState.of(self.module, inputs)
        self.block = 1
        self._check_outputs()
        if _BLOCK * self.dim <= _MOST_NUMBERS:
            self.block = _BLOCK
            reason = self._why_not_in_blocks()
            if reason:
                self.block = 1
                log.warning("%s runs row by row: %s", type(self.module).__name__, reason)

    def _make(self, seed: int) -> nn.Module:
        """A new module of the factory's."""
        assert self._factory is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self._factory(self.inputs, self.decoder.outputs)
            except Exception as error:  # its author's code, which may raise anything
                raise ConfigurationError(
                    f"the policy's factory raised {type(error).__name__} for {self.inputs} "
                    f"features and {self.decoder.outputs} outputs: {error}"
                ) from error
        if not isinstance(module, nn.Module):
            raise ConfigurationError(
                f"the policy's factory returned {type(module).__name__}, expected a torch.nn.Module"
            )
        return module

    @property
    def dim(self) -> int:
        """Number of parameters; tied ones count once."""
        return self.layout.dim

    @property
    def state_size(self) -> int:
        """See `Policy`."""
        return 0 if self.state is None else self.state.size

    @property
    def fixed(self) -> Arrays:
        """Copies of what is not searched, by name: buffers and frozen parameters."""
        return self.layout.fixed(self.module)

    def init(self, rng: np.random.Generator) -> Vector:
        """See `Policy.init`: the module's own initialisation, or the given module's parameters."""
        if self._factory is None:
            return self._start.copy()
        return self.layout.flatten(self._make(int(rng.integers(2**63))))

    def act(self, thetas: Array, observations: Array) -> Actions:
        """See `Policy.act`; with a memory, at the start of an episode."""
        return self.decoder.decode(self.forward(thetas, observations))

    def forward(self, thetas: Array, observations: Array, states: Float32 | None = None) -> Float32:
        """(n, outputs) network outputs for n normalised observations (n, o).

        `states` (n, m) are read and written; without them episodes begin.
        """
        features = np.asarray(observations)
        if features.ndim != 2 or features.shape[1] != self.inputs:
            raise ConfigurationError(
                f"observations must have shape (n, {self.inputs}), got {features.shape}"
            )
        n, rows = len(features), np.atleast_2d(thetas)
        if rows.ndim != 2 or rows.shape[1] != self.dim or len(rows) not in (1, n):
            raise ConfigurationError(
                f"thetas must be (n, {self.dim}) with n = {n} or 1, got {rows.shape}"
            )
        rows = np.array(np.broadcast_to(rows, (n, self.dim)), dtype=np.float32, order="C")
        if states is None:
            states = np.zeros((n, self.state_size), np.float32)
        return _Forward(self, rows, states)(n, features).copy()

    def bind(self, thetas: Float32, states: Float32 | None = None) -> Actor:
        """See `Policy.bind`."""
        check_thetas(thetas, self.dim)
        if states is None:
            states = np.zeros((len(thetas), 0), np.float32)
        check_states(states, len(thetas), self.state_size)
        forward, decode = _Forward(self, thetas, states), self.decoder.decode

        def actor(n: int, features: Array, uniforms: Array | None = None) -> Actions:
            return decode(forward(n, features), uniforms)

        return actor

    def _check_outputs(self) -> None:
        """Refuse a module that takes or gives other shapes, or does not give the same twice."""
        features = np.random.default_rng(0).normal(size=(1, self.inputs))
        buffers = {name: b.clone() for name, b in self.module.named_buffers()}
        try:
            with counted_steps(self.module) as steps:
                first = self.forward(self._start, features)
            second = self.forward(self._start, features)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"{type(self.module).__name__} failed on features of shape (1, {self.inputs}): "
                f"{type(error).__name__}: {error}"
            ) from error
        if not np.array_equal(first, second, equal_nan=True):
            raise ConfigurationError(
                f"{type(self.module).__name__} gives other outputs for the same features: a policy "
                "must be a function of its parameters and features; for random actions let the "
                f"agent be stochastic, and {SIGNATURE}"
            )
        if self.state is None:
            refuse_lost_memory(self.module, steps)
        for name, buffer in self.module.named_buffers():
            was = buffers.get(name, torch.empty(0))
            if buffer.shape != was.shape or bool(((buffer != was) & (was == was)).any()):
                raise ConfigurationError(
                    f"{type(self.module).__name__} changes its buffer {name} when it is called: "
                    f"what a policy does must not depend on what it did before; {SIGNATURE}"
                )

    def _why_not_in_blocks(self) -> str:
        """What keeps the module from being run in blocks; nothing if it is empty."""
        rng = np.random.default_rng(0)
        features = rng.normal(size=(_BLOCK, self.inputs))
        thetas = self._start + 0.1 * rng.normal(size=(_BLOCK, self.dim))
        states = rng.normal(size=(_BLOCK, self.state_size)).astype(np.float32)

        def computed(rows: Any) -> Array:
            after = states[rows].copy()
            outputs = self.forward(thetas[rows], features[rows], after)
            return np.concatenate([outputs, after], axis=1)

        try:
            expected = computed(slice(None))
            for shift in (1, 5, 16):
                order = np.roll(np.arange(_BLOCK), shift)
                moved, few = computed(order), computed(np.arange(shift, _BLOCK)[::-1])
                same = (moved, expected[order]), (few, expected[shift:][::-1])
                if not all(np.array_equal(a, b, equal_nan=True) for a, b in same):
                    return "a row's last bits depend on its place in a block"
        except Exception as error:
            return f"torch.func.vmap raised {type(error).__name__}: {error}"
        return ""


def _copy(module: nn.Module, needed: bool) -> nn.Module:
    """A copy of a module; the module itself where it cannot be copied and need not be.

    A factory may return a module that its author keeps, but most make a new one for each call.
    """
    try:
        return copy.deepcopy(module)
    except Exception:  # torch's and the author's, of tensors with a history, locks and the like
        if needed:
            raise
        return module


class _Forward:
    """The forward pass of a module over one buffer of parameters."""

    def __init__(self, policy: ModulePolicy, thetas: Float32, states: Float32) -> None:
        self._policy = policy
        self._thetas, self._states = thetas, states
        rows = -(-len(thetas) // policy.block) * policy.block
        # Torch's memory begins at a multiple of 64 bytes, and so does each row of this copy: where
        # a number lies decides in which order some libraries add it up.
        width = -(-policy.dim // _ALIGNED) * _ALIGNED
        parameters = torch.zeros((rows, width))
        features = torch.zeros((rows, policy.inputs))
        remembered = torch.zeros((rows, policy.state_size))
        self._remembered = remembered.numpy()
        self._rows = parameters.numpy()[:, : policy.dim]
        self._features = features.numpy()
        self._outputs = np.zeros((rows, policy.decoder.outputs), np.float32)
        self._blocks = [
            (
                {
                    entry.name: parameters[at : at + policy.block, entry.offset : entry.stop].view(
                        policy.block, *entry.shape
                    )
                    for entry in policy.layout.entries
                },
                features[at : at + policy.block],
                remembered[at : at + policy.block],
            )
            for at in range(0, rows, policy.block)
        ]
        self._batched = vmap(self._one)

    def __call__(self, n: int, features: Array) -> Float32:
        """(n, outputs) for features (n, o); the result is overwritten by the next call."""
        block = self._policy.block
        self._features[:n] = features
        self._rows[:n] = self._thetas[:n]
        self._remembered[:n] = self._states[:n]
        with torch.no_grad(), one_torch_thread():
            for index in range(-(-n // block)):
                parameters, rows, states = self._blocks[index]
                if block == 1:
                    row = {name: values[0] for name, values in parameters.items()}
                    outputs, after = (x[None] for x in self._one(row, rows[0], states[0]))
                else:
                    outputs, after = self._batched(parameters, rows, states)
                at = index * block
                self._outputs[at : at + block] = outputs.numpy()
                states.copy_(after)
        self._states[:n] = self._remembered[:n]
        return self._outputs[:n]

    def _one(
        self, parameters: dict[str, torch.Tensor], features: torch.Tensor, row: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(outputs,) of one row, and the numbers of its state after the step."""
        policy = self._policy
        module, kept = policy.module, policy.state
        if kept is None:
            outputs = functional_call(module, parameters, (features[None],))
        else:
            given = (features[None], kept.unflatten(row))
            outputs, state = functional_call(module, parameters, given)
            row = kept.flatten(state, type(module).__name__)
        shape = (1, policy.decoder.outputs)
        if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != shape:
            got = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs)
            raise ConfigurationError(
                f"{type(policy.module).__name__} must return a tensor of shape {shape} for "
                f"features of shape (1, {policy.inputs}), got {got}"
            )
        return outputs[0], row


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch computes in this thread alone; several would only wait for each other."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
