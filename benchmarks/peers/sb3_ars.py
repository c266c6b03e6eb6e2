"""sb3-contrib's ARS, with sequential evaluation or asynchronous evaluation in two processes.

It makes one update after another, as `learn` does. The set-up of `learn` is not counted.
"""

from __future__ import annotations

import numpy as np
import torch
from protocol import HIDDEN, Played, options, serve
from sb3_contrib import ARS
from sb3_contrib.common.vec_env import AsyncEval
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    """Serve one variant."""
    told = options(("sequential", "async"))
    torch.set_num_threads(1)
    envs = make_vec_env(told.env, n_envs=1, seed=0)
    model = ARS(
        "MlpPolicy",
        envs,
        n_delta=told.candidates // 2,
        delta_std=told.spread,
        learning_rate=1e-12,
        n_eval_episodes=told.episodes,
        policy_kwargs={"net_arch": [HIDDEN], "activation_fn": torch.nn.Tanh},
        seed=0,
    )
    center = np.asarray(told.center or np.zeros(model.n_params), np.float32)
    model.weights = torch.as_tensor(center)
    pool = None
    if told.variant == "async":
        makers = [lambda i=i: make_vec_env(told.env, n_envs=1, seed=i) for i in range(2)]
        pool = AsyncEval(makers, model.policy, n_eval_episodes=told.episodes)
    _, callback = model._setup_learn(10**9)
    callback.on_training_start(locals(), globals())
    jobs = told.candidates * told.episodes

    def play() -> Played:
        before = model.num_timesteps
        model._do_one_update(callback, pool)
        return Played(model.num_timesteps - before, jobs, 1)

    serve(play, "sb3-contrib", "stable-baselines3", "torch", "gymnasium")


if __name__ == "__main__":
    main()
