"""Study cheaper physics for `--backend compiled-fast` on MuJoCo: how fast, and how close.

For every task and every setting of `model.opt`:

- speed: env steps per CPU second of a generation's rollouts, over the exact twin's; the two play
  the same candidates, alternating; medians;
- drift: the error of one env step from the states of an exact episode, over the size of the change
  that the step makes in positions and velocities; median;
- for a generation of candidates about the first policy, and one about a policy that was learned on
  the exact task: the rank correlation of the candidates' mean returns in both, on the same seeds,
  and the mean return in both. "other seeds" is the rank correlation of the exact task with itself
  on other seeds: what the noise of the returns leaves.

    python benchmarks/mujoco_fast.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray
from scipy.stats import spearmanr

from zorl.agents.registry import make_config
from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.envs import find_twin
from zorl.policies.mlp import MlpPolicy
from zorl.rollout.backend import Resources
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.compiled.mujoco.backend import MujocoBackend
from zorl.rollout.compiled.mujoco.library import with_options

ENVS = (
    *("Swimmer-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5", "HumanoidStandup-v5"),
    *("Reacher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"),
)
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "Euler, no islands": {"integrator": "Euler", "disableflags": "island"},
    "Euler, no islands, 2 iterations": {
        "integrator": "Euler",
        "disableflags": "island",
        "iterations": 2,
        "ls_iterations": 4,
    },
    "implicitfast, no islands": {"integrator": "implicitfast", "disableflags": "island"},
}
# A search that learns these tasks in few steps.
LEARNER = {"m": 8, "top": 4, "radius": 0.03, "learning_rate": 0.02, "hidden": (), "bias": False}


def backend_of(agent: SearchAgent, options: Mapping[str, Any]) -> MujocoBackend:
    """A backend with such physics."""
    twin, policy = find_twin(agent.task), agent.policy
    assert twin is not None
    assert isinstance(policy, MlpPolicy)
    return MujocoBackend(agent.task, twin, policy, agent._encoder, options=options, threads=1)


def drift(agent: SearchAgent, options: Mapping[str, Any], steps: int) -> float:
    """The relative error of one env step, along an episode of the exact task."""
    import mujoco

    twin = find_twin(agent.task)
    assert twin is not None
    task, errors = twin.env, []
    models = (task.model, with_options(task.model, options))
    exact, other = (mujoco.MjData(model) for model in models)
    exact.qpos[:], exact.qvel[:] = task.reset(np_random(0)[0])
    mujoco.mj_forward(task.model, exact)
    rng, action = np.random.default_rng(0), np.zeros(task.model.nu)
    for t in range(steps):
        if t % 5 == 0:
            action = rng.uniform(*task.model.actuator_ctrlrange.T)
        before = np.concatenate((exact.qpos, exact.qvel))
        mujoco.mj_copyData(other, models[1], exact)
        for model, data in zip(models, (exact, other), strict=True):
            task.control(data, action)
            mujoco.mj_step(model, data, nstep=task.frame_skip)
        after, found = (np.concatenate((data.qpos, data.qvel)) for data in (exact, other))
        errors.append(np.linalg.norm(found - after) / np.linalg.norm(after - before))
    return float(np.median(errors))


def played(backend: MujocoBackend, batch: EpisodeBatch) -> tuple[EpisodeResults, float]:
    """The results, and the CPU seconds."""
    began = time.process_time()
    results = backend.run(batch)
    return results, time.process_time() - began


def means(results: EpisodeResults, batch: EpisodeBatch) -> NDArray[np.float64]:
    """(n,) mean returns of the candidates."""
    found: NDArray[np.float64] = results.returns.reshape(len(batch.thetas), -1).mean(axis=1)
    return found


def generations(agent: SearchAgent, learned: int, n: int, episodes: int) -> dict[str, Any]:
    """Batches of candidates about the first and about a learned policy, twice: other seeds."""
    found = {}
    for name in ("first", "learned"):
        if name == "learned":
            agent.learn(learned)
        state, rows = agent.state, []
        for generation in range(n):  # several small ones, until there are n candidates
            rng = np.random.default_rng((7, generation))
            rows.append(agent.search.optimizer.ask(state.optimizer, rng).thetas)
            if sum(map(len, rows)) >= n:
                break
        thetas = np.concatenate(rows)[:n].astype(np.float32)
        found[name] = [
            EpisodeBatch(thetas, tuple(range(first, first + episodes)), state.normalizer)
            for first in (1000, 2000)
        ]
    return found


def study(env_id: str, args: argparse.Namespace) -> None:
    """Print the rows of a task."""
    config = make_config("ars", env_id, "default", seed=1, episodes=1, **LEARNER)
    assert isinstance(config, SearchConfig)
    agent = SearchAgent(config, Resources(workers=1))
    exact = backend_of(agent, {})
    batches = generations(agent, args.learned, args.candidates, args.episodes)
    truth, self_ranks = {}, {}
    for name, (batch, again) in batches.items():
        truth[name] = means(played(exact, batch)[0], batch)
        self_ranks[name] = spearmanr(truth[name], means(played(exact, again)[0], again))[0]
    noise = " / ".join(f"{value:.2f}" for value in self_ranks.values())
    own = " / ".join(f"{values.mean():.4g}" for values in truth.values())
    print(f"| {env_id} | exact | 1 | 0 | {noise} (other seeds) | {own} |", flush=True)
    for setting, options in SETTINGS.items():
        cheaper, ratios, ranks, returns = backend_of(agent, options), [], [], []
        for name, (batch, _) in batches.items():
            found = means(played(cheaper, batch)[0], batch)
            ranks.append(f"{spearmanr(truth[name], found)[0]:.2f}")
            returns.append(f"{found.mean():.4g}")
        for _ in range(args.repeats):
            speeds = []
            for backend in (cheaper, exact):
                results, seconds = played(backend, batches["learned"][0])
                speeds.append(results.lengths.sum() / seconds)
            ratios.append(speeds[0] / speeds[1])
        error = drift(agent, options, args.drift)
        print(
            f"| {env_id} | {setting} | {np.median(ratios):.2f} | {error:.1e} "
            f"| {' / '.join(ranks)} | {' / '.join(returns)} |",
            flush=True,
        )
        cheaper.close()
    exact.close()
    agent.close()


def main() -> None:
    """Study everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS))
    parser.add_argument("--learned", type=int, default=20_000, help="env steps of the search")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--drift", type=int, default=300, help="steps whose error is measured")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, one task")
    args = parser.parse_args()
    if args.smoke:
        args.envs, args.learned, args.candidates = ["InvertedPendulum-v5"], 10, 4
        args.drift, args.repeats = 10, 1
    print("| task | physics | speed | drift | ranks: first / learned | returns: first / learned |")
    print("|---|---|---|---|---|---|")
    for env_id in args.envs:
        study(env_id, args)


if __name__ == "__main__":
    main()
