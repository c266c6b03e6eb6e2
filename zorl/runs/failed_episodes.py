"""Episodes that failed: saved with all that they depended on, and played again to see why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from zorl.common.errors import ConfigurationError, EnvironmentFailure, FileFormatError, ZorlError
from zorl.common.references import is_unnamed, named_by
from zorl.common.storage import flatten, load_archive, save_archive, unflatten
from zorl.envs.from_env import given_again
from zorl.envs.ids import close_env
from zorl.envs.task import Task
from zorl.policies.mlp import Policy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.recurrent import is_own
from zorl.policies.source import check_network, fixed_of, make_policy, network_of
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.failures import FailedEpisode, own_trace
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner

KIND = "failed episode"
MOST_FILES = 20  # kept of one run
_POLICY = ("inputs", "hidden", "activation", "bias", "memory", "squash")


def save_episode(
    folder: Path, task: Task, policy: Any, episode: FailedEpisode, uniforms: int = 0
) -> Path:
    """Write a failed episode to a file of its own in a folder.

    Args:
        folder: made where it is missing.
        task: what was played.
        policy: what decided: one of zorl's networks, or a `ModulePolicy`.
        episode: the rest.
        uniforms: as the runner had it; 0 is a deterministic policy.

    Raises:
        ConfigurationError: the policy is of another class, or the folder is full.
    """
    network, fixed = network_of(policy)
    if network is None and not is_own(policy):
        raise ConfigurationError(
            f"a {type(policy).__name__} cannot be rebuilt from a file without pickle; only an "
            "MlpPolicy, LinearPolicy, RecurrentPolicy or ModulePolicy can"
        )
    own = {} if network else {name: getattr(policy, name, None) for name in _POLICY}
    scalars, arrays = flatten(episode.normalizer, "normalizer")
    digest = hashlib.sha256(episode.theta.tobytes()).hexdigest()[:8]
    path = folder / f"seed{episode.seed}-{digest}.zip"
    if not path.exists() and len(list(folder.glob("*.zip"))) >= MOST_FILES:
        raise ConfigurationError(f"{folder} holds {MOST_FILES} already")
    metadata = {
        "task": task.to_json(),
        "policy": own,
        "network": network,
        "stochastic": policy.decoder.stochastic,
        "noise_std": policy.decoder.noise_std,
        "uniforms": uniforms,
        "seed": episode.seed,
        "reason": episode.reason,
        "trace": episode.trace,
        "crashed": episode.crashed,
        "normalizer": scalars,
    }
    save_archive(path, KIND, metadata, {"theta": episode.theta, **arrays, **fixed})
    return path


@dataclass(frozen=True)
class SavedEpisode:
    """What `save_episode` wrote, ready to be played.

    Attributes:
        task: what is played.
        policy: what decides.
        uniforms: numbers that a stochastic policy takes per step.
        episode: theta, normalizer, seed, and what happened to it.
    """

    task: Task
    policy: Policy
    uniforms: int
    episode: FailedEpisode


def load_episode(
    path: str | Path, policy: Any = None, trust: bool | None = None, env: Any = None
) -> SavedEpisode:
    """The episode that `save_episode` wrote.

    Args:
        path: of the file.
        policy: the network again, where it was given in Python and has no name to import.
        trust: whether modules that it names may be imported; see `zorl.load_agent`.
        env: the environment again, where it has no name to import.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, newer, or no failed episode's.
        ConfigurationError: the environment or a wrapper of it is not installed here, or is named by
            a file that is not trusted; or the network is needed again, is not needed, or is
            another one.
    """
    with named_by(path, trust):
        return _load(path, policy, env)


def _load(path: str | Path, policy: Any, env: Any) -> SavedEpisode:
    _, metadata, arrays = load_archive(path, KIND)
    try:
        task = Task.from_json(metadata["task"])
        scalars, theta = metadata["normalizer"], arrays["theta"]
        low, high = arrays["normalizer.low"], arrays["normalizer.high"]
        template = Normalizer.create(scalars["normalizer.mode"], low, high)
        normalizer = unflatten(template, "normalizer", scalars, arrays)
        own, uniforms = {**metadata["policy"]}, int(metadata["uniforms"])
        network = metadata.get("network")
        name = None if network is None else str(network["name"])
        noise = {"stochastic": metadata["stochastic"], "noise_std": metadata["noise_std"]}
        words = {name: metadata[name] for name in ("reason", "trace", "crashed")}
        episode = FailedEpisode(metadata["seed"], theta, normalizer, **words)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, ZorlError):  # its message says more
            raise
        raise FileFormatError(f"{path}: not a whole episode ({error})") from error
    if env is not None:
        task = given_again(task, env)
    env = task.make()
    try:
        decoder = replace(ActionDecoder.for_space(env.action_space), **noise)
    finally:
        close_env(env)
    if policy is not None and (name is None or not is_unnamed(name)):
        raise ConfigurationError(f"{path}: the network is in the file; it need not be given")
    if name is None:
        try:
            made = make_policy(decoder=decoder, **own)
        except TypeError as error:
            raise FileFormatError(f"{path}: not the policy of an episode ({error})") from error
        return SavedEpisode(task, _fitting(made, theta, path), uniforms, episode)
    source = policy if policy is not None else name
    size = ObservationEncoder.for_space(env.observation_space).size
    made = make_policy(size, decoder, source, fixed=fixed_of(network, arrays))
    check_network(made, network)
    return SavedEpisode(task, _fitting(made, theta, path), uniforms, episode)


def _fitting(policy: Policy, theta: Any, path: str | Path) -> Policy:
    """The policy, if it has as many parameters as the file."""
    if theta.shape != (policy.dim,):
        raise FileFormatError(
            f"{path}: its parameters have shape {theta.shape}, its policy needs ({policy.dim},)"
        )
    return policy


@dataclass
class Moment:
    """How far an episode is.

    Attributes:
        step: that is being made, from 1; 0 is the reset.
        observation: that was acted on, before normalisation.
        action: of this step.
    """

    step: int = 0
    observation: Any = None
    action: Any = None

    def __str__(self) -> str:
        if not self.step:
            return "in reset"
        return f"step {self.step}: observation {self.observation}, action {self.action}"


@dataclass(frozen=True)
class Replay:
    """How a replay went.

    Attributes:
        error: what failed; None where the episode came to its end.
        trace: the traceback of what the environment raised.
        last: the last step that was begun.
        episode_return: what was searched, of an episode that came to its end.
    """

    error: EnvironmentFailure | None
    trace: str
    last: Moment
    episode_return: float


def replay(
    path: str | Path,
    watch: Callable[[Moment], object] | None = None,
    policy: Any = None,
    trust: bool | None = None,
    env: Any = None,
) -> Replay:
    """Play the episode in a file again, in this process.

    Args:
        path: a file that `save_episode` wrote.
        watch: called before every step: if the episode crashes the process, it was told last of
            the step that did.
        policy: see `load_episode`.
        trust: likewise.
        env: likewise.
    """
    saved = load_episode(path, policy, trust, env)
    episode = saved.episode
    last = Moment()
    task = _WatchedTask(**{item.name: getattr(saved.task, item.name) for item in fields(Task)})
    object.__setattr__(task, "watcher", lambda env: _Watched(env, last, watch))
    runner = GymnasiumRunner(task, saved.policy, lanes=1, uniforms=saved.uniforms)
    batch = EpisodeBatch(np.atleast_2d(episode.theta), (episode.seed,), episode.normalizer)
    out = EpisodeResults.empty(batch)
    try:
        runner.run(batch, [0], out)
    except EnvironmentFailure as error:
        return Replay(error, own_trace(error), last, float("nan"))
    finally:
        runner.close()
    return Replay(None, "", last, float(out.returns[0]))


class _WatchedTask(Task):
    """A task whose environments are watched."""

    watcher: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """See `Task.make`."""
        return self.watcher(super().make(render_mode))


class _Watched(gym.Wrapper[Any, Any, Any, Any]):
    """Writes down every step before it is made."""

    def __init__(
        self, env: gym.Env[Any, Any], last: Moment, watch: Callable[[Moment], object] | None
    ) -> None:
        super().__init__(env)
        self._last, self._watch = last, watch

    def reset(self, **kwargs: Any) -> Any:
        """See `gymnasium.Env`."""
        self._last.step = 0
        if self._watch is not None:
            self._watch(self._last)
        self._last.observation, info = self.env.reset(**kwargs)
        return self._last.observation, info

    def step(self, action: Any) -> Any:
        """See `gymnasium.Env`."""
        last = self._last
        last.step += 1
        last.action = action
        if self._watch is not None:
            self._watch(last)
        result = self.env.step(action)
        last.observation = result[0]
        return result
