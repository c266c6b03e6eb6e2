"""A policy of SB3 as zorl runs it and writes it to files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from toy_baselines import KINDS, Maker, of_kind, same, weights

from zorl.agents.sb3.agent import BaselineAgent
from zorl.agents.sb3.policy import BaselinePolicy
from zorl.common.errors import FileFormatError
from zorl.common.storage import Arrays, load_archive, save_archive
from zorl.policies.observations import ObservationEncoder


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (gym.spaces.Box(0, 255, (2, 2), np.uint8), np.array([[[0, 1], [254, 255]]], np.uint8)),
        (gym.spaces.Box(-1.0, 1.0, (3,), np.float32), np.array([[0.1, -0.7, 1.0]], np.float32)),
        (gym.spaces.Discrete(4, start=3), np.array([5])),
    ],
)
def test_the_policy_sees_what_the_environment_gave(space: Any, values: Any) -> None:
    seen: list[Any] = []

    def predict(observations: Any) -> tuple[Any, None]:
        seen.append(observations)
        return np.array([1], np.int64), None

    encoder = ObservationEncoder.for_space(space)
    features = encoder.batch(values)[0]
    actions = BaselinePolicy(predict, encoder).bind(np.zeros((1, 0), np.float32))(1, features, None)
    assert np.array_equal(seen[0], values)
    assert seen[0].dtype.kind == values.dtype.kind
    assert seen[0].dtype == values.dtype
    assert actions == [1]
    assert type(actions[0]) is int


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_agent_acts_to_the_same_bits(make: Maker, kind: str, tmp_path: Path) -> None:
    agent = of_kind(make, kind, seed=7).learn(130)
    path = tmp_path / "agent.zorl"
    agent.save(path)
    _, metadata, arrays = load_archive(path, "agent")
    assert metadata["family"] == "sb3"
    loaded = BaselineAgent.from_archive(metadata, arrays)
    try:
        assert loaded.config == agent.config
        assert loaded.num_timesteps == agent.num_timesteps > 0
        assert loaded.num_episodes == agent.num_episodes
        space = agent.model.get_env().observation_space
        rng = np.random.default_rng(0)
        observations = rng.normal(size=(64, *space.shape)).astype(space.dtype)
        assert np.array_equal(loaded.predict(observations)[0], agent.predict(observations)[0])
        assert np.array_equal(loaded.evaluate((1, 2)).returns, agent.evaluate((1, 2)).returns)
        loaded.save(tmp_path / "again.zorl")
        assert (tmp_path / "again.zorl").read_bytes() == path.read_bytes()
        # It is no new agent: it goes on counting, and does not play its first episodes again.
        before = weights(loaded)
        first = loaded.model.get_env().reset()
        loaded.learn(60)
        assert loaded.num_timesteps >= agent.num_timesteps + 60
        assert kind == "dqn" or not same(before, weights(loaded))
        assert not np.array_equal(first, of_kind(make, kind, seed=7).model.get_env().reset())
    finally:
        loaded.close()


def test_files_hold_statistics_and_no_pickle(make: Maker, tmp_path: Path) -> None:
    agent = of_kind(make, "ppo-normalised").learn(128)
    path = tmp_path / "agent.zorl"
    agent.save(path)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["arrays.safetensors", "zorl.json"]
    _, _, arrays = load_archive(path)
    statistics = agent.model.get_vec_normalize_env()
    assert np.array_equal(arrays["observations.mean"], statistics.obs_rms.mean)
    assert np.array_equal(arrays["observations.var"], statistics.obs_rms.var)
    assert arrays["returns.var"].item() == float(statistics.ret_rms.var) != 1.0
    assert arrays["observations.count"].item() == statistics.obs_rms.count


@pytest.mark.parametrize(
    "harm",
    [
        lambda arrays: arrays.pop("policy.action_net.bias"),
        lambda arrays: arrays.pop("observations.mean"),
        lambda arrays: arrays.update({"policy.action_net.bias": np.zeros(2, np.float32)}),
        lambda arrays: arrays.update({"observations.mean": np.zeros(2)}),
        lambda arrays: arrays.update({"policy.more": np.zeros(2)}),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    make: Maker, tmp_path: Path, harm: Callable[[Arrays], Any]
) -> None:
    agent = of_kind(make, "ppo-normalised")
    agent.save(tmp_path / "agent.zorl")
    _, metadata, arrays = load_archive(tmp_path / "agent.zorl")
    harm(arrays)
    save_archive(tmp_path / "harmed.zorl", "agent", metadata, arrays)
    with pytest.raises(FileFormatError, match="does not fit its configuration"):
        BaselineAgent.from_archive(*load_archive(tmp_path / "harmed.zorl")[1:])


def test_metadata_that_is_incomplete_is_refused(make: Maker, tmp_path: Path) -> None:
    agent = of_kind(make, "dqn")
    agent.save(tmp_path / "agent.zorl")
    _, metadata, arrays = load_archive(tmp_path / "agent.zorl")
    for name in ("config", "num_timesteps"):
        with pytest.raises(FileFormatError, match=name):
            BaselineAgent.from_archive({k: v for k, v in metadata.items() if k != name}, arrays)
