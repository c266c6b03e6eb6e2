"""A Gymnasium environment of a task made of a MuJoCo model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, overload

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError
from zorl.envs.mujoco.rehearsal import kept, rehearse
from zorl.envs.mujoco.start import start_of
from zorl.envs.mujoco.task import CompiledMujoco
from zorl.envs.twins.base import register_twin

T = TypeVar("T", bound=type[CompiledMujoco])
_MODES = ("human", "rgb_array", "depth_array", "rgbd_tuple")


class MujocoTaskEnv(gym.Env[Any, Any]):
    """Steps a `CompiledMujoco` as Gymnasium steps its own MuJoCo tasks.

    Args:
        task: the task.
        render_mode: "human", "rgb_array", "depth_array" or "rgbd_tuple".

    Raises:
        ConfigurationError: a method of the task returns something else than it should.
    """

    metadata: dict[str, Any] = {"render_modes": list(_MODES)}  # noqa: RUF012

    def __init__(self, task: CompiledMujoco, render_mode: str | None = None) -> None:
        import mujoco

        self.task, self.render_mode = task, render_mode
        low, high = (np.asarray(bound, np.float32) for bound in task.action_bounds)
        self.action_space = gym.spaces.Box(low, high, dtype=np.float32)
        size = rehearse(task, low.size)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.metadata = {**self.metadata, "render_fps": round(1 / task.dt)}
        self.model = task.model
        self.data = mujoco.MjData(self.model)
        self._renderer: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """See `gymnasium.Env`."""
        import mujoco

        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        for name, numbers in start_of(self.task, self.np_random).items():
            getattr(self.data, name)[:] = numbers
        mujoco.mj_forward(self.model, self.data)
        return self._seen(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        import mujoco

        action = np.array(action, np.float64)
        if action.shape != self.action_space.shape:
            raise ConfigurationError(
                f"an action has shape {self.action_space.shape}, got {action.shape}"
            )
        before = kept(self.task.before(self.data))
        self.task.control(self.data, action)
        mujoco.mj_step(self.model, self.data, nstep=self.task.frame_skip)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        reward = float(self.task.reward(self.data, action, before))
        terminated = bool(self.task.terminated(self.data))
        return self._seen(), reward, terminated, False, {}

    def _seen(self) -> NDArray[np.float64]:
        if self.render_mode == "human":
            self.render()
        return np.array(self.task.observe(self.data))

    def render(self) -> Any:
        """See `gymnasium.Env`."""
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            camera = {"width": 480, "height": 480, **self.task.camera}
            frame = self.model.vis.global_
            frame.offwidth = max(frame.offwidth, camera["width"])
            frame.offheight = max(frame.offheight, camera["height"])
            self._renderer = MujocoRenderer(self.model, self.data, **camera)
        return self._renderer.render(self.render_mode)

    def close(self) -> None:
        """See `gymnasium.Env`."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def environment_of(task: Callable[..., CompiledMujoco]) -> type[MujocoTaskEnv]:
    """The class of a task's environments; its constructor takes the task's options."""
    options = inspect.signature(task).parameters.values()
    mode = inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None)

    class Environment(MujocoTaskEnv):
        __signature__: ClassVar[Any] = inspect.Signature([*options, mode])

        def __init__(self, render_mode: str | None = None, **options: Any) -> None:
            super().__init__(task(**options), render_mode)

    name = getattr(task, "__name__", type(task).__name__)
    Environment.__name__ = Environment.__qualname__ = f"{name}Env"
    Environment.__module__ = getattr(task, "__module__", __name__)
    Environment.__doc__ = getattr(task, "__doc__", None)
    return Environment


@overload
def register_mujoco(
    env_id: str, *, max_episode_steps: int = ..., reward_threshold: float | None = ...
) -> Callable[[T], T]: ...
@overload
def register_mujoco(
    env_id: str,
    task: Callable[..., CompiledMujoco],
    *,
    max_episode_steps: int = ...,
    reward_threshold: float | None = ...,
) -> None: ...
def register_mujoco(
    env_id: str,
    task: Any = None,
    *,
    max_episode_steps: int = 1000,
    reward_threshold: float | None = None,
) -> Any:
    """Register a Gymnasium environment made of a task, and the task as its compiled twin.

    Without `task` it is a decorator of the class.

    Args:
        env_id: the id that `gymnasium.make` and `--env` take, "Crane-v0".
        task: the class; its fields are the environment's options.
        max_episode_steps: env steps after which an episode is truncated.
        reward_threshold: the return that counts as solved.

    Raises:
        ConfigurationError: `task` is no such class, or the id has another twin already.
    """
    if task is None:
        return lambda found: _registered(env_id, found, max_episode_steps, reward_threshold)
    _registered(env_id, task, max_episode_steps, reward_threshold)
    return None


def _registered(env_id: str, task: Any, limit: int, threshold: float | None) -> Any:
    if not (isinstance(task, type) and issubclass(task, CompiledMujoco)):
        raise ConfigurationError(
            f"register_mujoco takes a class derived from CompiledMujoco, got {task!r}"
        )
    register_twin(env_id, task)
    made: Any = environment_of(task)
    gym.register(env_id, made, max_episode_steps=limit, reward_threshold=threshold)
    return task
