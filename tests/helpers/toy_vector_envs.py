"""Environments with vector environments of their own."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from toy_envs import Walk


class Countdown(gym.Env[Any, Any]):
    """An episode with start x in [0, 1) and action a at every step, which everything tells of.

    It is over after 2 + ⌊8x⌋ + 3a steps of reward x + 1000a, the last one 100 more: terminated
    where x > ½, else truncated. Observations are [x, steps taken].
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(3)

    def __init__(self, **of_the_vector: Any) -> None:
        """Arguments are those of `CountdownVector`, and change nothing here."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._x, self._t = np.random.default_rng(seed).random(), 0
        return np.array([self._x, self._t]), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._t += 1
        over = self._t >= 2 + int(8 * self._x) + 3 * action
        reward = self._x + 1000.0 * action + 100.0 * over
        observation = np.array([self._x, self._t])
        wins = bool(self._x > 0.5)
        return observation, reward, over and wins, over and not wins, {"is_success": not wins}


class CountdownVector(gym.vector.VectorEnv[Any, Any, Any]):
    """Its native vector environment.

    Args:
        num_envs: number of sub-environments.
        mode: of resets, a value of `AutoresetMode`.
        own_seeds: take a seed for each, as `Countdown` does; else one generator for all.
        fault: what goes wrong: "nan-reward", "nan-observation" or "nan-reset" (where x < ⅓),
            "raise", "wrong-shape", "one-reward", "float-flags", "four-values", "ignores-mask",
            "no-mask", "no-mode", "list-for-all" (one generator that takes a list of seeds).
    """

    def __init__(
        self,
        num_envs: int = 1,
        mode: str = "NextStep",
        own_seeds: bool = False,
        fault: str = "none",
    ) -> None:
        self.num_envs = num_envs
        self._mode = gym.vector.AutoresetMode(mode)
        self.metadata = {} if fault == "no-mode" else {"autoreset_mode": self._mode}
        self._own, self._fault = own_seeds, fault
        self.single_observation_space = Countdown.observation_space
        self.single_action_space = Countdown.action_space
        self.observation_space = gym.vector.utils.batch_space(Countdown.observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(Countdown.action_space, num_envs)
        self._over = np.zeros(num_envs, np.bool_)
        self._x, self._t = np.zeros(num_envs), np.zeros(num_envs)
        self._broken = False

    def _start(self, some: Any, seed: Any) -> None:
        if self._own and isinstance(seed, list):
            assert len(seed) == self.num_envs
            values = np.array([np.random.default_rng(s).random() for s in seed])
        else:
            values = self.np_random.random(self.num_envs)
        self._x[some], self._t[some], self._over[some] = values[some], 0, False

    def _observe(self) -> Any:
        observations = np.stack([self._x, self._t], axis=1)
        if self._fault == "nan-observation":
            observations[(self._x < 1 / 3) & (self._t == 2)] = np.nan
        if self._fault == "nan-reset":
            observations[(self._x < 1 / 3) & (self._t == 0)] = np.nan
        return observations[:, :1] if self._fault == "wrong-shape" else observations

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if self._broken:
            raise RuntimeError("it was broken before")
        if self._fault == "list-for-all" and isinstance(seed, list):
            self._np_random = np.random.default_rng(seed)
        elif isinstance(seed, list) and not self._own:
            raise ValueError("one seed for all")
        super().reset(seed=seed if isinstance(seed, int) else None)
        some = np.ones(self.num_envs, np.bool_)
        if options is not None:
            if self._fault == "no-mask":
                raise KeyError("reset_mask")
            if self._fault != "ignores-mask":
                some = options.pop("reset_mask")
                assert some.dtype == np.bool_ and some.shape == (self.num_envs,) and some.any()
        self._start(some, seed)
        return self._observe(), {}

    def step(self, actions: Any) -> Any:
        assert self.action_space.contains(actions), actions
        idle = self._over.copy()  # only reset in this step
        if self._mode is gym.vector.AutoresetMode.DISABLED:
            assert not idle.any(), "a finished one was stepped"
        if self._fault == "raise":
            self._broken = True
            raise RuntimeError("the step is broken")
        self._t += 1
        over = self._t >= 2 + (8 * self._x).astype(int) + 3 * actions
        rewards = self._x + 1000.0 * actions + 100.0 * over
        wins = self._x > 0.5
        if self._fault == "nan-reward":
            rewards[(self._x < 1 / 3) & (self._t == 2)] = np.nan
        info: dict[str, Any] = {"is_success": ~wins, "_is_success": np.ones_like(wins)}
        if idle.any():
            self._start(idle, None)
            rewards[idle], over[idle] = -1e9, False  # nobody is to look at that
        self._over = over
        if self._mode is gym.vector.AutoresetMode.SAME_STEP and over.any():
            info = {"is_success": wins, "final_info": info, "_final_info": over.copy()}
            over = over.copy()
            self._start(over, None)
        results = (self._observe(), rewards, (over & wins) | idle, over & ~wins)
        if self._fault == "one-reward":
            results = (results[0], rewards[:1], *results[2:])
        if self._fault == "float-flags":
            results = (*results[:3], results[3].astype(float))
        return results if self._fault == "four-values" else (*results, info)


gym.register(
    "toy/Countdown-v0",
    Countdown,
    vector_entry_point=CountdownVector,  # type: ignore[arg-type]
    disable_env_checker=True,
)
COUNTDOWN = "toy_vector_envs:toy/Countdown-v0"


def walk_vector(num_envs: int, max_episode_steps: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """Walks side by side, each with a seed of its own."""

    def walk() -> gym.Env[Any, Any]:
        return gym.make("toy/Walk-v0", max_episode_steps=max_episode_steps, **kwargs)

    mode = gym.vector.AutoresetMode.DISABLED
    return gym.vector.SyncVectorEnv([walk] * num_envs, autoreset_mode=mode)


gym.register(
    "toy/VectorWalk-v0",
    Walk,  # type: ignore[arg-type]
    vector_entry_point=walk_vector,  # type: ignore[arg-type]
    max_episode_steps=25,
    disable_env_checker=True,
)
VECTOR_WALK = "toy_vector_envs:toy/VectorWalk-v0"
