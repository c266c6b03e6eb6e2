"""What `learn(callback=…)` takes: a function of the generation, or SB3's callbacks."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.envs.ids import close_env
from zorl.search.records import Generation

if TYPE_CHECKING:
    from zorl.agents.search.agent import SearchAgent


class Hook:
    """Called around and between the generations of one `learn`."""

    def start(self) -> None:
        """Before the first generation."""

    def record(self, generation: Generation) -> bool:
        """After a generation; False stops."""
        return True

    def take_figures(self) -> Mapping[str, float]:
        """Figures by name that were recorded since the last call."""
        return {}

    def finish(self) -> None:
        """At the end, whatever happened."""


class _Function(Hook):
    def __init__(self, function: Callable[[Generation], Any]) -> None:
        self._function = function

    def record(self, generation: Generation) -> bool:
        answer = self._function(generation)
        return not isinstance(answer, (bool, np.bool_)) or bool(answer)


class _Several(Hook):
    def __init__(self, hooks: list[Hook]) -> None:
        self._hooks = hooks

    def start(self) -> None:
        for hook in self._hooks:
            hook.start()

    def record(self, generation: Generation) -> bool:
        answers = [hook.record(generation) for hook in self._hooks]  # every one is told
        return all(answers)

    def take_figures(self) -> Mapping[str, float]:
        return {name: value for hook in self._hooks for name, value in hook.take_figures().items()}

    def finish(self) -> None:
        for hook in self._hooks:
            hook.finish()


class _SB3Model:
    """The face of a model that SB3's callbacks look at, shared by all callbacks of one `learn`.

    Attributes:
        logger: of SB3; what callbacks record in it becomes part of the run's records.
        ep_info_buffer: returns "r" and lengths "l" of the last 100 episodes.
        ep_success_buffer: their successes.
        verbose: 0.
        n_envs: 1, so that counts of calls are counts of env steps.
    """

    def __init__(self, agent: SearchAgent) -> None:
        from zorl.agents.sb3.callbacks import Count, FiguresLogger

        self._agent = agent
        self._env: Any = None
        self._count = Count
        self._before = agent.num_timesteps
        self.logger: Any = FiguresLogger()
        self.ep_info_buffer: deque[dict[str, float]] = deque(maxlen=100)
        self.ep_success_buffer: deque[bool] = deque(maxlen=100)
        self.verbose = 0
        self.n_envs = 1
        self.predict = agent.predict

    @property
    def num_timesteps(self) -> int:
        return self._count(self._agent.num_timesteps, self._before)

    def steps(self) -> tuple[int, int]:
        """Env steps now and when callbacks were last called."""
        return self._agent.num_timesteps, self._before

    def called(self) -> None:
        """Note that callbacks were called."""
        self._before = self._agent.num_timesteps

    def save(self, path: Any) -> None:
        from zorl.agents.sb3.callbacks import with_suffix

        self._agent.save(with_suffix(path))

    def set_logger(self, logger: Any) -> None:
        self.logger = logger

    def get_env(self) -> Any:
        if self._env is None:
            from stable_baselines3.common.vec_env import DummyVecEnv

            self._env = DummyVecEnv([self._agent.task.make])
        return self._env

    env = property(get_env)

    @property
    def observation_space(self) -> Any:
        return self.get_env().observation_space

    @property
    def action_space(self) -> Any:
        return self.get_env().action_space

    def get_vec_normalize_env(self) -> None:
        return None

    def dump_logs(self) -> None:
        self.logger.dump(int(self.num_timesteps))

    def take_figures(self) -> Mapping[str, float]:
        """What was recorded in the logger, for the run's records; a logger of the user writes."""
        if hasattr(self.logger, "take"):
            figures: Mapping[str, float] = self.logger.take()
            return figures
        self.dump_logs()
        return {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the model of a search agent has no {name!r}: callbacks have num_timesteps, logger, "
            "set_logger, predict, save, get_env, env, observation_space, action_space, "
            "ep_info_buffer, ep_success_buffer and, in locals, generation"
        )

    def close(self) -> None:
        if self._env is not None:
            close_env(self._env)
            self._env = None


class _SB3Callbacks(Hook):
    """Callbacks of SB3, each called once a generation, at its last env step."""

    def __init__(self, callbacks: list[Any], agent: SearchAgent, target: int) -> None:
        self._callbacks = callbacks
        self._model = _SB3Model(agent)
        self._locals: dict[str, Any] = {"self": self._model, "total_timesteps": target}

    def start(self) -> None:
        for callback in self._callbacks:
            callback.init_callback(self._model)
        for callback in self._callbacks:
            callback.on_training_start(self._locals, {})
        for callback in self._callbacks:
            callback.on_rollout_start()

    def record(self, generation: Generation) -> bool:
        from zorl.agents.sb3.callbacks import advance_bars, count_steps

        evaluation, model = generation.evaluation, self._model
        infos = [
            {"episode": {"r": float(r), "l": int(length)}}
            for r, length in zip(
                evaluation.native_returns.ravel(), evaluation.lengths.ravel(), strict=True
            )
        ]
        model.ep_info_buffer.extend(info["episode"] for info in infos)
        model.ep_success_buffer.extend(evaluation.successes.ravel().tolist())
        self._locals.update(
            generation=generation,
            dones=[True] * len(infos),  # every episode of a generation is over
            rewards=evaluation.returns.ravel(),
            infos=infos,
        )
        now, before = model.steps()
        goes_on = True
        for callback in self._callbacks:
            callback.update_locals(self._locals)
            seen = int(getattr(callback, "n_calls", 0))
            count_steps(callback, seen + now - before, seen)
            goes_on = bool(callback.on_step()) and goes_on
            advance_bars(callback, now - before)
        model.called()
        return goes_on

    def take_figures(self) -> Mapping[str, float]:
        return self._model.take_figures()

    def finish(self) -> None:
        for callback in self._callbacks:
            callback.on_rollout_end()
        for callback in self._callbacks:
            callback.on_training_end()
        self._model.close()


def _of_sb3(function: Callable[..., Any]) -> Any:
    """SB3's callback of a function of (locals, globals); the function itself if it takes less."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # without a signature
        return function
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if sum(item.kind in kinds and item.default is item.empty for item in parameters) != 2:
        return function
    from stable_baselines3.common.callbacks import ConvertCallback

    def call(local: dict[str, Any], everything: dict[str, Any]) -> bool:
        answer = function(local, everything)
        return not isinstance(answer, (bool, np.bool_)) or bool(answer)

    return ConvertCallback(call)


def as_hook(callback: Any, agent: SearchAgent, target: int) -> Hook:
    """The hook for what a user gave as `callback`.

    Args:
        callback: None, a function of the generation, an SB3 callback or its function of (locals,
            globals), or a list of these.
        agent: the agent that learns.
        target: `num_timesteps` at which it will stop.
    """
    hooks: list[Hook] = []
    callbacks: list[Any] = []
    for item in callback if isinstance(callback, (list, tuple)) else [callback]:
        if item is None:
            continue
        item = _of_sb3(item) if callable(item) else item
        if hasattr(item, "on_step") and hasattr(item, "init_callback"):
            callbacks.append(item)
        elif callable(item):
            hooks.append(_Function(item))
        else:
            raise ConfigurationError(
                f"a callback must be a function of the generation or one of stable-baselines3's, "
                f"got {item!r}"
            )
    if callbacks:
        hooks.append(_SB3Callbacks(callbacks, agent, target))
    return _Several(hooks)
