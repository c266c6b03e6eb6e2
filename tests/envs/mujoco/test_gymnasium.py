"""zorl's twins of Gymnasium's MuJoCo tasks are these tasks, bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from mujoco_cases import evaluated
from registries import forget_afterwards

from zorl.envs import register_twin
from zorl.envs.mujoco.gymnasium_v5 import InvertedPendulum
from zorl.envs.twins.base import TWINS
from zorl.testing import check_compiled_twin

pytest.importorskip("mujoco")

# Every id once, since each case compiles a kernel: one version as it is, the other with options.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("Ant-v5", {}),
    (
        "Ant-v5",
        {"contact_force_range": [-0.1, 0.2], "exclude_current_positions_from_observation": False},
    ),
    ("Ant-v4", {"use_contact_forces": True, "terminate_when_unhealthy": False}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False, "frame_skip": 2}),
    ("HalfCheetah-v4", {}),
    ("Hopper-v5", {}),
    ("Hopper-v4", {"terminate_when_unhealthy": False, "healthy_state_range": [-3.0, 3.0]}),
    ("Humanoid-v5", {"include_cinert_in_observation": False, "contact_cost_weight": 0.01}),
    ("Humanoid-v5", {"include_cvel_in_observation": False, "contact_cost_range": [0.5, 0.7]}),
    ("Humanoid-v4", {}),
    ("HumanoidStandup-v5", {"include_cfrc_ext_in_observation": False, "impact_cost_weight": 1.0}),
    ("HumanoidStandup-v4", {}),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3.0, "reset_noise_scale": 0.3}),
    ("InvertedDoublePendulum-v4", {}),
    ("InvertedPendulum-v5", {"reset_noise_scale": 0.05}),
    ("InvertedPendulum-v4", {}),
    ("Pusher-v5", {"reward_near_weight": 0.2, "reward_control_weight": 0.3}),
    ("Reacher-v5", {"reward_dist_weight": 0.3, "reward_control_weight": 0.7}),
    ("Reacher-v4", {}),
    ("Swimmer-v5", {"ctrl_cost_weight": 0.3, "forward_reward_weight": 2.5}),
    ("Swimmer-v4", {}),
    ("Walker2d-v5", {"healthy_z_range": [1.1, 1.4], "healthy_reward": 0.3}),
    ("Walker2d-v4", {}),
]


def played_alike(env_id: str, kwargs: dict[str, Any], **options: Any) -> None:
    short = {"max_episode_steps": 200, **kwargs}
    assert check_compiled_twin(env_id, env_kwargs=short, **options).exact_differences == 0


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_random_episodes_are_equal_to_the_bit(env_id: str, kwargs: dict[str, Any]) -> None:
    played_alike(env_id, kwargs, steps=400)


@dataclass(frozen=True)
class Wrong(InvertedPendulum):
    """Its reward is wrong by a last bit."""

    def reward(self, data: Any, action: Any, before: Any) -> Any:
        return 0.0 if self.terminated(data) else 1.0000000000000002


def test_a_last_bit_is_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_afterwards(TWINS, monkeypatch)
    spec = replace(gym.spec("InvertedPendulum-v5"))
    spec.id = "Wrong-v0"
    monkeypatch.setitem(gym.registry, spec.id, spec)
    register_twin("Wrong-v0", Wrong)
    with pytest.raises(
        AssertionError, match=r"is another task, after step 1 of .* reward 1\.0+2, "
    ):
        check_compiled_twin("Wrong-v0", steps=100)
    report = check_compiled_twin("Wrong-v0", steps=100, tolerance=1e-15)
    assert report.exact_differences == report.steps - report.episodes > 0
    assert math.isnan(report.observation_error)


def test_physics_that_blow_up_are_reset_alike() -> None:
    # MuJoCo resets a state with huge accelerations, and writes a line to its log.
    played_alike("HalfCheetah-v5", {"reset_noise_scale": 60.0}, steps=300, seed=3)


def test_a_policy_in_the_loop_gives_gymnasiums_bits_on_any_number_of_threads() -> None:
    for env_id, hidden in (("Hopper-v5", ()), ("Reacher-v5", (8, 4))):
        truth, *mine = evaluated(env_id, hidden, threads=(1, 2, 3))
        for found in mine:
            for name in ("returns", "native_returns", "lengths", "successes"):
                assert np.array_equal(getattr(found, name), getattr(truth, name)), name
            assert found.moments.mean.tolist() == truth.moments.mean.tolist()
            assert found.moments.m2.tolist() == truth.moments.m2.tolist()


@pytest.mark.parametrize("memory", [None, "gru:5", "elman:1"])
def test_a_policy_sees_only_what_a_mask_keeps_and_may_remember_it(memory: str | None) -> None:
    mask = ("mask-observation", {"keep": [7, 0, 3]})
    truth, mine = evaluated("Hopper-v5", (), threads=(1,), wrappers=[mask], memory=memory)
    assert np.array_equal(mine.returns, truth.returns)
    assert mine.moments.mean.tolist() == truth.moments.mean.tolist()
