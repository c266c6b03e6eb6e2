"""From the source of a kernel to machine code, which is kept in the user's cache.

A kernel's source lies there as a file, so that numba compiles it once a machine: later processes
load the machine code in milliseconds.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from zorl.common.cache_folder import writable_folder
from zorl.common.errors import ConfigurationError
from zorl.common.output import tell
from zorl.envs.twins.base import CompiledEnv
from zorl.rollout.compiled.parts import Spec
from zorl.rollout.compiled.source import kernel_source
from zorl.rollout.compiled.trace import trace_source

_HERE = Path(__file__).parent
_POLICIES = _HERE.parents[1] / "policies"
_LOADING = threading.RLock()
# Files whose functions become part of a kernel.
_INLINED = (
    *(_HERE / name for name in ("exact.py", "fast.py", "intrinsics.py")),
    *(_HERE / "mujoco" / name for name in ("arrays.py", "ufuncs.py")),
    *(_POLICIES / name for name in ("kernels.py", "activations.py")),
)


def why_no_numba() -> str | None:
    """What keeps numba from being used; None: nothing. Imports it."""
    try:
        importlib.import_module("numba")
    except (ImportError, OSError, RuntimeError) as error:
        # Not installed, or of another Python, numpy or machine.
        return str(error)
    return None


def compiled(spec: Spec) -> Callable[..., None]:
    """The kernel of a spec, from the cache if it was made before."""
    return guarded(loaded(kernel_source(spec)).kernel, spec.twin.env)


def was_compiled(kernel: Callable[..., None]) -> bool:
    """Whether a kernel that was called had to be compiled; else its code was in the cache."""
    stats: Any = kernel.__wrapped__.stats  # type: ignore[attr-defined]
    return bool(stats.cache_misses)


@contextmanager
def announced(kernel: Callable[..., None], line: str) -> Iterator[None]:
    """In here, say a line on a terminal if the kernel is compiled, not if it is loaded."""
    from numba.core import event

    compiling = kernel.__wrapped__  # type: ignore[attr-defined]

    class Announcer(event.Listener):
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"] is compiling and sys.stderr and sys.stderr.isatty():
                tell(line)

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Announcer()):
        yield


def traced(env: CompiledEnv, observations: int, actions: int, exact: bool) -> Callable[..., None]:
    """A function that plays given actions, to compare a twin step by step.

    `play(states, actions, observations, rewards, ends, chained)` takes (t + 1, s) states, of which
    the first is given, and (t, a) actions. It fills (t + 1, o) observations, (t,) rewards, (t,)
    whether a step terminated and, if `chained`, the other states; otherwise all states are given
    and every step starts from its own.
    """
    return guarded(loaded(trace_source(env, observations, actions, exact)).kernel, env)


def guarded(kernel: Callable[..., None], env: Any) -> Callable[..., None]:
    """A kernel, which is compiled when it is first called; what numba says then, in our words."""
    from numba.core.errors import NumbaError

    @wraps(kernel)
    def call(*arguments: Any) -> None:
        try:
            kernel(*arguments)
        except NumbaError as error:
            raise ConfigurationError(
                f"the twin {type(env).__name__} cannot be compiled: its numbers must be plain real "
                "ones, every helper must take and return as many in every case, and every name "
                f"must have a value wherever it is used; numba says: {error}"
            ) from error

    return call


def kernel_name(source: str) -> str:
    """The name of a kernel's module, which stands for its source and for all that goes into it."""
    helpers = "".join(path.read_text(encoding="utf-8") for path in _INLINED)
    return f"zorl_kernel_{hashlib.sha256((source + helpers).encode()).hexdigest()[:24]}"


def loaded(source: str) -> Any:
    """The module with this source, whose file is kept in the user's cache."""
    name = kernel_name(source)  # numba's own cache looks at this file alone
    with _LOADING:  # else another thread would find a module that is not executed yet
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
        return sys.modules[name]


def _written(name: str, source: str) -> Path:
    """The file of a kernel, which several processes may want to write at once.

    Raises:
        ConfigurationError: there is no folder for it.
    """
    folder = writable_folder()
    path = folder / name
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        descriptor, part = tempfile.mkstemp(dir=folder, suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(source)
        Path(part).replace(path)
    return path
