"""Published tuned settings, as data: RL Baselines3 Zoo's, for ARS and the SB3 baselines.

Every row was read in the repository DLR-RM/rl-baselines3-zoo at commit 22e3ff2 (2026-04-23). SB3
settings are arguments of the SB3 class as JSON values (see `zorl.agents.sb3.options`); those of
ARS are fields of `SearchConfig` and arguments of the recipe `ars`, in zorl's names.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_SOURCE = "RL Baselines3 Zoo 22e3ff2, hyperparams/{agent}.yml, {env_id}"


@dataclass(frozen=True)
class Settings:
    """Tuned settings of one agent on one environment.

    Attributes:
        settings: options by name, JSON values.
        source: where they were published, and for which environment id.
        n_envs: environments stepped side by side while training.
        normalize: running normalisation of observations and, for the SB3 agents, of rewards.
        n_timesteps: env steps that they were published for; a linear schedule reaches 0 there.
        left_out: published settings that zorl has no counterpart of.
    """

    settings: Mapping[str, Any]
    source: str = ""
    n_envs: int = 1
    normalize: bool = False
    n_timesteps: int = 1_000_000
    left_out: Mapping[str, Any] = field(default_factory=dict)


def tuned(agent: str, env_id: str) -> Settings | None:
    """Published settings of an agent for an environment, or None where there are none.

    The version of an id is not looked at: Hopper-v5 gets what was published for Hopper-v4, as the
    Zoo itself carried settings from version to version; rewards may differ between versions.
    `source` names the id that was published. A namespace is part of the name: phys2d/CartPole-v1
    is another environment than CartPole-v1.

    Args:
        agent: "ars" or a baseline. For other search agents nothing is published.
        env_id: a Gymnasium id, with or without version, also as "module:Id-v0".
    """
    name = _without_version(env_id.rpartition(":")[2])
    for published, row in TABLES.get(agent, {}).items():
        if _without_version(published) == name:
            # A copy, so that whoever changes the settings does not change the table.
            return replace(copy.deepcopy(row), source=_SOURCE.format(agent=agent, env_id=published))
    return None


def _without_version(env_id: str) -> str:
    return re.sub(r"-v\d+$", "", env_id)


def _row(n_timesteps: float, n_envs: int = 1, normalize: bool = False, **options: Any) -> Settings:
    """A row of an SB3 agent."""
    return Settings(options, "", n_envs, normalize, int(n_timesteps))


def _linear(initial: float) -> dict[str, Any]:
    """The Zoo's lin_…: from `initial` to 0 over the training."""
    return {"schedule": "linear", "initial": initial}


def _ars(
    n_timesteps: float, m: int, top: int, learning_rate: float, radius: float,
    normalize: bool = True, hidden: int = 0, **more: Any,
) -> Settings:  # fmt: skip
    """A row of ARS; `hidden` 0 is the Zoo's LinearPolicy, else its MlpPolicy."""
    settings = {
        "m": m,
        "top": top,
        "learning_rate": learning_rate,
        "radius": radius,
        "hidden": [hidden] if hidden else [],
        "bias": bool(hidden),
        "activation": "relu" if hidden else "tanh",  # of no layer, in the latter case
        "normalize": "running" if normalize else "off",
        "episodes": 1,
        **more,
    }
    # A tanh on Box actions, where zorl clips.
    left_out = {"squash_output": True} if hidden else {}
    return Settings(settings, "", 1, normalize, int(n_timesteps), left_out)


# Tables: a row stays in few lines.
# fmt: off
_WIDE: dict[str, Any] = {
    "log_std_init": -2, "ortho_init": False, "activation_fn": "relu",
    "net_arch": {"pi": [256, 256], "vf": [256, 256]}}

