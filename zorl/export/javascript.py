"""JavaScript: a script without dependencies, with zorl's actions to the last bit."""

from __future__ import annotations

import json
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.export.formats import register_format
from zorl.export.snapshot import Snapshot, literals, wrapped
from zorl.policies import activations as a

_SCRIPT = Template("""\
// $head
//
// For <script src> in a page, where it is the global `$name`, or for node's require. The actions
// are those of zorl's `predict` to the last bit: every operation is rounded to single precision.
//
//     const action = $name.act(observation);
//
// An observation is $observation. An action is $action.
(function (root) {
  "use strict";
  const f = Math.fround;
$constants
$activation  // b + W x, summed input by input; w has a row for each input.
  function layer(w, b, x) {
    const h = Float32Array.from(b);
    for (let i = 0; i < x.length; i++)
      for (let o = 0; o < h.length; o++) h[o] += f(w[i * h.length + o] * x[i]);
    return h;
  }

  // The index of the largest number, or of the first NaN.
  function largest(h) {
    let best = 0;
    for (let o = 1; o < h.length; o++)
      if (h[o] > h[best] || (h[o] !== h[o] && h[best] === h[best])) best = o;
    return best;
  }

  function act(observation) {
    const features = $features;
    let h = Float32Array.from(features$normalised);
    layers.forEach(([w, b]$index) => {
      h = layer(w, b, $layer_input);
    });$squashed
    return $decoded;
  }

  const policy = { act };
  if (typeof module === "object") module.exports = policy;
  else root.$name = policy;
})(globalThis);
""")

_EXP = Template("""\
  // The single precision of every number, and its bits.
  const single = new Float32Array(1), bits = new Int32Array(single.buffer);

  // [2^k, p], with exp(y) = 2^k (1 + p), for y <= 0.
  function exp(y) {
    const within = y > $lowest ? y : $lowest;
    single[0] = f(f(within * $log2_e) + $rounder);
    const k = f(single[0] - $rounder);
    const r = f(f(within - f(k * $ln2_high)) - f(k * $ln2_low));
    let p = f(r * $c7);
    for (const c of [$c6, $c5, $c4, $c3, $c2, $c1]) p = f(r * f(c + p));
    bits[0] = (bits[0] - $exponent) << 23;
    return [y < $lowest ? 0 : single[0], p];
  }

""")

_SIGMOID = """\
    if (x !== x) return x;
    const [scale, p] = exp(x < 0 ? x : -x), t = f(f(scale * p) + scale);
    """
_ACTIVATIONS = {
    "tanh": """\
    if (x !== x) return x;
    const [scale, p] = exp(f(2 * (x < 0 ? x : -x))), e = f(f(scale * p) + f(scale - 1));
    const size = f(-e / f(2 + e));
    return x < 0 ? -size : size;""",
    "relu": "    return x > 0 || x !== x ? x : 0;",
    "elu": """\
    if (!(x < 0)) return x;
    const [scale, p] = exp(x);
    return f(f(scale * p) + f(scale - 1));""",
    "sigmoid": f"{_SIGMOID}return f((x < 0 ? t : 1) / f(1 + t));",
    "silu": f"{_SIGMOID}return f(f((x < 0 ? t : 1) / f(1 + t)) * x);",
}


@register_format("js")
class JavaScript:
    """JavaScript: one script for pages and node, actions equal to the last bit."""

    suffix = ".js"

    @staticmethod
    def write(snapshot: Snapshot, name: str, head: str) -> bytes:
        """See `Format`."""
        encoder, decoder = snapshot.encoder, snapshot.decoder
        affine = snapshot.affine()
        constants = ["  const layers = ["]
        for weight, bias in snapshot.layers():
            zeros = np.zeros(weight.shape[1], np.float32)
            values = _typed(weight), _typed(zeros if bias is None else bias)
            constants.append(f"    [{values[0]},\n    {values[1]}],")
        constants.append("  ];")
        if affine:
            constants.append(f"  const center = {_typed(affine[0])};")
            constants.append(f"  const factor = {_typed(affine[1])};")
        if decoder.kind == "box":
            for word, bound in zip(("half", "middle", "low", "high"), decoder.range, strict=True):
                constants.append(f"  const {word} = {_typed(bound)};")
        features, shape = "observation", f"an array of {encoder.size} numbers"
        if encoder.kind == "discrete":
            features = f"Array.from({{ length: {encoder.size} }}, (_, i) => "
            features += f"Number(observation === {encoder.start} + i))"
            shape = f"a whole number from {encoder.start} to {encoder.start + encoder.size - 1}"
        elif encoder.kind == "pixels":
            features = "Array.from(observation, (value) => value / 255)"
        normalised = ""
        if affine:
            normalised = ", (value, i) =>\n      Math.max(-$, Math.min($, (value - center[i]) * "
            normalised = normalised.replace("$", repr(affine[2])) + "factor[i]))"
        return _SCRIPT.substitute(
            name=name,
            head=head,
            observation=shape,
            action="a whole number"
            if decoder.kind == "discrete"
            else f"an array of {len(decoder.groups)} numbers",
            constants="\n".join(constants),
            activation=_activations(snapshot.activations),
            features=features,
            squashed="\n    h = h.map(tanh);" if snapshot.mlp.squash else "",
            index=", index" if snapshot.mlp.hidden else "",
            layer_input=f"index ? h.map({snapshot.mlp.activation}) : h"
            if snapshot.mlp.hidden
            else "h",
            normalised=normalised,
            decoded=_decoded(snapshot),
        ).encode()


def _activations(names: list[str]) -> str:
    """The functions of these names, with what they need."""
    # Exactly: a number in JavaScript is a float64.
    numbers = {key: repr(float(value)) for key, value in a.CONSTANTS.items()}
    parts = [_EXP.substitute(numbers, exponent=a.EXPONENT)] if {*names} - {"relu"} else []
    parts += [f"  function {name}(x) {{\n{_ACTIVATIONS[name]}\n  }}\n\n" for name in names]
    return "".join(parts)


def _typed(values: NDArray[Any]) -> str:
    """A typed array."""
    kind = "Float32Array" if values.dtype == np.float32 else "Float64Array"
    texts = [
        text if np.isfinite(value) else f"{'-' * bool(value < 0)}Infinity"
        for text, value in zip(literals(values), values.ravel(), strict=True)
    ]
    return f"new {kind}([\n{wrapped(texts, 6)}])"


def _decoded(snapshot: Snapshot) -> str:
    """The expression of the action from outputs h."""
    decoder = snapshot.decoder
    if decoder.kind == "discrete":
        return f"{decoder.start[0]} + largest(h)"
    if decoder.kind == "multi-discrete":
        groups = zip(decoder.groups, decoder.start, snapshot.group_starts, strict=True)
        return json.dumps([[at, at + size, start] for size, start, at in groups]) + (
            ".map(([at, end, start]) =>\n      start + largest(h.subarray(at, end)))"
        )
    if decoder.kind == "multi-binary":
        return "Array.from(h, (value) => Number(value > 0))"
    rounded = "f" if decoder.dtype == "float32" else ""
    clipped = "Math.max(low[i], Math.min(high[i], value * half[i] + middle[i]))"
    return f"Array.from(h, (value, i) =>\n      {rounded}({clipped}))"
