"""numpy's numbers are taken wherever Python's are, and written as plain ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK

from zorl.agents.agent import Agent
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.errors import ConfigurationError
from zorl.common.storage import load_archive
from zorl.comparison.spec import Comparison
from zorl.envs import make_task
from zorl.search.gates import Paired

NUMPY: dict[str, dict[str, Any]] = {
    "seed": {"seed": np.int64(3)},
    "hidden": {"hidden": (np.int64(4), np.int32(3))},
    "hidden array": {"hidden": np.array([4, 3])},
    "one size": {"hidden": np.int64(4)},
    "popsize": {"popsize": np.int64(6)},
    "sigma0": {"sigma0": np.float32(0.5)},
    "active": {"active": np.bool_(False)},
    "episodes": {"episodes": np.int64(2), "max_episodes": np.uint8(4)},
    "bias": {"bias": np.bool_(False), "stochastic": np.bool_(True)},
    "name": {"activation": np.str_("relu")},
    "gate": {"gate": "paired", "gate_options": {"episodes": np.int64(2)}},
    "gate object": {"gate": Paired(np.int64(2))},  # type: ignore[arg-type]
}


def plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return Paired(2) if isinstance(value, Paired) else value


@pytest.mark.parametrize("options", NUMPY.values(), ids=NUMPY)
def test_a_search_agent_takes_them(options: dict[str, Any], tmp_path: Path) -> None:
    files = []
    for index, given in enumerate((options, plain(options))):
        agent = make_agent("cma-es", WALK, "default", **{"episodes": 1, **given}).learn(40)
        agent.save(tmp_path / f"{index}.zip")
        assert load_agent(tmp_path / f"{index}.zip").config == agent.config
        files.append((tmp_path / f"{index}.zip").read_bytes())
    assert files[0] == files[1]


def test_arguments_of_environment_and_wrapper() -> None:
    task = make_task(
        WALK,
        [("frame-stack", {"stack_size": np.int64(2)})],
        {"length": np.int64(7)},
        threshold=np.float32(0.5),  # type: ignore[arg-type]
    )
    assert task == make_task(WALK, [("frame-stack", {"stack_size": 2})], {"length": 7}, 0.5)
    assert task.to_json()["env_kwargs"] == {"length": 7}


def test_a_baseline_takes_them(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "n_steps": np.int64(16),
        "batch_size": np.int32(8),
        "gamma": np.float32(0.5),
    }
    agent = make_agent(
        "ppo", "CartPole-v1", "default", seed=np.int64(2), n_envs=np.int64(1), **options
    )
    agent.save(tmp_path / "ppo.zip")
    again = load_agent(tmp_path / "ppo.zip")
    assert again.config == agent.config
    assert again.config["seed"] == 2
    assert type(agent.config["seed"]) is type(agent.config["n_envs"]) is int
    for each in (agent, again):
        each.close()


def test_a_plan_and_a_comparison_take_them() -> None:
    plan = TrainingPlan(np.int64(3000), np.int32(100), stop_at=np.float32(0.5), seconds=np.int8(3))  # type: ignore
    assert asdict(plan) == asdict(TrainingPlan(3000, 100, stop_at=0.5, seconds=3))
    assert {type(value) for value in asdict(plan).values()} == {int, str, float}
    with pytest.raises(ConfigurationError, match="total_timesteps must be an integer ≥ 1"):
        TrainingPlan(True)
    seeds = Comparison.create(make_task("CartPole-v1"), ["ars"], plan, np.arange(2)).seeds
    assert seeds == (0, 1)
    assert {type(seed) for seed in seeds} == {int}


def test_learn_takes_them() -> None:
    agent: Agent = make_agent("ars", WALK, episodes=1).learn(np.int64(30))  # type: ignore
    assert type(agent.num_timesteps) is int


@dataclass(frozen=True)
class Odd:
    """An optimizer's state with what no file can hold."""

    theta: Any
    t: int
    inside: Any


class OddSearch:
    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def init(self, theta: Any) -> Odd:
        return Odd(np.asarray(theta), 0, self.inside)

    def ask(self, state: Any, rng: Any) -> Any:
        raise AssertionError

    def tell(self, state: Any, asked: Any, returns: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_agent("ars", WALK, radius=1j), "radius"),
        (
            lambda: make_agent("cma-es", WALK, popsize=np.zeros(2)),
            "option popsize cannot be wri",
        ),
        (
            lambda: make_agent("cma-es", WALK, popsize=lambda d: d),
            "option popsize cannot be wri",
        ),
        (lambda: make_agent("cma-es", WALK, popsize=float("nan")), "option popsize cannot be wri"),
        (lambda: make_agent("ppo", WALK, policy_kwargs={"net_arch": {2}}), "must be a JSON value"),
        (lambda: make_agent("ars", make_task(WALK, env_kwargs={"length": 1j})), "'length' must be"),
        (lambda: make_agent(OddSearch({1: 2}), WALK), "inside has the key 1, and keys must be te"),
        (lambda: make_agent(OddSearch(object()), WALK), "inside is <object .* which no file can"),
        (lambda: make_agent(OddSearch(np.array([None])), WALK), "inside is an array of object"),
    ],
)
def test_what_no_file_can_hold_is_refused_before_training(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_a_state_may_hold_numpys_numbers(tmp_path: Path) -> None:
    agent = make_agent(OddSearch((np.int64(2), np.float32(0.5))), WALK)
    assert isinstance(agent, SearchAgent)
    agent.save(tmp_path / "odd.zip")
    assert load_archive(tmp_path / "odd.zip")[1]["scalars"]["state.optimizer.inside"] == [2, 0.5]