_PPO = {
    "CartPole-v1": _row(
        1e5, 8, n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20, ent_coef=0.0,
        learning_rate=_linear(0.001), clip_range=_linear(0.2)),
    "MountainCar-v0": _row(
        1e6, 16, True, n_steps=16, gae_lambda=0.98, gamma=0.99, n_epochs=4, ent_coef=0.0),
    "MountainCarContinuous-v0": _row(
        2e4, 1, True, batch_size=256, n_steps=8, gamma=0.9999, learning_rate=7.77e-5,
        ent_coef=0.00429, clip_range=0.1, n_epochs=10, gae_lambda=0.9, max_grad_norm=5,
        vf_coef=0.19, use_sde=True, policy_kwargs={"log_std_init": -3.29, "ortho_init": False}),
    "Acrobot-v1": _row(
        1e6, 16, True, n_steps=256, gae_lambda=0.94, gamma=0.99, n_epochs=4, ent_coef=0.0),
    "Pendulum-v1": _row(
        1e5, 4, n_steps=1024, gae_lambda=0.95, gamma=0.9, n_epochs=10, ent_coef=0.0,
        learning_rate=1e-3, clip_range=0.2, use_sde=True, sde_sample_freq=4),
    "LunarLander-v3": _row(
        1e6, 16, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999, n_epochs=4,
        ent_coef=0.01),
    "LunarLanderContinuous-v3": _row(
        1e6, 16, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999, n_epochs=4,
        ent_coef=0.01),
    "BipedalWalker-v3": _row(
        5e6, 32, True, n_steps=2048, batch_size=64, gae_lambda=0.95, gamma=0.999, n_epochs=10,
        ent_coef=0.0, learning_rate=3e-4, clip_range=0.18),
    "BipedalWalkerHardcore-v3": _row(
        1e8, 16, True, n_steps=2048, batch_size=64, gae_lambda=0.95, gamma=0.99, n_epochs=10,
        ent_coef=0.001, learning_rate=_linear(2.5e-4), clip_range=_linear(0.2)),
    "Swimmer-v4": _row(
        1e6, 4, True, gamma=0.9999, n_steps=1024, batch_size=256, learning_rate=6e-4,
        gae_lambda=0.98),
    "Ant-v4": _row(1e6, 1, True),
    "HalfCheetah-v4": _row(
        1e6, 1, True, batch_size=64, n_steps=512, gamma=0.98, learning_rate=2.0633e-5,
        ent_coef=0.000401762, clip_range=0.1, n_epochs=20, gae_lambda=0.92, max_grad_norm=0.8,
        vf_coef=0.58096, policy_kwargs=_WIDE),
    "Hopper-v4": _row(
        1e6, 1, True, batch_size=32, n_steps=512, gamma=0.999, learning_rate=9.80828e-5,
        ent_coef=0.00229519, clip_range=0.2, n_epochs=5, gae_lambda=0.99, max_grad_norm=0.7,
        vf_coef=0.835671, policy_kwargs=_WIDE),
    "Walker2d-v4": _row(
        1e6, 1, True, batch_size=32, n_steps=512, gamma=0.99, learning_rate=5.05041e-5,
        ent_coef=0.000585045, clip_range=0.1, n_epochs=20, gae_lambda=0.95, max_grad_norm=1,
        vf_coef=0.871923),
    "Humanoid-v4": _row(
        1e7, 1, True, batch_size=256, n_steps=512, gamma=0.95, learning_rate=3.56987e-5,
        ent_coef=0.00238306, clip_range=0.3, n_epochs=5, gae_lambda=0.9, max_grad_norm=2,
        vf_coef=0.431892, policy_kwargs=_WIDE),
    "HumanoidStandup-v2": _row(
        1e7, 1, True, batch_size=32, n_steps=512, gamma=0.99, learning_rate=2.55673e-5,
        ent_coef=3.62109e-6, clip_range=0.3, n_epochs=20, gae_lambda=0.9, max_grad_norm=0.7,
        vf_coef=0.430793, policy_kwargs=_WIDE),
    "InvertedDoublePendulum-v2": _row(
        1e6, 1, True, batch_size=512, n_steps=128, gamma=0.98, learning_rate=0.000155454,
        ent_coef=1.05057e-6, clip_range=0.4, n_epochs=10, gae_lambda=0.8, max_grad_norm=0.5,
        vf_coef=0.695929),
    "InvertedPendulum-v2": _row(
        1e6, 1, True, batch_size=64, n_steps=32, gamma=0.999, learning_rate=0.000222425,
        ent_coef=1.37976e-7, clip_range=0.4, n_epochs=5, gae_lambda=0.9, max_grad_norm=0.3,
        vf_coef=0.19816),
    "Reacher-v2": _row(
        1e6, 1, True, batch_size=32, n_steps=512, gamma=0.9, learning_rate=0.000104019,
        ent_coef=7.52585e-8, clip_range=0.3, n_epochs=5, gae_lambda=1.0, max_grad_norm=0.9,
        vf_coef=0.950368),
}

# What the Zoo's A2C rows for continuous actions have in common.
_SMOOTH: dict[str, Any] = {
    "max_grad_norm": 0.5, "n_steps": 8, "gae_lambda": 0.9, "vf_coef": 0.4, "use_rms_prop": True,
    "normalize_advantage": False, "use_sde": True,
    "policy_kwargs": {"log_std_init": -2, "ortho_init": False}}

