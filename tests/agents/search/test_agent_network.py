"""A network of the user's own is saved with its buffers and frozen parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_networks import Frozen, frozen
from toy_searches import observations, walk

from zorl.agents.agent import Agent
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import load_agent, make_agent
from zorl.agents.resuming import resume
from zorl.agents.search.agent import SearchAgent
from zorl.agents.training import run_config, train
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.storage import load_archive, save_archive, write_json
from zorl.runs.folder import RunFolder

TASK = walk(action="box")


class Features(nn.Module):
    """Random features, in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(3, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ self.weight)  # type: ignore[operator]


class Normalised(nn.Module):
    """An actor behind SB3's VecNormalize: statistics in buffers, double precision, some saved."""

    def __init__(self, mean: float = 0.0, var: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3,), mean, dtype=torch.float64))
        self.register_buffer("var", torch.full((3,), var), persistent=False)
        self.register_buffer("gain", torch.tensor(var, dtype=torch.bfloat16))
        self.actor = nn.Linear(3, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = (x - self.mean.float()) / torch.sqrt(self.var + 1e-8) * self.gain.float()  # type: ignore
        return torch.as_tensor(self.actor(seen.clamp(-10, 10)))


def frozen_features() -> nn.Module:
    first = nn.Linear(3, 6)
    first.requires_grad_(False)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(6, OUTPUTS))


ENV = TASK.make()
OUTPUTS = int(np.prod(ENV.action_space.shape or ()))
ENV.close()

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "frozen": frozen_features,
    "buffer": lambda: nn.Sequential(Features(), nn.Linear(6, OUTPUTS)),
    "statistics": lambda: Normalised(*torch.rand(2).tolist()),
}


def made(name: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name]()


def ars(policy: Any, **options: Any) -> SearchAgent:
    agent = make_agent("ars", TASK, "default", episodes=1, m=2, top=None, policy=policy, **options)
    assert isinstance(agent, SearchAgent)
    return agent


def acts(agent: Agent) -> bytes:
    assert isinstance(agent, SearchAgent)
    return bytes(np.asarray(agent.predict(observations(agent))[0]).tobytes())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loaded_agent_acts_alike_with_a_newly_built_network(name: str, tmp_path: Path) -> None:
    agent = ars(made(name, 0)).learn(60)
    agent.save(tmp_path / "a.zip")
    other = made(name, 1)
    before = copy.deepcopy(other.state_dict())
    loaded = load_agent(tmp_path / "a.zip", policy=other)
    assert acts(loaded) == acts(agent)
    assert loaded.evaluate((1, 2)).returns.tolist() == agent.evaluate((1, 2)).returns.tolist()
    kept = other.state_dict()  # the user's own module is as it was
    assert all(torch.equal(kept[key], value) for key, value in before.items())
    assert other.training
    # As if the file said nothing of them: another policy, so that the check above can fail.
    plain = ars(other)
    plain.state = agent.state
    assert acts(plain) != acts(agent)
    loaded.learn(60)
    assert loaded.state.theta.tobytes() == agent.learn(60).state.theta.tobytes()  # type: ignore
    loaded.save(tmp_path / "b.zip")
    agent.save(tmp_path / "a.zip")
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()


def test_a_factory_that_no_longer_makes_the_same(tmp_path: Path) -> None:
    agent = ars("toy_networks:frozen").learn(60)
    agent.save(tmp_path / "a.zip")
    Frozen.scale = 3.0
    try:
        loaded = load_agent(tmp_path / "a.zip")
        assert acts(loaded) == acts(agent)
        assert acts(ars(frozen)) != acts(agent)
    finally:
        Frozen.scale = 1.0


def test_a_module_that_a_factory_shares_is_left_alone() -> None:
    shared = made("buffer", 0)
    ars(lambda features, outputs: shared)
    assert shared.training


def resized() -> nn.Module:
    network = made("buffer", 1)
    network[0].weight = network[0].weight.double()  # type: ignore[index]
    return network


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: nn.Sequential(nn.Identity(), nn.Linear(6, OUTPUTS)), "only the file has .* 0.wei"),
        (lambda: nn.Sequential(Features(), nn.Linear(6, OUTPUTS), nn.BatchNorm1d(OUTPUTS)), "only"),
        (resized, r"0.weight is float64 of shape \(3, 6\), the saved one float32"),
        (lambda: Wide(), r"0.weight is float32 of shape \(3, 7\), the saved one float32"),
        (lambda: Split(), r"parameters have the shapes \[\[.*\], the saved ones \[\["),
    ],
)
def test_what_does_not_fit_is_refused(other: Any, message: str, tmp_path: Path) -> None:
    ars(made("buffer", 0)).save(tmp_path / "a.zip")
    with pytest.raises((ConfigurationError, FileFormatError), match=message):
        load_agent(tmp_path / "a.zip", policy=other())


class Wide(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(Features(), nn.Linear(6, OUTPUTS))
        self[0].weight = torch.zeros(3, 7)


class Split(nn.Module):
    """The same number of parameters, in other shapes, and the same buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", Features())
        self.rows = nn.Parameter(torch.zeros(7, OUTPUTS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.get_submodule("0")(x)
        return torch.as_tensor(features @ self.rows[:6] + self.rows[6])


def test_a_file_that_says_nothing_of_them_loads_as_before(tmp_path: Path) -> None:
    network = made("buffer", 0)
    agent = ars(network)
    agent.save(tmp_path / "a.zip")
    kind, metadata, arrays = load_archive(tmp_path / "a.zip")
    del metadata["network"]
    old = {key: array for key, array in arrays.items() if not key.startswith("policy.")}
    save_archive(tmp_path / "old.zip", kind, metadata, old)
    assert acts(load_agent(tmp_path / "old.zip", policy=network)) == acts(agent)
    metadata["network"] = {"fixed": ["0.weight"], "shapes": []}
    save_archive(tmp_path / "broken.zip", kind, metadata, old)
    with pytest.raises(FileFormatError, match=r"lacks a part of its network: 'policy.0.weight'"):
        load_agent(tmp_path / "broken.zip", policy=network)


def test_a_run_resumes_with_them_and_its_best_policy_has_them(tmp_path: Path) -> None:
    plan = TrainingPlan(400, validate_episodes=2, held_out=3)

    def agent() -> SearchAgent:
        return ars(made("buffer", 0))

    whole = RunFolder.create(tmp_path / "whole", run_config(agent(), plan))
    expected = train(agent(), plan, whole)
    folder = RunFolder.create(tmp_path / "run", {})
    first = agent()
    write_json(folder.config, run_config(first, plan))
    train(first, plan, folder, stop=lambda: first.num_timesteps > 150)
    result = resume(folder, policy=made("buffer", 1))
    assert result.held_out is not None
    assert expected.held_out is not None
    assert result.held_out.native_return == expected.held_out.native_return
    assert folder.agent.read_bytes() == whole.agent.read_bytes()
    with pytest.raises(FileFormatError, match=r"its 0.weight is not that of this agent's network"):
        ars(made("buffer", 2)).as_saved(folder.best)


@pytest.mark.slow
def test_worker_processes_use_them(tmp_path: Path) -> None:
    first, second, third = (frozen(3, OUTPUTS) for _ in range(3))
    ars(first).save(tmp_path / "a.zip")
    here = load_agent(tmp_path / "a.zip", policy=second).learn(200)
    there = load_agent(tmp_path / "a.zip", policy=third, workers=2).learn(200)
    assert here.num_timesteps == there.num_timesteps
    assert here.state.theta.tobytes() == there.state.theta.tobytes()  # type: ignore[attr-defined]
    there.close()
