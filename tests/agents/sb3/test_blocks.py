"""An action's bits depend on its observation alone, and many lanes may play at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from toy_baselines import KINDS, PPO, Maker, of_kind, play, same, weights

import zorl
from zorl.agents.sb3.agent import BaselineAgent
from zorl.agents.sb3.blocks import BLOCK, BlockPredictor
from zorl.envs import Task, make_task

SPACES: dict[str, gym.Space[Any]] = {
    "image": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "tiles": gym.spaces.Discrete(9),
    "doubles": gym.spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    "choice": gym.spaces.Discrete(4),
    "choices": gym.spaces.MultiDiscrete([2, 3]),
    "switches": gym.spaces.MultiBinary(3),
    "torques": gym.spaces.Box(-2.0, 2.0, (2,), np.float32),
}
OBSERVATIONS, ACTIONS = ("image", "tiles", "doubles"), ("choice", "choices", "switches", "torques")


# Wide enough that a row is rounded the same in every place of a block.
WIDE = {**PPO, "policy_kwargs": {"net_arch": [16]}}


class Rooms(gym.Env[Any, Any]):
    """Draws observations; the reward is the sum of the action, and decides the length."""

    opened: ClassVar[list[Rooms]] = []

    def __init__(self, observations: str = "doubles", actions: str = "torques") -> None:
        self.observation_space = SPACES[observations]
        self.action_space = SPACES[actions]
        Rooms.opened.append(self)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.total = 0.0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(np.sum(action))
        self.total += 1 + abs(reward)
        return self._observation(), reward, self.total > 30, False, {}

    def _observation(self) -> Any:
        if isinstance(self.observation_space, gym.spaces.Discrete):
            return int(self.np_random.integers(9))
        if self.observation_space.dtype == np.uint8:
            return self.np_random.integers(256, size=(8, 8, 3), dtype=np.uint8)
        return self.np_random.normal(size=(2, 3))


gym.register("zorltest/Rooms-v0", f"{__name__}:Rooms")


def rooms(observations: str, actions: str) -> Task:
    return make_task(
        "zorltest/Rooms-v0",
        max_episode_steps=50,
        env_kwargs={"observations": observations, "actions": actions},
    )


def random_rows(agent: BaselineAgent, n: int) -> NDArray[Any]:
    space = agent.task.make().observation_space
    if space.dtype is not None and np.issubdtype(space.dtype, np.integer):
        space.seed(0)
        return np.array([space.sample() for _ in range(n)])
    return np.random.default_rng(0).normal(size=(n, *(space.shape or ()))).astype(space.dtype)


def check_rows(agent: BaselineAgent, rows: NDArray[Any]) -> None:
    """Each action is that of its row alone, to the bit, in any company and in any place."""
    alone = np.array([agent.predict(row)[0] for row in rows])
    assert len(np.unique(alone, axis=0)) > 1
    for n in (1, 2, 31, 32, 33, len(rows)):
        actions, _ = agent.predict(rows[:n])
        assert np.array_equal(actions, alone[:n])
        assert actions.dtype == alone.dtype
        assert np.array_equal(agent.predict(rows[-n:][::-1])[0], alone[-n:][::-1])


def check_evaluation(agent: BaselineAgent) -> None:
    seeds = (11, 5, 2**31 - 1, 8)
    evaluation = agent.evaluate(seeds)
    env = agent.task.make()
    for column, seed in enumerate(seeds):
        shaped, _, length, _ = play(agent, env, seed)
        assert evaluation.returns[0, column] == shaped
        assert evaluation.lengths[0, column] == length
    env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_batch_is_the_row_alone(make: Maker, kind: str) -> None:
    agent = of_kind(make, kind)
    with torch.no_grad():  # so that it does not always do the same
        generator = torch.Generator().manual_seed(1)
        for parameter in agent.model.policy.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    assert BlockPredictor(agent.model).block == BLOCK
    check_rows(agent, random_rows(agent, 70))


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("observations", OBSERVATIONS)
def test_all_spaces(make: Maker, observations: str, actions: str) -> None:
    agent = make("ppo", rooms(observations, actions), WIDE)
    with torch.no_grad():  # so that it does not always do the same
        agent.model.policy.action_net.weight *= 300
    assert BlockPredictor(agent.model).block == BLOCK
    rows = random_rows(agent, 40)
    assert np.asarray(agent.predict(rows[0])[0]).shape == SPACES[actions].shape
    assert agent.predict(rows[0])[0] in SPACES[actions]
    assert agent.predict(rows)[0].shape == (40, *(SPACES[actions].shape or ()))
    check_rows(agent, rows)
    check_evaluation(agent)


def spoil_place(model: Any) -> None:
    forward = model.policy.action_net.forward
    model.policy.action_net.forward = lambda x: forward(x) + 1e-6 * torch.arange(len(x))[:, None]


def spoil_count(model: Any) -> None:
    forward = model.policy.action_net.forward
    model.policy.action_net.forward = lambda x: forward(x) + 1e-6 * x.mean()


def spoil_hidden(model: Any) -> None:
    """Differs in the last bit of a hidden number, which most actions do not show."""
    forward = model.policy.mlp_extractor.policy_net.forward

    def spoiled(x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = forward(x).clone()
        if len(hidden) > 1:
            hidden[-1, 0] = torch.nextafter(hidden[-1, 0], torch.tensor(2.0))
        return hidden

    model.policy.mlp_extractor.policy_net.forward = spoiled


@pytest.mark.parametrize("spoil", [spoil_place, spoil_count, spoil_hidden])
@pytest.mark.parametrize("actions", ["choice", "torques"])
def test_a_network_whose_bits_depend_on_the_place_is_run_row_by_row(
    make: Maker, caplog: pytest.LogCaptureFixture, spoil: Callable[[Any], None], actions: str
) -> None:
    agent = make("ppo", rooms("doubles", actions), WIDE)
    caplog.set_level("INFO", logger="zorl")
    spoil(agent.model)
    assert BlockPredictor(agent.model).block == 1
    assert "depend on its place" in caplog.text
    Rooms.opened.clear()
    check_rows(agent, random_rows(agent, 40))
    opened = len(Rooms.opened)
    agent.evaluate((1, 2, 3))
    assert len(Rooms.opened) == opened + 1


def test_a_parameter_with_32_rows_is_not_taken_for_a_block(make: Maker) -> None:
    options = {**PPO, "use_sde": True, "policy_kwargs": {"net_arch": [BLOCK, BLOCK]}}
    assert BlockPredictor(make("ppo", "Pendulum-v1", options).model).block == BLOCK


@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_a_large_network_is_run_row_by_row(
    make: Maker, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    width = [8] if policy == "CnnPolicy" else [512, 512]
    options = {**PPO, "policy": policy, "policy_kwargs": {"net_arch": width}}
    task = rooms("doubles", "torques")
    if policy == "CnnPolicy":
        task = make_task("zorltest/Pictures-v0", max_episode_steps=50)
    agent = make("ppo", task, options)
    assert BlockPredictor(agent.model).block == 1
    assert not caplog.text
    check_rows(agent, random_rows(agent, 34))


class Pictures(Rooms):
    """The smallest images that SB3's network of convolutions takes."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def _observation(self) -> Any:
        return self.np_random.integers(256, size=(36, 36, 1), dtype=np.uint8)