_A2C = {
    "CartPole-v1": _row(5e5, 8, ent_coef=0.0),
    "MountainCar-v0": _row(1e6, 16, True, ent_coef=0.0),
    "MountainCarContinuous-v0": _row(
        1e5, 4, True, n_steps=100, ent_coef=0.0, use_sde=True, sde_sample_freq=16,
        policy_kwargs={"log_std_init": 0.0, "ortho_init": False}),
    "Acrobot-v1": _row(5e5, 16, True, ent_coef=0.0),
    "Pendulum-v1": _row(
        1e6, 8, True, ent_coef=0.0, gamma=0.9, learning_rate=_linear(7e-4), **_SMOOTH),
    "LunarLander-v3": _row(
        2e5, 8, gamma=0.995, n_steps=5, learning_rate=_linear(0.00083), ent_coef=0.00001),
    "LunarLanderContinuous-v3": _row(
        5e6, 4, True, ent_coef=0.0, gamma=0.99, learning_rate=_linear(7e-4), **_SMOOTH),
    "BipedalWalker-v3": _row(
        5e6, 16, True, ent_coef=0.0, gamma=0.99, learning_rate=_linear(0.00096), **_SMOOTH),
    "BipedalWalkerHardcore-v3": _row(
        2e8, 32, True, ent_coef=0.001, gamma=0.99, learning_rate=_linear(0.0008), **_SMOOTH),
    "HalfCheetah-v4": _row(1e6, 1, True),
    "Ant-v4": _row(1e6, 1, True),
    "Hopper-v4": _row(1e6, 1, True),
    "Walker2d-v4": _row(1e6, 1, True),
    "Humanoid-v4": _row(2e6, 1, True),
    "Swimmer-v4": _row(1e6, 1, True, gamma=0.9999),
}

_DQN = {
    "CartPole-v1": _row(
        5e4, learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000,
        gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128,
        exploration_fraction=0.16, exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]}),
    "MountainCar-v0": _row(
        1.2e5, learning_rate=4e-3, batch_size=128, buffer_size=10_000, learning_starts=1000,
        gamma=0.98, target_update_interval=600, train_freq=16, gradient_steps=8,
        exploration_fraction=0.2, exploration_final_eps=0.07,
        policy_kwargs={"net_arch": [256, 256]}),
    "LunarLander-v3": _row(
        1e5, learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=0,
        gamma=0.99, target_update_interval=250, train_freq=4, gradient_steps=-1,
        exploration_fraction=0.12, exploration_final_eps=0.1,
        policy_kwargs={"net_arch": [256, 256]}),
    "Acrobot-v1": _row(
        1e5, learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=0,
        gamma=0.99, target_update_interval=250, train_freq=4, gradient_steps=-1,
        exploration_fraction=0.12, exploration_final_eps=0.1,
        policy_kwargs={"net_arch": [256, 256]}),
}

_SAC = {
    "MountainCarContinuous-v0": _row(
        5e4, learning_rate=3e-4, buffer_size=50_000, batch_size=512, ent_coef=0.1, train_freq=32,
        gradient_steps=32, gamma=0.9999, tau=0.01, learning_starts=0, use_sde=True,
        policy_kwargs={"log_std_init": -3.67, "net_arch": [64, 64]}),
    "Pendulum-v1": _row(2e4, learning_rate=1e-3),
    "LunarLanderContinuous-v3": _row(
        5e5, batch_size=256, learning_rate=_linear(7.3e-4), buffer_size=1_000_000,
        ent_coef="auto", gamma=0.99, tau=0.01, train_freq=1, gradient_steps=1,
        learning_starts=10_000, policy_kwargs={"net_arch": [400, 300]}),
    "BipedalWalker-v3": _row(
        5e5, learning_rate=7.3e-4, buffer_size=300_000, batch_size=256, ent_coef="auto",
        gamma=0.98, tau=0.02, train_freq=64, gradient_steps=64, learning_starts=10_000,
        use_sde=True, policy_kwargs={"log_std_init": -3, "net_arch": [400, 300]}),
    "BipedalWalkerHardcore-v3": _row(
        1e7, learning_rate=_linear(7.3e-4), buffer_size=1_000_000, batch_size=256,
        ent_coef=0.005, gamma=0.99, tau=0.01, train_freq=1, gradient_steps=1,
        learning_starts=10_000, policy_kwargs={"net_arch": [400, 300]}),
    "HalfCheetah-v4": _row(1e6, learning_starts=10_000),
    "Ant-v4": _row(1e6, learning_starts=10_000),
    "Hopper-v4": _row(1e6, learning_starts=10_000),
    "Walker2d-v4": _row(1e6, learning_starts=10_000),
    "Humanoid-v4": _row(2e6, learning_starts=10_000),
    "Swimmer-v4": _row(1e6, learning_starts=10_000, gamma=0.999),
}

