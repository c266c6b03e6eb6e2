"""C99: a header without dependencies, with zorl's actions to the last bit."""

from __future__ import annotations

from itertools import pairwise
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.export.formats import register_format
from zorl.export.snapshot import Snapshot, literals, wrapped
from zorl.policies import activations as a

_HEAD = Template("""\
/* $head
 *
 * C99 or C++, for one file of a program to include. No library is linked and no memory allocated;
 * $bytes bytes of constants, $stack bytes on the stack.
 * Compiled with -ffp-contract=off (which -std=c99 implies), the actions are those of zorl's
 * `predict` to the last bit. Never compile it with -ffast-math.
 *
 *     double observation[$observations] = {...};  // $observation_text
 *     $type action[$actions];  // $action_text
 *     ${name}_act(observation, action);
 */
#ifndef ${name}_H
#define ${name}_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "the activations need IEEE arithmetic: compile this without -ffast-math"
#endif

""")

_LAYER = Template("""\
/* h = b + W x, summed input by input; w has a row for each of the n inputs. */
static inline void ${name}_layer(const float *w, const float *b, const float *x, float *h, int n, int m)
{
    for (int o = 0; o < m; o++)
        h[o] = b ? b[o] : 0.0f;
    for (int i = 0; i < n; i++)
        for (int o = 0; o < m; o++)
            h[o] += w[i * m + o] * x[i];
}

""")  # noqa: E501

_LARGEST = Template("""\
/* The index of the largest of n numbers, or of the first NaN. */
static inline int ${name}_largest(const float *h, int n)
{
    int best = 0;
    for (int o = 1; o < n; o++)
        if (h[o] > h[best] || (h[o] != h[o] && h[best] == h[best]))
            best = o;
    return best;
}

""")

_EXP = Template("""\
/* 2^k, with exp(y) = 2^k (1 + p), for y <= 0. */
static inline float ${name}_exp(float y, float *p)
{
    float within = y > $lowest ? y : $lowest;
    float shifted = within * $log2_e + $rounder;
    float k = shifted - $rounder;
    float r = within - k * $ln2_high - k * $ln2_low;
    uint32_t bits;
    float scale;
    *p = r * ($c1 + r * ($c2 + r * ($c3 + r * ($c4 + r * ($c5 + r * ($c6 + r * $c7))))));
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - ${exponent}u) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return y < $lowest ? 0.0f : scale;
}

""")

_SIGMOID = """\
    float p, scale = ${name}_exp(x < 0.0f ? x : -x, &p), t = scale * p + scale;
    float value = (x < 0.0f ? t : 1.0f) / (1.0f + t)"""
# By name: the body of a function of x.
_ACTIVATIONS = {
    "tanh": """\
    float p, scale = ${name}_exp(2.0f * (x < 0.0f ? x : -x), &p), e = scale * p + (scale - 1.0f);
    float size = -e / (2.0f + e), value = x < 0.0f ? -size : size;
""",
    "relu": "    float value = x > 0.0f ? x : 0.0f;\n",
    "elu": """\
    float p, scale = ${name}_exp(x < 0.0f ? x : -x, &p);
    float value = x < 0.0f ? scale * p + (scale - 1.0f) : x;
""",
    "sigmoid": f"{_SIGMOID};\n",
    "silu": f"{_SIGMOID} * x;\n",
}


@register_format("c")
class C:
    """C99: one header without dependencies, actions equal to the last bit."""

    suffix = ".h"

    @staticmethod
    def write(snapshot: Snapshot, name: str, head: str) -> bytes:
        """See `Format`."""
        policy, encoder, decoder = snapshot.mlp, snapshot.encoder, snapshot.decoder
        sizes = [policy.inputs, *(fan_out for fan_out, _ in policy.layers)]
        affine = snapshot.affine()
        box = decoder.kind == "box"
        doubles = (2 * encoder.size if affine else 0) + (4 * decoder.outputs if box else 0)
        discrete = encoder.kind == "discrete"
        parts = [
            _HEAD.substitute(
                name=name,
                head=head,
                observations=1 if discrete else encoder.size,
                observation_text=f"one of {encoder.start} .. {encoder.start + encoder.size - 1}"
                if discrete
                else f"as the environment gives it, shape {encoder.shape}",
                type=_action_type(snapshot),
                actions=_actions(snapshot),
                action_text=f"{decoder.kind}, shape {decoder.shape}",
                bytes=4 * policy.dim + 8 * doubles,
                stack=8 * max(sizes),
            )
        ]
        for index, (weight, bias) in enumerate(snapshot.layers()):
            parts.append(_array(f"{name}_w{index}", weight))
            if bias is not None:
                parts.append(_array(f"{name}_b{index}", bias))
        if affine:
            parts += [_array(f"{name}_center", affine[0]), _array(f"{name}_factor", affine[1])]
        if box:
            for word, values in zip(("half", "middle", "low", "high"), decoder.range, strict=True):
                parts.append(_array(f"{name}_{word}", values))
        parts.append(_LAYER.substitute(name=name))
        parts.append(_activations(snapshot.activations, name))
        if decoder.kind in ("discrete", "multi-discrete"):
            parts.append(_LARGEST.substitute(name=name))
        parts.append(_act(snapshot, name, sizes))
        return "".join(parts).encode()


