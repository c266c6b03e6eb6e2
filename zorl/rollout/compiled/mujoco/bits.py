"""Whether a twin's bits are the environment's here: with these libraries, on this processor.

Some episodes are played by both when a task is first used on a machine, and the answer is kept in
the user's cache.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from dataclasses import replace
from typing import Any

import numpy as np

from zorl.common.cache_folder import writable_folder
from zorl.common.errors import ConfigurationError
from zorl.envs import Task, make_task
from zorl.envs.twins.base import Twin
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.cache import kernel_name
from zorl.rollout.compiled.mujoco.backend import MujocoBackend
from zorl.rollout.compiled.mujoco.source import kernel_source
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend

_STEPS = 40  # per episode; of four candidates from two seeds
_FIGURES = ("returns", "native_returns", "lengths", "successes", "sums", "squares")
_LIBRARIES = ("mujoco", "gymnasium", "numpy", "numba")
_known: dict[str, str] = {}


def why_other_bits(task: Task, twin: Twin) -> str | None:
    """How a MuJoCo twin differs from its environment on this machine, as a sentence; None: not.

    Raises:
        ConfigurationError: the twin cannot be translated or compiled, or fails when it is played.
    """
    digest = key(task, twin)
    if digest not in _known:
        _known[digest] = _kept(digest, task, twin)
    return _known[digest] or None


def key(task: Task, twin: Twin) -> str:
    """A digest of all that the answer depends on: task, model, code, libraries and processor."""
    import mujoco

    model = np.zeros(mujoco.mj_sizeModel(twin.env.model), np.uint8)
    mujoco.mj_saveModel(twin.env.model, None, model)
    text = "\n".join(
        [
            *(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES),
            f"{platform.machine()} {_features()}",
            f"{task.env_id} {sorted(task.env_kwargs.items(), key=str)}",
            kernel_name(kernel_source(twin.env).source),
        ]
    )
    return hashlib.sha256(text.encode() + model.tobytes()).hexdigest()[:24]


def _kept(digest: str, task: Task, twin: Twin) -> str:
    """The answer, from the cache if it is there."""
    try:
        path = writable_folder() / f"zorl_bits_{digest}.txt"
    except ConfigurationError:
        return difference(task, twin)
    if path.exists():
        return path.read_text(encoding="utf-8")
    found = difference(task, twin)
    path.write_text(found, encoding="utf-8")
    return found


def difference(task: Task, twin: Twin) -> str:
    """The first figure of some short episodes that differs, as a sentence; "": none.

    Raises:
        ConfigurationError: see `why_other_bits`.
    """
    # The only wrapper of a MuJoCo task with a twin hides observations: it changes no number.
    kwargs = {**dict(task.env_kwargs), "max_episode_steps": _STEPS}
    short = make_task(task.env_id, env_kwargs=kwargs)
    env = short.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    decoder = ActionDecoder.for_space(env.action_space)
    env.close()
    policy = MlpPolicy(encoder.size, decoder, ())
    thetas = np.random.default_rng(0).normal(0, 0.5, (4, policy.dim)).astype(np.float32)
    normalizer = Normalizer.create("running", np.array(encoder.low), np.array(encoder.high))
    batch = EpisodeBatch(thetas, (1, 2), normalizer)
    mine: Any = MujocoBackend(
        short,
        replace(twin, limit=_STEPS, kept=None),
        policy,
        encoder,
        threads=1,
        allow_non_finite=True,
    )
    truth: Any = SerialBackend(
        GymnasiumRunner(short, policy, allow_non_finite=True, compiled=False)
    )
    try:
        results = [_results(mine, batch), truth.run(batch)]
    finally:
        mine.close()
        truth.close()
    for name in _FIGURES:
        found, expected = (getattr(result, name) for result in results)
        if found.tobytes() != expected.tobytes():
            job = int(np.argmax((found != expected).reshape(len(batch), -1).any(axis=1)))
            return (
                f"its twin's {name.replace('_', ' ')} are not the environment's with these "
                f"versions of mujoco, numpy and gymnasium on this machine ({found[job].max()!r}, "
                f"expected {expected[job].max()!r}, of an episode of {_STEPS} steps)"
            )
    return ""


def _results(mine: MujocoBackend, batch: EpisodeBatch) -> EpisodeResults:
    try:
        return mine.run(batch)
    except ConfigurationError:
        raise
    except Exception as error:  # its author's code
        raise ConfigurationError(
            f"its compiled twin raises {type(error).__name__}: {error}"
        ) from error


def _features() -> str:
    """Of the processor, as far as numpy tells: its kernels and those of BLAS depend on them."""
    try:
        from numpy._core._multiarray_umath import (  # type: ignore[import-not-found]
            __cpu_features__ as features,
        )
    except ImportError:
        return platform.processor()
    return " ".join(sorted(name for name, there in features.items() if there))
