"""Which policy a search has: zorl's network, or a module, a factory, a factory by name."""

from __future__ import annotations

import logging
from functools import reduce
from typing import Any

from zorl.common.errors import ConfigurationError
from zorl.common.references import import_for
from zorl.policies.mlp import MlpPolicy, Policy
from zorl.policies.spaces import ActionDecoder

log = logging.getLogger("zorl")


def check_source(source: Any) -> None:
    """Refuse what cannot be a policy's source.

    Raises:
        ConfigurationError: neither a module or factory nor "module:function".
    """
    if not (callable(source) or (isinstance(source, str) and (":" in source or _unnamed(source)))):
        raise ConfigurationError(
            'policy must be a torch.nn.Module, a factory of (features, outputs), or "module:'
            f'function" that names one, got {source!r}'
        )


def reference(source: Any) -> str:
    """The name under which a source can be imported again; "<…>" where there is none."""
    if isinstance(source, str):
        return source
    module, name = (getattr(source, key, None) for key in ("__module__", "__qualname__"))
    if isinstance(module, str) and isinstance(name, str) and module != "__main__":
        text = f"{module}:{name}"
        try:
            if find_source(text) is source:
                return text
        except ConfigurationError:
            pass
    return f"<{(name or type(source).__name__).strip('<>')}>"


def tell_if_unnamed(source: Any) -> None:
    """Warn if a file with this source's reference cannot be loaded without more."""
    if source is not None and _unnamed(reference(source)):
        log.warning(
            "saved are the parameters of the network %s, not the network, which has no name to "
            "import: load such a file with zorl.load_agent(path, policy=…)",
            reference(source),
        )


def find_source(text: str) -> Any:
    """What "module:function" names.

    Raises:
        ConfigurationError: it cannot be imported, or never had a name.
    """
    if _unnamed(text):
        raise ConfigurationError(
            f"the agent's network {text} was given in Python and has no name to import: pass it "
            "again, as zorl.load_agent(path, policy=…), or define it by a function at the top of "
            'a module and name that, as policy="module:function"'
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
) -> Policy:
    """The policy that a configuration describes.

    Args:
        inputs: o, number of features.
        decoder: what the outputs mean.
        source: a network of the user's own, as `check_source` takes it; None for zorl's.
        hidden: sizes of the hidden layers of zorl's network.
        activation: its nonlinearity.
        bias: whether its layers have biases.

    Raises:
        ConfigurationError: see `find_source`, `ModulePolicy` and `MlpPolicy`.
    """
    if source is None:
        return MlpPolicy(inputs, decoder, hidden, activation, bias)
    from zorl.policies.module import ModulePolicy  # torch loads where such a policy is made

    return ModulePolicy(find_source(source) if isinstance(source, str) else source, inputs, decoder)


def _unnamed(text: str) -> bool:
    return text.startswith("<")
