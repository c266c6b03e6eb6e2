"""The kernel: whole episodes of whole populations, environment and policy fused, as one function.

Its source is generated for a twin, a network and a way of normalising, and kept as a file in the
user's cache, so that numba's compilation is done once a machine. There are `LANES` (candidate,
episode) pairs side by side, each number of theirs in a row of `LANES`; every loop over lanes is
free of branches and of a known length, and becomes SIMD. A lane whose episode ends takes the next
job from a counter that all threads share. No lane's arithmetic knows of another lane.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba

from zorl.envs.compiled import CompiledEnv, Twin
from zorl.policies import MlpPolicy
from zorl.rollout.compiled.translate import Translation

LANES = 64
_BLOCK = 8  # inputs of a neuron that are summed in one pass over the lanes
_HERE = Path(__file__).parent

ACTIVATIONS = {
    "tanh": "neuron_tanh(x)",
    "relu": "max(x, f4(0))",
    "sigmoid": "f4(0.5) + f4(0.5) * neuron_tanh(f4(0.5) * x)",
    "silu": "x * (f4(0.5) + f4(0.5) * neuron_tanh(f4(0.5) * x))",
    # e^x − 1 = 2t / (1 − t) with t = tanh(x/2)
    "elu": "x if x > 0 else f4(2) * neuron_tanh(f4(0.5) * x) "
    "/ (f4(1) - neuron_tanh(f4(0.5) * x))",
}


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
    policy: MlpPolicy
    exact: bool
    single_observations: bool
    normalise: bool
    learns: bool


def supported(policy: Any) -> bool:
    """Whether kernels can run a policy: an MLP that decides deterministically, with few outputs."""
    return (
        isinstance(policy, MlpPolicy)
        and policy.activation in ACTIVATIONS
        and policy.decoder.kind in ("discrete", "box")
        and not policy.decoder.stochastic
        and max(out for out, _ in policy.layers) <= 1024  # they lie on the stack
    )


def compiled(spec: Spec) -> Callable[..., None]:
    """The kernel of a spec, from the cache if it was made before."""
    return _loaded(kernel_source(spec))


def traced(env: CompiledEnv, actions: int, exact: bool) -> Callable[..., None]:
    """A function that plays one episode's given actions, to compare it step by step.

    `play(start, actions, observations, rewards, ends)` takes (states,) numbers and (t, a) actions,
    and fills (t + 1, o) observations, (t,) rewards and (t,) whether a step terminated.
    """
    return _loaded(trace_source(env, actions, exact))


def _loaded(source: str) -> Callable[..., None]:
    """The function `kernel` of a module with this source."""
    numerics = "".join((_HERE / f"{name}.py").read_text() for name in ("exact", "fast"))
    helpers = numerics + (_HERE / "intrinsics.py").read_text()
    # numba's own cache looks at this file alone: its name stands for all that goes into it.
    digest = hashlib.sha256((source + helpers).encode()).hexdigest()[:24]
    name = f"zorl_kernel_{digest}"
    if name not in sys.modules:
        path = _written(f"{name}.py", source)
        module_spec = importlib.util.spec_from_file_location(name, path)
        assert module_spec is not None
        assert module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[name] = module
        try:
            module_spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    kernel: Callable[..., None] = sys.modules[name].kernel
    return kernel


def cache_folder() -> Path:
    """Where kernels are kept: $ZORL_CACHE, or zorl in $XDG_CACHE_HOME, or ~/.cache/zorl."""
    if "ZORL_CACHE" in os.environ:
        return Path(os.environ["ZORL_CACHE"]) / "kernels"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "zorl" / "kernels"


def _written(name: str, source: str) -> Path:
    """The file of a kernel, which several processes may want to write at once."""
    for folder in (cache_folder(), Path(tempfile.gettempdir()) / f"zorl-kernels-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = folder / name
            if not path.exists() or path.read_text() != source:
                descriptor, part = tempfile.mkstemp(dir=folder, suffix=".part")
                with os.fdopen(descriptor, "w") as file:
                    file.write(source)
                Path(part).replace(path)
            return path
        except OSError as error:
            problem = error
    raise problem


def kernel_source(spec: Spec) -> str:
    """The kernel's module as text."""
    env, decoder = spec.twin.env, spec.policy.decoder
    translation = Translation()
    observe = translation.add(env.observe, "observe")
    step = translation.add(env.step, "step")
    rewards = [
        translation.add(twin.reward, f"reward{index}")
        for index, twin in enumerate(spec.twin.rewards)
    ]
    features = spec.policy.inputs
    actions = 1 if decoder.kind == "discrete" else decoder.outputs
    states = _parameters(env.step) - actions
    s, o, a = (range(count) for count in (states, features, actions))
    state = [f"s{i}" for i in s]
    lines = [
        f'"""Generated by zorl for {type(env).__name__}; see zorl.rollout.compiled.kernel."""',
        "import numpy as np",
        "from numba import njit",
        f"from zorl.rollout.compiled.{'exact' if spec.exact else 'fast'} import *",
        "from zorl.rollout.compiled.intrinsics import stacked, taken",
        "f4 = np.float32",
        f"L = {LANES}",
        *(f"SIZE_{size} = {size} * L" for size in sorted({1, *_sizes(spec, states)})),
        f"SIZE_W = {spec.policy.dim} * L",
        "",
        *translation.sources,
        "",
        "@njit(nogil=True, cache=True, error_model='numpy', fastmath={'contract', 'nsz', 'arcp'})",
        "def kernel(thetas, jobs, run, episodes, counter, starts, limit, center, factor, clip,"
        " returns, natives, lengths, ends, sums, squares):",
    ]
    body: list[str] = []
    emit = body.append
    emit("k = len(jobs)")
    emit("W = np.empty(SIZE_W, np.float32)")
    emit(f"S = stacked(SIZE_{states}, real)")
    emit(f"X = stacked(SIZE_{features}, np.float32)")
    for index, (out, _) in enumerate(spec.policy.layers):
        emit(f"H{index} = stacked(SIZE_{out}, np.float32)")
    emit("acc = stacked(SIZE_1, np.float32)")
    for name in ("R", "N"):
        emit(f"{name} = stacked(SIZE_1, real)")
    for name in ("T", "live", "over", "ended"):
        emit(f"{name} = stacked(SIZE_1, np.int32)")
    if spec.learns:
        emit(f"M = stacked(SIZE_{features}, real)")
        emit(f"Q = stacked(SIZE_{features}, real)")
    emit("job = np.full(L, -1, np.int64)")
    emit("row_of = np.full(L, -1, np.int64)")
    emit("at = np.zeros(L, np.int64)")
    emit("stop = np.zeros(L, np.int64)")
    emit("over[:] = 1; live[:] = 0; T[:] = 0; ended[:] = 0")
    emit("W[:] = 0; S[:] = 0; R[:] = 0; N[:] = 0")
    if spec.learns:
        emit("M[:] = 0; Q[:] = 0")
    if spec.normalise:
        for i in o:
            emit(f"center{i} = real(center[{i}]); factor{i} = real(factor[{i}])")
        emit("top = real(clip)")
    emit("steps = np.int32(limit)")
    emit("alive = 0")
    emit("while True:")
    emit("    finished = np.int32(0)")
    emit("    for l in range(L):")
    emit("        finished |= over[l]")
    emit("    if finished != 0:")
    emit("        for l in range(L):")
    emit("            if over[l] == 0:")
    emit("                continue")
    emit("            over[l] = 0")
    emit("            j = job[l]")
    emit("            if j >= 0:")
    emit("                returns[j] = R[l]; natives[j] = N[l]; lengths[j] = T[l]")
    emit("                ends[j] = ended[l] != 0")
    if spec.learns:
        for i in o:
            emit(f"                sums[j, {i}] = M[{i} * L + l]")
            emit(f"                squares[j, {i}] = Q[{i} * L + l]")
    emit("                live[l] = 0")
    emit("                job[l] = -1")
    emit("                alive -= 1")
    emit("                at[l] += 1")
    emit("            if at[l] >= stop[l]:")
    emit("                at[l] = taken(counter, run)")
    emit("                stop[l] = min(at[l] + run, k)")
    emit("            if at[l] < k:")
    emit("                j = jobs[at[l]]")
    emit("                row = j // episodes")
    emit("                column = j - row * episodes")
    emit("                if row != row_of[l]:")
    emit("                    row_of[l] = row")
    emit(f"                    for p in range({spec.policy.dim}):")
    emit("                        W[p * L + l] = thetas[row, p]")
    for i in s:
        emit(f"                S[{i} * L + l] = starts[column, {i}]")
    if spec.learns:
        for i in o:
            emit(f"                M[{i} * L + l] = 0; Q[{i} * L + l] = 0")
    emit("                R[l] = 0; N[l] = 0; T[l] = 0")
    emit("                live[l] = 1")
    emit("                job[l] = j")
    emit("                alive += 1")
    emit("        if alive == 0:")
    emit("            return")
    # One step of every lane: features, network, action, dynamics.
    rounded = "single" if spec.single_observations else "real"
    emit("    for l in range(L):")
    emit(f"        ({', '.join(f'o{i}' for i in o)},) = observe({_lanes('S', s)})")
    for i in o:
        if not spec.normalise:
            emit(f"        X[{i} * L + l] = f4({rounded}(o{i}))")
            continue
        emit(f"        d{i} = {rounded}(o{i}) - center{i}")
        if spec.learns:
            emit(f"        M[{i} * L + l] += d{i}")
            emit(f"        Q[{i} * L + l] += d{i} * d{i}")
        emit(f"        X[{i} * L + l] = f4(min(max(d{i} * factor{i}, -top), top))")
    body += [f"    {line}" for line in _network(spec.policy)]
    last = f"H{len(spec.policy.layers) - 1}"
    emit("    for l in range(L):")
    if decoder.kind == "discrete":
        emit(f"        best = {last}[l]")
        emit("        a0 = real(0)")
        for i in range(1, decoder.outputs):
            emit(f"        if {last}[{i} * L + l] > best:")
            emit(f"            best = {last}[{i} * L + l]")
            emit(f"            a0 = real({i})")
        if decoder.start[0]:
            emit(f"        a0 = a0 + real({decoder.start[0]})")
    else:
        half, middle, low, high = (values.tolist() for values in decoder._range)
        for i in a:
            # As in ActionDecoder: scaled and clipped in double, then rounded to the space's dtype.
            scaled = (
                f"real({last}[{i} * L + l]) * {_real(half[i])} + {_real(middle[i])}"
            )
            narrowed = "single" if decoder.dtype == "float32" else "real"
            emit(f"        a{i} = {narrowed}(min(max({scaled}, {_real(low[i])}), {_real(high[i])}))")
    action = ", ".join(f"a{i}" for i in a)
    emit(f"        ({', '.join(state)},), reward, terminated = {step}({_lanes('S', s)}, {action})")
    for i in s:
        emit(f"        S[{i} * L + l] = s{i}")
    emit("        N[l] += reward")
    if rewards:
        emit(f"        ({', '.join(f'o{i}' for i in o)},) = {observe}({', '.join(state)})")
        seen = ", ".join(f"{rounded}(o{i})" for i in o)
        for name in rewards:
            emit(f"        reward = {name}({seen}, reward, terminated)")
    emit("        R[l] += reward")
    emit("        t = T[l] + np.int32(1)")
    emit("        T[l] = t")
    emit("        end = np.int32(1) if truth(terminated) else np.int32(0)")
    emit("        ended[l] = end")
    emit("        late = np.int32(1) if t >= steps else np.int32(0)")
    emit("        over[l] = live[l] & (end | late)")
    return "\n".join([*lines, *(f"    {line}" for line in body), ""])


