"""Train sb3-contrib's ARS on MountainCar-v0 until validation reaches a target.

    python sb3_solve.py SEED STEPS STOP_AT VALIDATE_EVERY VALIDATION_EPISODES HELD_OUT_EPISODES

prints one JSON line: env steps, and the mean return of held-out episodes. The settings are those of
RL Baselines3 Zoo's commit 22e3ff2, hyperparams/ars.yml.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import torch
from sb3_contrib import ARS
from sb3_contrib.common.vec_env import AsyncEval
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize, sync_envs_normalization

ENV = "MountainCar-v0"


def normalised(seed: int, training: bool = True) -> VecNormalize:
    """Return one environment with the Zoo's normalisation for ARS: observations only."""
    return VecNormalize(make_vec_env(ENV, seed=seed), norm_reward=False, training=training)


def main() -> None:
    """Train, validate, and estimate the held-out return."""
    seed, budget, every, validation, held_out = (int(sys.argv[i]) for i in (1, 2, 4, 5, 6))
    goal = float(sys.argv[3])
    torch.set_num_threads(1)
    model = ARS(
        "MlpPolicy",
        normalised(seed),
        n_delta=8,
        n_top=1,
        learning_rate=0.018,
        delta_std=0.1,
        policy_kwargs={"net_arch": [16]},
        zero_policy=False,
        seed=seed,
    )
    pool = AsyncEval([lambda i=i: normalised(1000 * seed + i) for i in range(2)], model.policy)
    watched = normalised(10_000 + seed, training=False)
    _, callback = model._setup_learn(budget)
    callback.on_training_start(locals(), globals())

    def estimate(episodes: int) -> float:
        sync_envs_normalization(model.get_env(), watched)
        return float(evaluate_policy(model, watched, episodes)[0])

    looked, returned = 0, float("-inf")
    while model.num_timesteps < budget and returned < goal:
        model._update_current_progress_remaining(model.num_timesteps, budget)
        model._do_one_update(callback, pool)
        if model.num_timesteps - looked >= every:
            looked = model.num_timesteps
            returned = estimate(validation)
    watched.seed(20_000 + seed)
    answer = {
        "env_steps": model.num_timesteps,
        "held_out": estimate(held_out),
        "versions": {name: version(name) for name in ("sb3-contrib", "torch", "gymnasium")},
    }
    pool.close()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