gym.register("zorltest/Pictures-v0", f"{__name__}:Pictures")


def test_a_policy_that_remembers_is_called_as_it_is(make: Maker) -> None:
    agent = of_kind(make, "ppo")
    called: list[Any] = []
    plain = agent.model.policy.predict

    def predict(
        observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        called.append((observation, state, episode_start, deterministic))
        return plain(observation, None, None, deterministic)[0], "memory"

    agent.model.policy.predict = predict
    assert BlockPredictor(agent.model).block is None
    observations = np.zeros((3, 4), np.float32)
    assert agent.predict(observations, "state", "start")[1] == "memory"
    assert called[-1] == (observations, "state", "start", True)


def test_a_policy_that_cannot_be_tried_is_called_as_it_is(
    make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    agent = of_kind(make, "ppo")
    caplog.set_level("INFO", logger="zorl")
    plain = agent.model.policy.predict

    def predict(observation: Any, *arguments: Any, **more: Any) -> Any:
        if len(observation) == BLOCK:
            raise RuntimeError("one at a time")
        return plain(observation, *arguments, **more)

    agent.model.policy.predict = predict
    check_evaluation(agent)
    assert "one at a time" in caplog.text


def test_trying_changes_nothing(make: Maker) -> None:
    for kind in KINDS:
        agent = of_kind(make, kind)
        before, threads = weights(agent), torch.get_num_threads()
        torch_state = torch.get_rng_state()
        numpy_state: Any = np.random.get_state()  # noqa: NPY002
        BlockPredictor(agent.model)
        assert same(before, weights(agent))
        assert torch.equal(torch_state, torch.get_rng_state())
        now: Any = np.random.get_state()  # noqa: NPY002
        assert np.array_equal(numpy_state[1], now[1])
        assert numpy_state[2] == now[2]
        assert torch.get_num_threads() == threads


def test_observations_of_another_shape_are_refused_in_words_of_sb3(make: Maker) -> None:
    agent = of_kind(make, "ppo")
    with pytest.raises(ValueError, match=r"shape \(2, 5\) for Box"):
        agent.predict(np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match="mixing Gym API with SB3 VecEnv API"):
        agent.predict((np.zeros(4, np.float32), {}))
    assert of_kind(make, "td3").predict(np.zeros((0, 3)))[0].shape == (0, 1)
    assert agent.predict([[0.0] * 4] * 2)[0].shape == (2,)


@pytest.mark.parametrize(("lanes", "expected"), [(None, 5), (2, 2)])
def test_an_evaluation_has_many_lanes_or_as_many_as_are_asked_for(
    lanes: int | None, expected: int, tmp_path: Any
) -> None:
    agent = zorl.make_agent("ppo", rooms("doubles", "torques"), lanes=lanes, **WIDE)
    assert isinstance(agent, BaselineAgent)
    agent.save(tmp_path / "agent.zip")
    loaded = zorl.load_agent(tmp_path / "agent.zip", lanes=lanes)
    for other in (agent, loaded, loaded.as_saved(tmp_path / "agent.zip")):
        Rooms.opened.clear()
        returns = other.evaluate((1, 2, 3, 4, 5)).returns
        assert len(Rooms.opened) == expected
        assert np.array_equal(returns, other.evaluate((5, 4, 3, 2, 1)).returns[:, ::-1])
    agent.close()
    loaded.close()