def trace_source(env: CompiledEnv, actions: int, exact: bool) -> str:
    """The module of `traced` as text."""
    translation = Translation()
    translation.add(env.observe, "observe")
    translation.add(env.step, "step")
    state = ", ".join(f"s{i}" for i in range(_parameters(env.step) - actions))
    action = ", ".join(f"real(actions[t, {i}])" for i in range(actions))
    return f'''"""Generated by zorl for {type(env).__name__}; see zorl.rollout.compiled.kernel."""
import numpy as np
from numba import njit
from zorl.rollout.compiled.{"exact" if exact else "fast"} import *

{chr(10).join(translation.sources)}

@njit(nogil=True, cache=True, error_model='numpy')
def kernel(start, actions, observations, rewards, ends):
    ({state},) = start
    for i, x in enumerate(observe({state})):
        observations[0, i] = x
    for t in range(len(actions)):
        ({state},), reward, terminated = step({state}, {action})
        for i, x in enumerate(observe({state})):
            observations[t + 1, i] = x
        rewards[t] = reward
        ends[t] = truth(terminated)
'''


def _network(policy: MlpPolicy) -> list[str]:
    """The forward pass: each neuron is a loop over lanes, its inputs summed in blocks."""
    lines = []
    source, at = "X", 0
    layers = policy.layers
    for index, (out, fan_in) in enumerate(layers):
        bias = at + out * fan_in
        activation = ACTIVATIONS[policy.activation] if index < len(layers) - 1 else "x"
        lines.append(f"for j in range({out}):")
        start = f"W[({bias} + j) * L + l]" if policy.bias else "f4(0)"
        blocks = [range(i, min(i + _BLOCK, fan_in)) for i in range(0, fan_in, _BLOCK)]
        for number, block in enumerate(blocks):
            terms = [f"W[({at} + j * {fan_in} + {i}) * L + l] * {source}[{i} * L + l]" for i in block]
            total = " + ".join([start if number == 0 else "acc[l]", *terms])
            lines.append("    for l in range(L):")
            if number < len(blocks) - 1:
                lines.append(f"        acc[l] = {total}")
            else:
                lines.append(f"        x = {total}")
                lines.append(f"        H{index}[j * L + l] = {activation}")
        source, at = f"H{index}", bias + out * policy.bias
    return lines


def _sizes(spec: Spec, states: int) -> Sequence[int]:
    return [states, spec.policy.inputs, *(out for out, _ in spec.policy.layers)]


def _lanes(name: str, indices: range) -> str:
    return ", ".join(f"{name}[{i} * L + l]" for i in indices)


def _real(value: float) -> str:
    return f"real({value!r})" if abs(value) != float("inf") else f"real({'-' * (value < 0)}np.inf)"


def _parameters(function: Callable[..., Any]) -> int:
    import inspect

    return len(inspect.signature(function).parameters)


def numba_version() -> str:
    """The compiler, for a run's config."""
    return str(numba.__version__)
