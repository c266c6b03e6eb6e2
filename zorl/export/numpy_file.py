"""A Python file that needs numpy alone, with zorl's actions to the last bit."""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.export.formats import register_format
from zorl.export.snapshot import Snapshot, literals, wrapped
from zorl.policies import activations as a

_FILE = Template('''\
"""$head

It needs numpy alone. The actions are those of zorl's `predict` to the last bit.

    action = act(observation)  # of shape $observation_shape, or several: (n, ...)
"""

import numpy as np

inf = np.inf
f4 = np.float32

# Weights (inputs, outputs) and biases of each layer.
LAYERS = [
$layers]
$constants

${activation}def act(observation):
    """The action for an observation, or the actions for n of them."""
    observation = np.asarray(observation)
$encode
    h = x.astype(f4)
$loop
        total = np.broadcast_to(bias, (*h.shape[:-1], bias.size))
        for i, row in enumerate(weight):  # input by input: a matrix product rounds otherwise
            total = total + h[..., i : i + 1] * row
        h = total
${squashed}$decode
''')

_LOOP = """\
    for index, (weight, bias) in enumerate(LAYERS):
        if index:
            h = _$activation(h)"""

_EXP = Template('''\
def _exp(y):
    """(2^k, p), with exp(y) = 2^k (1 + p), for y <= 0."""
    within = np.fmax(y, f4($lowest))
    shifted = within * f4($log2_e) + f4($rounder)
    k = shifted - f4($rounder)
    r = within - k * f4($ln2_high) - k * f4($ln2_low)
    p = r * f4($c7)
    for c in ($c6, $c5, $c4, $c3, $c2, $c1):
        p = r * (f4(c) + p)
    scale = ((shifted.view(np.int32) - np.int32($exponent)) << np.int32(23)).view(f4)
    return np.where(y < f4($lowest), f4(0), scale), p


''')

_SIGMOID = """\
    scale, p = _exp(-np.abs(x))
    t = scale * p + scale
    value = np.where(x < 0, t, f4(1)) / (f4(1) + t)"""
_ACTIVATIONS = {
    "tanh": """\
    scale, p = _exp(f4(2) * -np.abs(x))
    e = scale * p + (scale - f4(1))
    size = -e / (f4(2) + e)
    value = np.where(x < 0, -size, size)""",
    "relu": "    value = np.where(x > 0, x, f4(0))",
    "elu": """\
    scale, p = _exp(-np.abs(x))
    value = np.where(x < 0, scale * p + (scale - f4(1)), x)""",
    "sigmoid": _SIGMOID,
    "silu": f"{_SIGMOID} * x",
}


@register_format("numpy")
class Numpy:
    """Python: one file that needs numpy alone, actions equal to the last bit."""

    suffix = ".py"

    @staticmethod
    def write(snapshot: Snapshot, name: str, head: str) -> bytes:
        """See `Format`."""
        encoder, decoder = snapshot.encoder, snapshot.decoder
        layers, constants = [], []
        for weight, bias in snapshot.layers():
            bias = np.zeros(weight.shape[1], np.float32) if bias is None else bias
            layers.append(f"    ({_array(weight, 8)}.reshape({weight.shape}),\n")
            layers.append(f"     {_array(bias, 8)}),\n")
        axes = len(encoder.shape)
        if encoder.kind == "discrete":
            last = encoder.start + encoder.size
            encode = f"    x = 1.0 * (observation[..., None] == np.arange({encoder.start}, {last}))"
        else:
            lead = f"observation.shape[: observation.ndim - {axes}]"
            encode = f"    x = observation.reshape(*{lead}, {encoder.size}).astype(float)"
            encode += " / 255" if encoder.kind == "pixels" else ""
        affine = snapshot.affine()
        if affine:
            clip = affine[2]
            constants += [f"CENTER = {_array(affine[0])}", f"FACTOR = {_array(affine[1])}"]
            encode += f"\n    x = np.clip((x - CENTER) * FACTOR, {-clip!r}, {clip!r})"
        if decoder.kind == "box":
            for word, values in zip(("HALF", "MIDDLE", "LOW", "HIGH"), decoder.range, strict=True):
                constants.append(f"{word} = {_array(values)}")
        return _FILE.substitute(
            head=head,
            observation_shape=encoder.shape,
            layers="".join(layers),
            constants="".join(f"{line}\n" for line in constants),
            activation=_activations(snapshot.activations),
            encode=encode,
            loop=Template(_LOOP).substitute(activation=snapshot.mlp.activation)
            if snapshot.mlp.hidden
            else "    for weight, bias in LAYERS:",
            squashed="    h = _tanh(h)\n" if snapshot.mlp.squash else "",
            decode=_decode(snapshot),
        ).encode()


def _activations(names: list[str]) -> str:
    """The functions of these names, with what they need."""
    numbers = {key: literals(np.array(value))[0] for key, value in a.CONSTANTS.items()}
    parts = [_EXP.substitute(numbers, exponent=a.EXPONENT)] if {*names} - {"relu"} else []
    for name in names:
        body = f"{_ACTIVATIONS[name]}\n    return np.where(np.isnan(x), x, value)"
        parts.append(f"def _{name}(x):\n{body}\n\n\n")
    return "".join(parts)


def _array(values: NDArray[Any], indent: int = 4) -> str:
    kind = ", np.float32" if values.dtype == np.float32 else ""
    return f"np.array([\n{wrapped(literals(values), indent)}]{kind})"


def _decode(snapshot: Snapshot) -> str:
    """The lines from outputs h to the action."""
    decoder = snapshot.decoder
    if decoder.kind == "discrete":
        return f"    return {decoder.start[0]} + h.argmax(axis=-1)"
    lines = []
    if decoder.kind == "multi-discrete":
        groups = zip(decoder.groups, decoder.start, snapshot.group_starts, strict=True)
        parts = ", ".join(
            f"{start} + h[..., {at}:{at + size}].argmax(axis=-1)" for size, start, at in groups
        )
        lines.append(f"    h = np.stack([{parts}], axis=-1)")
    elif decoder.kind == "multi-binary":
        lines.append("    h = h > 0")
    else:
        lines.append("    h = np.clip(h * HALF + MIDDLE, LOW, HIGH)")
    shape = "".join(f", {size}" for size in decoder.shape)
    lines.append(f"    return h.reshape(*h.shape[:-1]{shape}).astype(np.{decoder.dtype})")
    return "\n".join(lines)
