"""Look at a policy: in a window, or in a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zorl.common.errors import ConfigurationError, EnvironmentFailure
from zorl.common.storage import write_atomically
from zorl.common.streams import Purpose, Seeds, Streams
from zorl.envs.ids import close_env
from zorl.envs.task import Task
from zorl.recorders.base import Predictor
from zorl.recorders.encoding import encode_gif, find_ffmpeg, write_mp4
from zorl.recorders.frames import (
    Picture,
    PlayedEpisode,
    Size,
    display_is_missing,
    play,
    render_episode,
)

_FRAME_SKIP = {".gif": None, ".mp4": 1}
SUFFIXES = tuple(_FRAME_SKIP)
_NO_DISPLAY = "there is no display to open a window on; write a file instead: --out rollout.gif"


def watch(
    agent: Predictor,
    task: Task,
    seed: int = 0,
    episodes: int = 1,
    out: str | Path | None = None,
    frame_skip: int | None = None,
    size: Size = (600, 400),
) -> list[PlayedEpisode]:
    """Play episodes in a window, or into one file.

    With a run's seed the first episode starts as the run's videos do.

    Args:
        agent: decides, deterministically.
        task: what is played.
        seed: of the episodes' seeds.
        episodes: how many.
        out: a .gif or .mp4 file; None for a window.
        frame_skip: env steps per frame of the file; None for each in an .mp4, and about ten a
            second in a .gif.
        size: largest (width, height) of the file's pictures.

    Returns:
        How each episode went.

    Raises:
        ConfigurationError: a suffix that is neither, no ffmpeg for an .mp4, or no display.
        EnvironmentFailure: the environment gives no pictures, or its window cannot be opened.
    """
    if episodes < 1:
        raise ConfigurationError(f"episodes must be ≥ 1, got {episodes}")
    seeds = Streams(seed).seeds(Purpose.VIDEO, 0, episodes)
    if out is None:
        return _watch_window(agent, task, seeds)
    out = Path(out)
    suffix = out.suffix.lower()
    if suffix not in _FRAME_SKIP:
        raise ConfigurationError(f"{out}: can write {' or '.join(SUFFIXES)}, not {suffix!r}")
    if suffix == ".mp4":
        find_ffmpeg()  # before time is spent on playing
    skip = frame_skip or _FRAME_SKIP[suffix]
    pictures: list[Picture] = []
    results = []
    for episode_seed in seeds:
        frames = render_episode(agent, task, episode_seed, skip, size, max_frames=None)
        pictures.extend(frames.pictures)
        results.append(frames.episode)
    if suffix == ".gif":
        write_atomically(out, encode_gif(pictures, frames.fps))
    else:
        write_mp4(out, pictures, frames.fps)
    return results


def _watch_window(agent: Predictor, task: Task, seeds: Seeds) -> list[PlayedEpisode]:
    # Asked first: MuJoCo's viewer aborts the process. A driver that was named may need no display.
    if display_is_missing() and "SDL_VIDEODRIVER" not in os.environ:
        raise ConfigurationError(_NO_DISPLAY)
    env = None
    try:
        try:
            env = task.make(render_mode="human")
            env.reset(seed=seeds[0])  # opens the window
        except ConfigurationError:
            raise
        except Exception as error:
            raise EnvironmentFailure(
                f"cannot show {task.env_id} in a window ({type(error).__name__}: {error}); "
                "write a file instead: --out rollout.gif"
            ) from error
        if _window_is_invisible():
            raise ConfigurationError(_NO_DISPLAY)
        return [play(agent, task, env, seed) for seed in seeds]
    finally:
        if env is not None:
            close_env(env)


def _window_is_invisible() -> bool:
    """Whether SDL, unable to reach the display, silently draws into memory without being told."""
    pygame = sys.modules.get("pygame")
    if pygame is None or "SDL_VIDEODRIVER" in os.environ or not pygame.display.get_init():
        return False
    return pygame.display.get_driver() in ("offscreen", "dummy")
