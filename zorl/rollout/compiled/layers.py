"""The lines of a kernel that compute a network layer by layer, and what it remembers.

Every number of a layer has a row of lanes: H0 the features, C the state of a cell. `l` is the lane,
W are the parameters.
"""

from __future__ import annotations

from zorl.policies.activations import ACTIVATIONS
from zorl.policies.memory import ELMAN
from zorl.policies.mlp import MlpPolicy
from zorl.policies.recurrent import RecurrentPolicy

_BLOCK = 8  # inputs of a neuron that are summed in one pass over the lanes

Network = MlpPolicy | RecurrentPolicy
Source = tuple[str, int, int]  # an array, its size, and where the weights of its first neuron begin


def sizes_of(policy: Network) -> dict[str, int]:
    """The arrays of a network by name, and how many numbers of each lane they hold."""
    sizes = {f"H{i}": size for i, size in enumerate(policy.layout[3:])}
    if isinstance(policy, RecurrentPolicy):
        units = policy.state_size
        del sizes["H1"]  # of the cell
        sizes |= {"C": units, "D": units, "G": (policy.cell.gates - 1) * units or 1}
    return sizes


def network_lines(policy: Network, exact: bool) -> tuple[list[str], list[str]]:
    """The lines, and the outputs as expressions."""
    lines, at, source = [], 0, "H0"
    number = 1
    if isinstance(policy, RecurrentPolicy):
        lines, at, source = _cell(policy, exact), policy.cell_dim, "C"
        number = 2
    head = policy.head if isinstance(policy, RecurrentPolicy) else policy
    for index, (out, fan_in) in enumerate(head.layers, number):
        last = index == number + len(head.layers) - 1
        bias = at + out * fan_in
        value = activated(head, exact, last)
        target = f"H{index}"
        lines += _neurons(
            out,
            bias if policy.bias else None,
            [(source, fan_in, at)],
            [f"{target}[j * L + l] = {value}"],
        )
        at, source = bias + out * policy.bias, target
    return lines, [f"{source}[{i} * L + l]" for i in range(policy.decoder.outputs)]


def activated(policy: MlpPolicy, exact: bool, last: bool) -> str:
    """A neuron's value from its sum x, as an expression."""
    if last:
        return _activation("tanh", exact) if policy.squash else "x"
    return _activation(policy.activation, exact)


def _activation(name: str, exact: bool) -> str:
    activation = ACTIVATIONS[name]
    return f"neuron(x, {activation.number})" if exact else activation.fast


def looped(lines: list[str]) -> list[str]:
    """A loop over lanes around lines."""
    return ["for l in range(L):", *(f"    {line}" for line in lines)]


def _neurons(out: int, bias: int | None, sources: list[Source], ends: list[str]) -> list[str]:
    """A loop over lanes for each neuron j: its sum x of bias and inputs, in blocks, and its end."""
    lines = [f"for j in range({out}):"]
    total = "f4(0)" if bias is None else f"W[({bias} + j) * L + l]"
    terms = [
        f"W[({at} + j * {size} + {i}) * L + l] * {name}[{i} * L + l]"
        for name, size, at in sources
        for i in range(size)
    ]
    for first in range(0, len(terms), _BLOCK):
        inner = [f"x = {' + '.join([total, *terms[first : first + _BLOCK]])}"]
        inner += ends if first + _BLOCK >= len(terms) else ["sums_of[l] = x"]
        lines += [f"    {line}" for line in looped(inner)]
        total = "sums_of[l]"
    return lines


def _cell(policy: RecurrentPolicy, exact: bool) -> list[str]:
    """The state C after the features H0; see `RecurrentPolicy`."""
    o, h = policy.inputs, policy.state_size
    u = policy.rows * o  # where U begins
    b = u + policy.rows * h

    def sums(row: int, out: int, names: str, ends: list[str]) -> list[str]:
        sources = {"x": ("H0", o, row * o), "h": ("C", h, u + row * h)}
        bias = b + row if policy.bias and "x" in names else None
        return _neurons(out, bias, [sources[name] for name in names], ends)

    tanh, sigmoid = _activation("tanh", exact), _activation("sigmoid", exact)
    if policy.cell.number == ELMAN:
        return [*sums(0, h, "xh", [f"D[j * L + l] = {tanh}"]), *_flat(h, ["C[j] = D[j]"])]
    return [
        *sums(0, 2 * h, "xh", [f"G[j * L + l] = {sigmoid}"]),
        *sums(2 * h, h, "h", ["D[j * L + l] = x"]),
        *sums(2 * h, h, "x", ["D[j * L + l] = x + G[j * L + l] * D[j * L + l]"]),
        *_flat(h, ["x = D[j]", f"D[j] = {tanh}"]),
        *_flat(h, [f"C[j] = D[j] + G[{h} * L + j] * (C[j] - D[j])"]),
    ]


def _flat(units: int, lines: list[str]) -> list[str]:
    """One loop over lanes and units: short loops become SIMD where long ones do not."""
    return [f"for j in range({units} * L):", *(f"    {line}" for line in lines)]
