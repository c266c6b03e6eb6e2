"""What `learn(callback=…)` takes: a function of the generation, or SB3's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from zorl.common.errors import ConfigurationError
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

    def finish(self) -> None:
        for hook in self._hooks:
            hook.finish()


class _SB3Model:
    """The face of a model that SB3's callbacks look at.

    They read `num_timesteps`, `logger`, `get_env`, `get_vec_normalize_env`, `predict` and `save`.
    """

    def __init__(self, agent: SearchAgent) -> None:
        from stable_baselines3.common.logger import Logger

        self._agent = agent
        self._env: Any = None
        self.logger = Logger(None, [])
        self.predict = agent.predict
        self.save = agent.save

    @property
    def num_timesteps(self) -> int:
        return self._agent.num_timesteps

    def get_env(self) -> Any:
        if self._env is None:
            from stable_baselines3.common.vec_env import DummyVecEnv

            self._env = DummyVecEnv([self._agent.task.make])
        return self._env

    def get_vec_normalize_env(self) -> None:
        return None

    def dump_logs(self) -> None:
        self.logger.dump(self.num_timesteps)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()


class _SB3Callback(Hook):
    """An SB3 callback; one call of its `on_step` is one generation."""

    def __init__(self, callback: Any, agent: SearchAgent, target: int) -> None:
        self._callback = callback
        self._model = _SB3Model(agent)
        self._locals: dict[str, Any] = {"self": self._model, "total_timesteps": target}

    def start(self) -> None:
        self._callback.init_callback(self._model)
        self._callback.on_training_start(self._locals, {})
        self._callback.on_rollout_start()

    def record(self, generation: Generation) -> bool:
        evaluation = generation.evaluation
        infos = [
            {"episode": {"r": float(r), "l": int(length)}}
            for r, length in zip(
                evaluation.native_returns.ravel(), evaluation.lengths.ravel(), strict=True
            )
        ]
        self._locals.update(
            generation=generation,
            dones=[True] * len(infos),  # every episode of a generation is over
            rewards=evaluation.returns.ravel(),
            infos=infos,
        )
        self._callback.update_locals(self._locals)
        return bool(self._callback.on_step())

    def finish(self) -> None:
        self._callback.on_rollout_end()
        self._callback.on_training_end()
        self._model.close()


def as_hook(callback: Any, agent: SearchAgent, target: int) -> Hook:
    """The hook for what a user gave as `callback`.

    Args:
        callback: None, a function of the generation, an SB3 callback, or a list of these.
        agent: the agent that learns.
        target: `num_timesteps` at which it will stop.
    """
    hooks: list[Hook] = []
    for item in callback if isinstance(callback, (list, tuple)) else [callback]:
        if item is None:
            continue
        if hasattr(item, "on_step") and hasattr(item, "init_callback"):
            hooks.append(_SB3Callback(item, agent, target))
        elif callable(item):
            hooks.append(_Function(item))
        else:
            raise ConfigurationError(
                f"a callback must be a function of the generation or one of stable-baselines3's, "
                f"got {item!r}"
            )
    return _Several(hooks)
