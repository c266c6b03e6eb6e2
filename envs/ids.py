"""Environment ids: from a name to Gymnasium's spec, and from a spec to an environment."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError
from zorl.common.references import import_for, is_unnamed

log = logging.getLogger("zorl")

# What to install for an environment that Gymnasium ships, by the subpackage it lives in.
_EXTRAS = {
    "box2d": "gymnasium[box2d]",
    "classic_control": "gymnasium[classic-control]",
    "mujoco": "zorl[mujoco]",
    "phys2d": "gymnasium[jax]",
    "tabular": "gymnasium[jax]",
    "toy_text": "gymnasium[toy-text]",
}


_CALLED: set[str] = set()  # functions that have registered their environments in this process


def find_spec(env_id: str) -> EnvSpec:
    """Find the registered spec of an environment id; without a version, the newest.

    Unlike `gymnasium.spec` it neither warns of an older version that works, nor of a version left
    out: the spec that comes back says which one it is.

    Args:
        env_id: "Name-v0", "namespace/Name-v0", "Name", or "module:Name-v0" for an id that is
            registered when `module` is imported, or "module.function():Name-v0" for one that a
            function without arguments registers, or "module:Class" or "module:function" for what
            makes an environment and is not registered.

    Raises:
        UnknownNameError: for an id that is not registered; names the nearest ones.
        ConfigurationError: for a module that cannot be imported, or an id that is not one.
    """
    if not isinstance(env_id, str):
        raise ConfigurationError(f"an environment id is text such as 'CartPole-v1', got {env_id!r}")
    if is_unnamed(env_id):
        raise ConfigurationError(
            f"the environment {env_id} was given in Python and has no name to import: pass it "
            "again, as zorl.load_agent(path, env=…), or put its class into a module"
        )
    module, _, name = env_id.rpartition(":")
    if module:
        _import(module, env_id)
    spec: EnvSpec | None = gym.registry.get(name)
    if spec is not None:
        return spec
    if module and callable(_attribute(module, name)):
        return EnvSpec(name, entry_point=env_id)
    newest = _newest_versions()
    wanted = re.sub(r"-v\d+$", "", name)
    if wanted == name and wanted in newest:
        return newest[wanted]
    if wanted in newest:
        hint = "(the newest version that is registered)"
        raise UnknownNameError("environment", name, [newest[wanted].id], hint)
    if module:
        hint = (
            f"({module!r} did not register it; if a function of it does, call that, as "
            f"'{module.partition('(')[0]}.register_envs():{name}')"
        )
    else:
        hint = f"(if a package registers it, name its module: 'module:{name}')"
    namespace, slash, _ = name.rpartition("/")
    namespaces = {known.namespace for known in newest.values() if known.namespace is not None}
    if slash and namespace not in namespaces:
        raise UnknownNameError(f"namespace of {name!r}:", namespace, namespaces, hint)
    raise UnknownNameError("environment", name, (known.id for known in newest.values()), hint)


def _attribute(module: str, name: str) -> Any:
    """What a module that is imported has under a name; None: nothing."""
    try:
        return reduce(getattr, name.split("."), sys.modules.get(module))
    except AttributeError:
        return None


def _import(module: str, env_id: str) -> None:
    """Import a module, or call a function of one, which registers environments."""
    what = f"environment {env_id!r}"
    if not module.endswith("()"):
        import_for(module, what)
        return
    place, _, function = module[:-2].rpartition(".")
    if not place:
        raise ConfigurationError(f"{what}: expected module.function():Name-v0")
    register = getattr(import_for(place, what), function, None)
    if not callable(register):
        raise ConfigurationError(f"{what}: the module {place!r} has no function {function!r}")
    if module in _CALLED:
        return
    try:
        register()
    except (Exception, SystemExit) as error:  # its author's code
        raise ConfigurationError(
            f"{what}: {module} raised {type(error).__name__}: {error}"
        ) from error
    _CALLED.add(module)


def make_env(env_id: str, kwargs: Mapping[str, Any], spec: EnvSpec) -> gym.Env[Any, Any]:
    """`gymnasium.make`, with the errors a user can cause told in one sentence.

    Args:
        env_id: what messages call it.
        kwargs: arguments of `gymnasium.make` and of the environment's constructor.
        spec: what the id stands for.

    Raises:
        ConfigurationError: for an unknown option, or a dependency that is missing.
        EnvironmentFailure: if the environment's constructor raises.
    """
    try:
        return gym.make(spec, **kwargs)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        # Any other ImportError is not about a package that is missing (MuJoCo v2: about a move).
        missing = isinstance(error, (gym.error.DependencyNotInstalled, ModuleNotFoundError))
        reason = str(error).rstrip(".")
        raise ConfigurationError(
            f"cannot make {env_id}: {reason}{_cure(spec, reason, missing)}"
        ) from error
    except gym.error.Error as error:
        raise ConfigurationError(f"cannot make {env_id}: {error}") from error
    # A constructor runs its author's code, which may raise anything.
    except (Exception, SystemExit) as error:
        unknown = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
        if isinstance(error, TypeError) and unknown is not None and unknown[1] in kwargs:
            # render_mode is an argument of Task.make, not an option of the task.
            known = [name for name in option_names(spec.entry_point) if name != "render_mode"]
            names = [*known, "max_episode_steps"]
            raise UnknownNameError(f"option of {env_id}", unknown[1], names) from error
        raise EnvironmentFailure(
            f"cannot make {env_id} with {dict(kwargs)}: {type(error).__name__}: {error}"
        ) from error


def close_env(env: Any) -> None:
    """Close an environment, and only tell of it if that fails: its results are all there.

    Args:
        env: anything with `close`.
    """
    try:
        env.close()
    except (Exception, SystemExit) as error:  # its author's code
        name = getattr(getattr(env, "unwrapped", env), "spec", None)
        _tell_once(
            f"{getattr(name, 'id', type(env).__name__)} raised {type(error).__name__} in close(): "
            f"{error}; what it should free may stay until the process ends"
        )


@cache
def _tell_once(message: str) -> None:
    log.warning(message)


def _newest_versions() -> dict[str, EnvSpec]:
    """Find the newest spec of each environment, by its id without the version."""
    newest: dict[str, EnvSpec] = {}
    for spec in gym.registry.values():
        name = re.sub(r"-v\d+$", "", spec.id)
        if name not in newest or (spec.version or 0) > (newest[name].version or 0):
            newest[name] = spec
    return newest


def _cure(spec: EnvSpec, reason: str, missing: bool) -> str:
    """Say what to do about an environment that cannot be imported."""
    cure = ""
    newest = _newest_versions().get(re.sub(r"-v\d+$", "", spec.id), spec)
    if newest.id != spec.id:
        cure += f"; the newest version is {newest.id!r}"
    family = re.match(r"gymnasium\.envs\.(\w+)", str(spec.entry_point))
    extra = _EXTRAS.get(family[1]) if family is not None else None
    if missing and extra is not None and extra not in reason:
        cure += f'; try: pip install "{extra}"'
    return cure


def option_names(creator: Any) -> list[str]:
    """List the keyword arguments of an environment's constructor.

    Args:
        creator: an entry point: a class or function, or "module:name" of one.
    """
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    return [
        parameter.name
        for parameter in inspect.signature(creator).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