# What the Zoo's TD3 rows have in common, and the two kinds that most of them are.
_NOISY: dict[str, Any] = {
    "action_noise": {"type": "normal", "std": 0.1}, "train_freq": 1,
    "policy_kwargs": {"net_arch": [400, 300]}}
_TD3_SMALL: dict[str, Any] = {
    **_NOISY, "gradient_steps": 1, "gamma": 0.98, "buffer_size": 200_000,
    "learning_starts": 10_000, "learning_rate": 1e-3}
_TD3_MUJOCO: dict[str, Any] = {
    **_NOISY, "gradient_steps": 1, "learning_starts": 10_000, "learning_rate": 1e-3,
    "batch_size": 256}

_TD3 = {
    "MountainCarContinuous-v0": _row(
        3e5, action_noise={"type": "ornstein-uhlenbeck", "std": 0.5}, gradient_steps=1,
        train_freq=1, learning_rate=1e-3, batch_size=256,
        policy_kwargs={"net_arch": [400, 300]}),
    "Pendulum-v1": _row(2e4, **_TD3_SMALL),
    "LunarLanderContinuous-v3": _row(3e5, **_TD3_SMALL),
    "BipedalWalker-v3": _row(1e6, **_TD3_SMALL),
    "BipedalWalkerHardcore-v3": _row(
        1e7, gamma=0.99, buffer_size=1_000_000, learning_starts=10_000, batch_size=256,
        learning_rate=_linear(7e-4), **_NOISY),
    "HalfCheetah-v4": _row(1e6, **_TD3_MUJOCO),
    "Ant-v4": _row(1e6, **_TD3_MUJOCO),
    "Hopper-v4": _row(1e6, **_TD3_MUJOCO),
    "Walker2d-v4": _row(1e6, **_TD3_MUJOCO),
    "Humanoid-v4": _row(2e6, **_TD3_MUJOCO),
    "Swimmer-v4": _row(1e6, gamma=0.9999, **_TD3_MUJOCO),
}

_ARS = {  # steps, m, top, learning rate, radius
    "CartPole-v1": _ars(5e4, 2, 2, 0.02, 0.05, normalize=False),
    "Pendulum-v1": _ars(2e6, 4, 1, 0.018, 0.1, hidden=16),
    "LunarLander-v3": _ars(2e6, 6, 1, 0.018, 0.1, hidden=16),
    "LunarLanderContinuous-v3": _ars(2e6, 4, 1, 0.018, 0.1, hidden=16),
    "Acrobot-v1": _ars(5e5, 4, 1, 0.018, 0.1, hidden=16),
    "MountainCar-v0": _ars(5e5, 8, 1, 0.018, 0.1, hidden=16),
    "MountainCarContinuous-v0": _ars(5e5, 4, 1, 0.018, 0.2, hidden=16),
    "BipedalWalker-v3": _ars(
        1e8, 64, 32, 0.02, 0.0075, hidden=16, alive_bonus_offset=-0.1, zero_policy=True),
    "BipedalWalkerHardcore-v3": _ars(
        5e8, 64, 32, 0.02, 0.0075, hidden=16, alive_bonus_offset=-0.1, zero_policy=True),
    "Swimmer-v4": _ars(2e6, 1, 1, 0.02, 0.01, normalize=False),
    "Hopper-v4": _ars(7e6, 8, 4, 0.01, 0.025, alive_bonus_offset=-1),
    "HalfCheetah-v4": _ars(1.25e7, 32, 4, 0.02, 0.03),
    "Walker2d-v4": _ars(7.5e7, 40, 30, 0.03, 0.025, alive_bonus_offset=-1),
    "Ant-v4": _ars(7.5e7, 60, 20, 0.015, 0.025, alive_bonus_offset=-1),
    "Humanoid-v4": _ars(2.5e8, 256, 256, 0.02, 0.0075, alive_bonus_offset=-5),
}
# fmt: on

TABLES: Mapping[str, Mapping[str, Settings]] = {
    "ars": _ARS,
    "ppo": _PPO,
    "a2c": _A2C,
    "dqn": _DQN,
    "sac": _SAC,
    "td3": _TD3,
}
