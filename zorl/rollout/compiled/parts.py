"""The lines of a kernel that depend on the twin, the network and the normalisation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zorl.envs.twins.base import Twin
from zorl.policies.mlp import MlpPolicy
from zorl.rollout.compiled.layers import Network, activated, looped, network_lines, sizes_of
from zorl.rollout.compiled.translate import Translation

LANES = 64
_UNROLLED = 200  # parameters of the largest network that is part of the one loop over lanes

# numpy's argmax is the first of the largest, or the first NaN.
_LARGER = {False: "x > best", True: "(x > best) | ((x != x) & (best == best))"}


@dataclass(frozen=True)
class Spec:
    """What a kernel is generated for.

    Attributes:
        twin: the task.
        policy: the network and what its outputs mean.
        exact: double precision with the C library's functions, instead of single with SIMD's.
        single_observations: the environment hands out float32.
        normalise: whether observations are normalised at all.
        learns: whether their moments are wanted.
    """

    twin: Twin
    policy: Network
    exact: bool
    single_observations: bool
    normalise: bool
    learns: bool


class Parts:
    """Of the kernel that a spec asks for; `l` is the lane."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        policy, twin = spec.policy, spec.twin
        self.translation = Translation()
        self.translation.add(twin.env.observe, "observe")
        self.translation.add(twin.env.step, "step")
        self.rewards = [
            self.translation.add(reward.reward, f"reward{index}")
            for index, reward in enumerate(twin.rewards)
        ]
        self.actions = 1 if policy.decoder.kind == "discrete" else policy.decoder.outputs
        self.states = range(parameters(twin.env.step) - self.actions)
        self.features = range(policy.inputs)
        self.rounded = "single" if spec.single_observations else "real"
        # A small network's neurons are numbers of the one loop over lanes, and stay in registers.
        self.unrolled = policy.dim <= _UNROLLED and not policy.state_size

    def arrays(self) -> list[str]:
        """What lanes hold: parameters, the state, moments, the values of neurons.

        Each number has an array of its own, on the stack, so that no two can overlap; the
        parameters of large networks are too many for that.
        """
        weights = "stacked(WEIGHTS, np.float32)" if self.unrolled else "np.empty(WEIGHTS, f4)"
        lines = [f"W = {weights}"]
        for i in self.states:
            lines += [f"S{i} = stacked(ROW, real)", f"S{i}[:] = 0"]
        if self.spec.learns:
            for i in self.features:
                lines += [f"M{i} = stacked(ROW, real)", f"Q{i} = stacked(ROW, real)"]
                lines += [f"M{i}[:] = 0; Q{i}[:] = 0"]
        if not self.unrolled:
            sizes = sizes_of(self.spec.policy)
            lines += [f"{a} = stacked({size * LANES}, np.float32)" for a, size in sizes.items()]
            lines.append("sums_of = stacked(ROW, np.float32)")
        if self.spec.policy.state_size:
            lines.append("C[:] = 0")
        return lines

    def constants(self) -> list[str]:
        """Of the normalizer."""
        if not self.spec.normalise:
            return []
        lines = [
            f"center{i} = real(center[{i}]); factor{i} = real(factor[{i}])" for i in self.features
        ]
        return [*lines, "top = real(clip)"]

    def record(self) -> list[str]:
        """The results of lane l's episode into its job's place."""
        lines = [
            "returns[j] = R[l] + B[l]; natives[j] = N[l]; lengths[j] = T[l]",
            "ends[j] = ended[l] != 0",
        ]
        if self.spec.learns:
            lines += [f"sums[j, {i}] = M{i}[l]; squares[j, {i}] = Q{i}[l]" for i in self.features]
        return lines

    def begin(self) -> list[str]:
        """The starting state of lane l's next episode."""
        lines = [f"S{i}[l] = starts[column, {i}]" for i in self.states]
        if self.spec.learns:
            lines += [f"M{i}[l] = 0; Q{i}[l] = 0" for i in self.features]
        if size := self.spec.policy.state_size:
            lines += [f"for i in range({size}):", "    C[i * L + l] = 0"]
        return lines

    def step(self) -> list[str]:
        """One step of every lane."""
        if self.unrolled:
            lines, outputs = self._neurons()
            return looped([*self._observe(), *lines, *self._act(outputs), *self._step()])
        lines, outputs = network_lines(self.spec.policy, self.spec.exact)
        features = [f"H0[{i} * L + l] = x{i}" for i in self.features]
        return [
            *looped([*self._observe(), *features]),
            *lines,
            *looped([*self._act(outputs), *self._step()]),
        ]

    def _observe(self) -> list[str]:
        """Features x0, x1, … and moments."""
        kept = self.spec.twin.kept or self.features
        lines = [f"seen = observe({_lanes(self.states)})"]
        lines += [f"o{i} = {self.rounded}(seen[{k}])" for i, k in enumerate(kept)]
        # As in Gymnasium's episodes, what is not finite in the observation or in the return so far
        # ends the episode, and nobody acts on it: B is NaN then, and 0 otherwise.
        terms = [f"real(0) * {x}" for x in ("R[l]", *(f"o{i}" for i in self.features))]
        lines += [f"B[l] = {' + '.join(terms)}", "sound = B[l] == 0"]
        for i in self.features:
            if not self.spec.normalise:
                lines.append(f"x{i} = f4(o{i})")
                continue
            lines.append(f"d{i} = o{i} - center{i}")
            if self.spec.learns:
                lines.append(f"M{i}[l] += d{i} if sound else real(0)")
                lines.append(f"Q{i}[l] += d{i} * d{i} if sound else real(0)")
            lines.append(f"x{i} = f4(min(max(d{i} * factor{i}, -top), top))")
        return lines

    def _neurons(self) -> tuple[list[str], list[str]]:
        """The network as one expression a neuron; and its outputs."""
        policy, lines = self.spec.policy, []
        assert isinstance(policy, MlpPolicy)  # one with memory is too large for this
        source, at = [f"x{i}" for i in self.features], 0
        for index, (out, fan_in) in enumerate(policy.layers):
            bias = at + out * fan_in
            names = [f"h{index}_{j}" for j in range(out)]
            for j, name in enumerate(names):
                start = f"W[{bias + j} * L + l]" if policy.bias else "f4(0)"
                weights = [f"W[{at + j * fan_in + i} * L + l]" for i in range(fan_in)]
                terms = [f"{w} * {x}" for w, x in zip(weights, source, strict=True)]
                lines.append(f"x = {' + '.join([start, *terms])}")
                last = index == len(policy.layers) - 1
                value = activated(policy, self.spec.exact, last)
                lines.append(f"{name} = {value}")
            source, at = names, bias + out * policy.bias
        return lines, source

    def _act(self, outputs: list[str]) -> list[str]:
        """The action a0, a1, … from the network's outputs."""
        decoder = self.spec.policy.decoder
        if decoder.kind == "discrete":
            lines = [f"best = {outputs[0]}", "a0 = real(0)"]
            for i, output in enumerate(outputs[1:], 1):
                lines += [f"x = {output}", f"if {_LARGER[self.spec.exact]}:"]
                lines += ["    best = x", f"    a0 = real({i})"]
            return [*lines, f"a0 = a0 + real({decoder.start[0]})"] if decoder.start[0] else lines
        # As in ActionDecoder: scaled and clipped in double, then rounded to the space's dtype.
        rounding = "single" if decoder.dtype == "float32" else "real"
        lines = []
        ranges = zip(*(values.tolist() for values in decoder.range), strict=True)
        for i, (output, (half, middle, low, high)) in enumerate(zip(outputs, ranges, strict=True)):
            scaled = f"real({output}) * {_real(half)} + {_real(middle)}"
            clipped = f"min(max({scaled}, {_real(low)}), {_real(high)})"
            lines.append(f"a{i} = {rounding}({clipped})")
        return lines

    def _step(self) -> list[str]:
        """The dynamics, the rewards, and whether the episode is over."""
        state = ", ".join(f"s{i}" for i in self.states)
        action = ", ".join(f"a{i}" for i in range(self.actions))
        lines = [
            f"({state},), reward, terminated = step({_lanes(self.states)}, {action})",
            *(f"S{i}[l] = s{i}" for i in self.states),
            "N[l] += reward",
        ]
        if self.rewards:
            lines.append(f"seen = observe({state})")
            size = parameters(self.spec.twin.rewards[0].reward) - 2
            seen = ", ".join(f"{self.rounded}(seen[{i}])" for i in range(size))
            lines += [f"reward = {name}({seen}, reward, terminated)" for name in self.rewards]
        return [
            *lines,
            "R[l] += reward",
            "step_taken = np.int32(1) if B[l] == 0 else np.int32(0)",
            "t = T[l] + step_taken",
            "T[l] = t",
            "end = np.int32(1) if truth(terminated) else np.int32(0)",
            "ended[l] = end",
            "late = np.int32(1) if t >= steps else np.int32(0)",
            "over[l] = live[l] & (end | late | (np.int32(1) - step_taken))",
        ]


def _lanes(states: range) -> str:
    """The state of lane l as arguments."""
    return ", ".join(f"S{i}[l]" for i in states)


def _real(value: float) -> str:
    return f"real({value!r})" if abs(value) != float("inf") else f"real({'-' * (value < 0)}np.inf)"


def parameters(function: Callable[..., Any]) -> int:
    """How many numbers a method of a twin takes."""
    return len(inspect.signature(function).parameters)
