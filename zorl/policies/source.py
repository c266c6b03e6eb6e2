"""Which policy a search has: zorl's network, or a module, a factory, a factory by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import reduce
from typing import Any

from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.references import import_for, is_unnamed, name_of
from zorl.common.storage import Arrays
from zorl.policies.mlp import MlpPolicy, Policy
from zorl.policies.recurrent import RecurrentPolicy
from zorl.policies.spaces import ActionDecoder

log = logging.getLogger("zorl")
_PREFIX = "policy."  # of a network's fixed tensors among a file's arrays


def check_source(source: Any) -> None:
    """Refuse what cannot be a policy's source.

    Raises:
        ConfigurationError: neither a module or factory nor "module:function".
    """
    named = isinstance(source, str) and (":" in source or is_unnamed(source))
    if not (named or callable(source)):
        raise ConfigurationError(
            'policy must be a torch.nn.Module, a factory of (features, outputs), or "module:'
            f'function" that names one, got {source!r}'
        )


def reference(source: Any) -> str:
    """The name under which a source can be imported again; "<…>" where there is none."""
    if isinstance(source, str):
        return source
    return name_of(source)


def tell_if_unnamed(source: Any) -> None:
    """Warn if a file with this source's reference cannot be loaded without more."""
    if source is not None and is_unnamed(reference(source)):
        log.warning(
            "saved are the parameters and buffers of the network %s, not its code, which has no "
            "name to import: load such a file with zorl.load_agent(path, policy=…)",
            reference(source),
        )


def find_source(text: str) -> Any:
    """What "module:function" names.

    Raises:
        ConfigurationError: it cannot be imported, or never had a name.
    """
    if is_unnamed(text):
        raise ConfigurationError(
            f"the network {text} was given in Python and has no name to import: pass it again, as "
            "zorl.load_agent(path, policy=…) or replay(path, policy=…), or define it by a function "
            'at the top of a module and name that, as policy="module:function"'
        )
    module, _, name = text.partition(":")
    found = import_for(module, f"policy {text!r}")
    try:
        return reduce(getattr, name.split("."), found)
    except AttributeError:
        raise ConfigurationError(
            f"policy {text!r}: the module {module!r} has no {name!r}"
        ) from None


def make_policy(
    inputs: int,
    decoder: ActionDecoder,
    source: Any = None,
    hidden: tuple[int, ...] = (8,),
    activation: str = "tanh",
    bias: bool = True,
    fixed: Mapping[str, NDArray[Any]] | None = None,
    memory: str | None = None,
    squash: bool = False,
) -> Policy:
    """The policy that a configuration describes.

    Args:
        inputs: o, number of features.
        decoder: what the outputs mean.
        source: a network of the user's own, as `check_source` takes it; None for zorl's.
        hidden: sizes of the hidden layers of zorl's network.
        activation: its nonlinearity.
        bias: whether its layers have biases.
        fixed: saved buffers and frozen parameters of the user's network; see `ModulePolicy`.
        squash: whether its outputs go through a tanh; not beside a memory.
        memory: the cell in front of zorl's network, see `RecurrentPolicy`; None: no memory.

    Raises:
        ConfigurationError: see `find_source`, `ModulePolicy`, `MlpPolicy` and `RecurrentPolicy`.
    """
    if squash and decoder.kind != "box":
        raise ConfigurationError(
            f"squash is for actions between bounds, a Box, not for {decoder.kind} ones"
        )
    if squash and (source is not None or memory is not None):
        raise ConfigurationError("squash is for zorl's own network without a memory")
    if source is None and memory is not None:
        return RecurrentPolicy(inputs, decoder, memory, hidden, activation, bias)
    if source is None:
        return MlpPolicy(inputs, decoder, hidden, activation, bias, squash)
    from zorl.policies.module import ModulePolicy  # torch loads where such a policy is made

    found = find_source(source) if isinstance(source, str) else source
    return ModulePolicy(found, inputs, decoder, fixed=fixed, name=reference(source))


def network_of(policy: Any) -> tuple[dict[str, Any] | None, Arrays]:
    """What a file says of a policy's network beside its parameters, for `fixed_of`.

    Returns:
        JSON values (None for zorl's own network, which its configuration describes), and arrays:
        buffers and frozen parameters, each as "policy.NAME".
    """
    fixed = getattr(policy, "fixed", None)
    if fixed is None:
        return None, {}
    shapes = [[*entry.shape] for entry in policy.layout.entries]
    network = {"name": policy.name, "shapes": shapes, "fixed": sorted(fixed)}
    return network, {f"{_PREFIX}{name}": array for name, array in fixed.items()}


def fixed_of(network: Any, arrays: Arrays) -> Arrays | None:
    """The buffers and frozen parameters in a file; None where it says nothing of them.

    Raises:
        FileFormatError: one is missing.
    """
    if network is None:
        return None
    try:
        return {name: arrays[f"{_PREFIX}{name}"] for name in network["fixed"]}
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"the file lacks a part of its network: {error}") from error


def check_same_fixed(policy: Any, fixed: Arrays | None, path: Any) -> None:
    """Refuse a file with other buffers or frozen parameters than a policy has.

    Raises:
        FileFormatError: naming one that differs.
    """
    own = {} if fixed is None else policy.fixed
    for name, array in (fixed or {}).items():
        if name not in own or own[name].tobytes() != array.tobytes():
            raise FileFormatError(f"{path}: its {name} is not that of this agent's network")


def check_network(policy: Any, network: Any) -> None:
    """Refuse a network with other searched parameters than the saved one.

    Raises:
        ConfigurationError: shapes differ, or zorl's own network is in its place.
    """
    if network is None:
        return
    own, _ = network_of(policy)
    if own is None or own["shapes"] != network.get("shapes"):
        raise ConfigurationError(
            f"the network {'of zorl' if own is None else own['name']} is not the saved one: its "
            f"parameters have the shapes {own and own['shapes']}, the saved ones "
            f"{network.get('shapes')}"
        )
