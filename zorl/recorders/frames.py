"""Episodes as pictures: a policy played once, with some of its frames kept, scaled down."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.common.tracebacks import own_traceback
from zorl.envs import Task, native_recorder
from zorl.envs.ids import close_env
from zorl.recorders.base import Predictor

Picture: TypeAlias = NDArray[np.uint8]  # (height, width, 3)
Size: TypeAlias = tuple[int, int]  # (width, height)

_DEFAULT_FPS = 30.0  # for environments that do not say
_KEPT_PER_SECOND = 10.0


@dataclass(frozen=True)
class PlayedEpisode:
    """How one episode went.

    Attributes:
        seed: of its reset.
        episode_return: the sum of the rewards that the policy was trained on.
        native_return: the task's own.
        length: env steps.
        success: whether the task calls it one.
    """

    seed: int
    episode_return: float
    native_return: float
    length: int
    success: bool

    def __str__(self) -> str:
        shaped = (
            ""
            if self.episode_return == self.native_return
            else (f" (shaped {self.episode_return:.1f})")
        )
        ending = ", success" if self.success else ""
        return (
            f"seed {self.seed}: native return {self.native_return:.1f}{shaped}, "
            f"{self.length} steps{ending}"
        )


@dataclass(frozen=True)
class Frames:
    """The pictures of one episode.

    Attributes:
        pictures: each (height, width, 3).
        fps: frames a second that play it at the environment's speed, or faster if it was thinned.
        episode: how it went.
    """

    pictures: tuple[Picture, ...]
    fps: float
    episode: PlayedEpisode


def play(
    agent: Predictor,
    task: Task,
    env: gym.Env[Any, Any],
    seed: int,
    shown: Callable[[int], None] = lambda step: None,
) -> PlayedEpisode:
    """Play one deterministic episode.

    Args:
        agent: decides.
        task: judges success.
        env: made by `task.make`.
        seed: of the reset.
        shown: called with the number of steps taken, after the reset (0) and after every step.

    Raises:
        EnvironmentFailure: the environment raised.
    """
    native = native_recorder(env)
    with _named(task, seed):
        observation, _ = env.reset(seed=seed)
    shown(0)
    total, length, state = 0.0, 0, None
    while True:
        begins = np.array([length == 0])
        action, state = agent.predict(observation, state, begins, deterministic=True)
        if isinstance(action, np.ndarray) and action.ndim == 0:
            action = action.item()  # SB3's discrete actions, which not every environment takes
        with _named(task, seed):
            observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        length += 1
        shown(length)
        if terminated or truncated:
            break
    native_return = total if native is None else native.episode_return
    success = task.succeeded(native_return, bool(terminated), info)
    return PlayedEpisode(seed, total, native_return, length, success)


@contextmanager
def _named(task: Task, seed: int) -> Iterator[None]:
    """Say of an environment's own exception whose it is."""
    try:
        yield
    except ZorlError:
        raise
    except (Exception, SystemExit) as error:
        failure = EnvironmentFailure(
            f"{task.env_id} failed in the episode with seed {seed} ({_line(error)})"
        )
        failure.trace = own_traceback(error)
        raise failure from error


def _line(error: BaseException) -> str:
    """An exception in one line, whatever it says."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def render_episode(
    agent: Predictor,
    task: Task,
    seed: int,
    frame_skip: int | None = None,
    size: Size = (300, 200),
    max_frames: int | None = 100,
) -> Frames:
    """Play one deterministic episode and keep pictures of it; no other step is rendered.

    The first and the last state are always kept. An episode that is too long for `max_frames` is
    thinned to every second frame, as often as it takes, and plays that much faster.

    Args:
        agent: decides.
        task: it is played in an environment of its own.
        seed: of the reset.
        frame_skip: env steps per frame; None for about ten frames a second of play.
        size: pictures are scaled down to fit; they keep their shape.
        max_frames: at most this many and the last; None for no bound.

    Raises:
        ConfigurationError: for an option that cannot work.
        EnvironmentFailure: the environment gives no pictures.
    """
    if (frame_skip is not None and frame_skip < 1) or (max_frames is not None and max_frames < 2):
        raise ConfigurationError(
            f"frame_skip must be ≥ 1 and max_frames ≥ 2, got {frame_skip} and {max_frames}"
        )
    with _without_window(), warnings.catch_warnings():
        # Gymnasium warns of what `_picture` raises, and training has shown all other warnings.
        warnings.simplefilter("ignore")
        env = task.make(render_mode="rgb_array")
        try:
            play_fps = float(env.metadata.get("render_fps") or _DEFAULT_FPS)
            skip = frame_skip or max(1, round(play_fps / _KEPT_PER_SECOND))
            fps = play_fps / skip
            pictures: list[Picture] = []
            last_kept = 0

            def keep(step: int) -> None:
                nonlocal skip, last_kept
                if step % skip == 0 and len(pictures) == max_frames:
                    del pictures[1::2]
                    skip *= 2
                if step % skip == 0:
                    pictures.append(_picture(env, size))
                    last_kept = step

            episode = play(agent, task, env, seed, keep)
            if last_kept != episode.length:
                pictures.append(_picture(env, size))
        finally:
            close_env(env)
    return Frames(tuple(pictures), fps, episode)


def display_is_missing() -> bool:
    """Whether this is a machine, such as a server, on which no window can open."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "linux" and not any(os.environ.get(name) for name in displays)


def _picture(env: gym.Env[Any, Any], size: Size) -> Picture:
    """What the environment shows now, scaled down to fit."""
    try:
        frame: Any = env.render()
    except Exception as error:
        hint = ""
        if "mujoco" in sys.modules:
            hint = "; MuJoCo draws without a display if MUJOCO_GL=egl or MUJOCO_GL=osmesa works"
        raise EnvironmentFailure(
            f"{env.unwrapped} cannot be rendered ({_line(error)}){hint}"
        ) from error
    if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape[2:] == (3,)):
        raise EnvironmentFailure(
            f"{env.unwrapped} gives no pictures: render() in mode 'rgb_array' must return an "
            f"array (height, width, 3) of uint8, got {type(frame).__name__}"
        )
    from PIL import Image

    height, width = frame.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    if scale >= 1:
        return np.array(frame)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(frame).resize(small, Image.Resampling.BOX))


@contextmanager
def _without_window() -> Iterator[None]:
    """Render in memory, where the user did not say otherwise.

    SDL, which needs no window for pictures, would complain at every video that there is no display.
    MuJoCo would take GLFW, which then fails, and aborts the process at the second attempt.
    """
    settings = {"SDL_VIDEODRIVER": "dummy"}
    if display_is_missing():
        settings["MUJOCO_GL"] = "egl"
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