def _array(name: str, values: NDArray[Any]) -> str:
    """A constant array."""
    kind, suffix = ("float", "f") if values.dtype == np.float32 else ("double", "")
    texts = [
        text if np.isfinite(value) else ("INFINITY" if value > 0 else "-INFINITY")
        for text, value in zip(literals(values, suffix), values.ravel(), strict=True)
    ]
    return f"static const {kind} {name}[{values.size}] = {{\n{wrapped(texts, 4)}}};\n\n"


def _activations(names: list[str], name: str) -> str:
    """The functions of these names, with what they need."""
    texts = {key: literals(np.array(value), "f")[0] for key, value in a.CONSTANTS.items()}
    texts["lowest"] = f"({texts['lowest']})"
    exp = _EXP.substitute(texts, name=name, exponent=a.EXPONENT)
    parts = [exp] if {*names} - {"relu"} else []
    for activation in names:
        body = Template(_ACTIVATIONS[activation]).substitute(name=name)
        parts.append(
            f"static inline float {name}_{activation}(float x)\n{{\n{body}"
            "    return x == x ? value : x;\n}\n\n"
        )
    return "".join(parts)


def _action_type(snapshot: Snapshot) -> str:
    if snapshot.decoder.kind != "box":
        return "int"
    return "float" if snapshot.decoder.dtype == "float32" else "double"


def _actions(snapshot: Snapshot) -> int:
    """How many numbers an action has."""
    return len(snapshot.decoder.groups)


def _act(snapshot: Snapshot, name: str, sizes: list[int]) -> str:
    """The function from an observation to an action."""
    encoder, policy, affine = snapshot.encoder, snapshot.mlp, snapshot.affine()
    kind = _action_type(snapshot)
    value = "observation[i]"
    if encoder.kind == "discrete":
        value = f"observation[0] == {encoder.start} + i ? 1.0 : 0.0"
    elif encoder.kind == "pixels":
        value = "observation[i] / 255"
    lines = [
        f"static inline void {name}_act(const double *observation, {kind} *action)",
        "{",
        f"    float x[{max(sizes)}], h[{max(sizes)}];",
        f"    for (int i = 0; i < {encoder.size}; i++) {{",
        f"        double value = {value};",
    ]
    if affine:
        clip = affine[2]
        lines += [
            f"        value = (value - {name}_center[i]) * {name}_factor[i];",
            f"        value = value < {-clip!r} ? {-clip!r} : value;",
            f"        value = value > {clip!r} ? {clip!r} : value;",
        ]
    lines += ["        x[i] = (float)value;", "    }"]
    source, target = "x", "h"
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bias = f"{name}_b{index}" if policy.bias else "0"
        call = f"{name}_w{index}, {bias}, {source}, {target}, {fan_in}, {fan_out}"
        lines.append(f"    {name}_layer({call});")
        if index < len(sizes) - 2:
            activated = f"{target}[i] = {name}_{policy.activation}({target}[i]);"
            lines += [f"    for (int i = 0; i < {fan_out}; i++)", f"        {activated}"]
        source, target = target, source
    if policy.squash:
        squashed = f"{source}[i] = {name}_tanh({source}[i]);"
        lines += [f"    for (int i = 0; i < {sizes[-1]}; i++)", f"        {squashed}"]
    return "\n".join([*lines, *_decode(snapshot, name, source, kind), "}", "", "#endif", ""])


def _decode(snapshot: Snapshot, name: str, h: str, kind: str) -> list[str]:
    """The lines from outputs `h` to the action."""
    decoder = snapshot.decoder
    if decoder.kind in ("discrete", "multi-discrete"):
        groups = zip(decoder.groups, decoder.start, snapshot.group_starts, strict=True)
        return [
            f"    action[{index}] = {start} + {name}_largest({h} + {at}, {size});"
            for index, (size, start, at) in enumerate(groups)
        ]
    loop = f"    for (int i = 0; i < {decoder.outputs}; i++)"
    if decoder.kind == "multi-binary":
        return [loop, f"        action[i] = {h}[i] > 0.0f;"]
    return [
        f"{loop} {{",
        f"        double value = {h}[i] * {name}_half[i] + {name}_middle[i];",
        f"        value = value < {name}_low[i] ? {name}_low[i] : value;",
        f"        value = value > {name}_high[i] ? {name}_high[i] : value;",
        f"        action[i] = ({kind})value;",
        "    }",
    ]
