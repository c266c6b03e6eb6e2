"""EnvPool: raw stepping, or OpenAI-ES on it with one batched numpy policy.

The search keeps a queue of (candidate, episode) jobs. A slot whose episode ends takes the next job.
"""

from __future__ import annotations

import envpool
import numpy as np
from protocol import Played, options, serve, unpack

SLOTS = 64
STEPS = 200


def raw(env_id: str, threads: int):
    """Step batches with actions that were drawn beforehand."""
    kind = {"env_type": "gymnasium", "num_envs": SLOTS, "num_threads": threads, "seed": 0}
    envs = envpool.make(env_id, **kind)
    envs.reset()
    envs.action_space.seed(0)
    actions = [np.stack([envs.action_space.sample() for _ in range(SLOTS)]) for _ in range(STEPS)]

    def play() -> Played:
        for batch in actions:
            envs.step(batch)
        return Played(STEPS * SLOTS, 0, 0)

    return play


def search(told):
    """Run generations of OpenAI-ES: ask, rollouts and tell."""
    envs = envpool.make(told.env, env_type="gymnasium", num_envs=SLOTS, num_threads=2, seed=0)
    rng = np.random.default_rng(0)
    theta = np.asarray(told.center, np.float32)
    jobs = told.candidates * told.episodes
    everyone = np.arange(SLOTS)

    def play() -> Played:
        nonlocal theta
        half = rng.standard_normal((told.candidates // 2, theta.size), np.float32)
        noise = np.concatenate([half, -half])
        layers = [np.stack(x) for x in zip(*map(unpack, theta + told.spread * noise), strict=True)]
        returns = np.zeros(jobs)
        job = np.minimum(everyone, jobs - 1)
        live = everyone < jobs
        queue = int(live.sum())
        rows = [layer[job // told.episodes] for layer in layers]
        observations, _ = envs.reset()
        fresh = np.zeros(SLOTS, bool)  # the step after an episode's end only resets
        steps = 0
        while live.any():
            w, b, v, c = rows
            hidden = np.tanh((w @ observations[:, :, None].astype(np.float32))[:, :, 0] + b)
            actions = ((v @ hidden[:, :, None])[:, :, 0] + c).argmax(axis=1)
            observations, rewards, terminated, truncated, _ = envs.step(actions)
            counted = live & ~fresh
            returns[job[counted]] += rewards[counted]
            steps += int(counted.sum())
            fresh = terminated | truncated
            for slot in np.flatnonzero(fresh & live):
                if queue < jobs:
                    job[slot] = queue
                    queue += 1
                    for row, layer in zip(rows, layers, strict=True):
                        row[slot] = layer[job[slot] // told.episodes]
                else:
                    live[slot] = False
        scores = returns.reshape(told.candidates, -1).mean(axis=1)
        ranks = scores.argsort().argsort() / (told.candidates - 1) - 0.5
        theta = theta + 1e-12 * (ranks @ noise).astype(np.float32)
        return Played(steps, jobs, 1)

    return play


def main() -> None:
    """Serve one variant."""
    told = options(("raw", "search"))
    play = raw(told.env, told.threads) if told.variant == "raw" else search(told)
    serve(play, "envpool", "numpy")


if __name__ == "__main__":
    main()
