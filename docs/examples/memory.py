"""A pole is balanced although its velocities are hidden: the policy remembers.

python docs/examples/memory.py
"""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np

import zorl
from zorl.envs import MaskObservation, make_task


def main(timesteps: int) -> float:
    """Train, then play ten episodes by a loop as written for RecurrentPPO; their mean return."""
    task = make_task("CartPole-v1", ["mask-observation(keep=[0, 2])"])  # position and angle
    agent = zorl.make_agent("cma-es", task, memory="gru:8", seed=1)
    agent.learn(timesteps, select="best")

    env = MaskObservation(gym.make("CartPole-v1"), keep=(0, 2))
    state, episode_starts, returns = None, np.ones(1, dtype=bool), [0.0]
    observation, _ = env.reset(seed=1)
    while len(returns) <= 10:
        action, state = agent.predict(
            observation, state=state, episode_start=episode_starts, deterministic=True
        )
        observation, reward, terminated, truncated, _ = env.step(action)
        returns[-1] += float(reward)
        episode_starts = np.array([terminated or truncated])
        if episode_starts[0]:
            observation, _ = env.reset()
            returns.append(0.0)
    return float(np.mean(returns[:10]))


if __name__ == "__main__":
    print(f"mean return {main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000):.1f}")
