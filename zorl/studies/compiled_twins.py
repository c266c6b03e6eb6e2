"""Compare compiled rollouts with Gymnasium's: per step, per episode, and in learning results.

It makes three tables and a figure. Per step: the bits of the exact twin that differ from
Gymnasium's, and the error of the fast twin after a step from the same state. Per episode, with
policies in the loop: how many episodes end differently. In learning: the same searches on the exact
and on the fast twin, compared by seed and on Gymnasium's own episodes.

    python -m zorl.studies.compiled_twins --seeds 32 --figure docs/images/compiled_curves.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.agents.registry import make_agent
from zorl.agents.search.agent import SearchAgent
from zorl.common.stats import bootstrap
from zorl.common.streams import held_out_seeds
from zorl.rollout.evaluation import Evaluation
from zorl.testing import check_compiled_twin

# Env steps of a search with CMA-ES, at its defaults, per task.
TASKS = {
    "MountainCar-v0": 200_000,
    "MountainCarContinuous-v0": 400_000,
    "CartPole-v1": 50_000,
    "Acrobot-v1": 200_000,
    "Pendulum-v1": 400_000,
}
POINTS = 5  # points of a learning curve
CURVE_SEEDS = tuple(range(1_000, 1_020))


def per_step(tasks: dict[str, int], steps: int) -> None:
    """Print the first table."""
    print(
        "| task | steps | differing bits, exact | largest error a step, fast: observation, reward |"
    )
    print("|---|---|---|---|")
    for env_id in tasks:
        report = check_compiled_twin(env_id, steps=steps)
        print(
            f"| {env_id} | {report.steps:,} | {report.exact_differences} | "
            f"{report.observation_error:.1e}, {report.reward_error:.1e} |",
            flush=True,
        )


def agent(env_id: str, backend: str, seed: int) -> SearchAgent:
    """Return a search agent of the study."""
    made = make_agent("cma-es", env_id, seed=seed, backend=backend)
    assert isinstance(made, SearchAgent)
    return made


def per_episode(tasks: dict[str, int], policies: int, episodes: int) -> None:
    """Print the second table, for random policies and for policies around a trained one."""
    print(
        "| task | episodes | of another length | of another return, by 10⁻³ of its size | at most |"
    )
    print("|---|---|---|---|---|")
    for env_id, budget in tasks.items():
        trained = agent(env_id, "compiled", 0)
        trained.learn(budget // 4)
        rng = np.random.default_rng(0)
        theta, dim = trained.state.theta, trained.policy.dim
        half = policies // 2
        thetas = np.concatenate(
            [
                [2 * trained.policy.init(rng) for _ in range(half)],
                theta + 0.2 * np.linalg.norm(theta) / dim**0.5 * rng.normal(size=(half, dim)),
            ]
        )
        results: list[Evaluation] = []
        for backend in ("compiled", "compiled-fast"):
            plays = agent(env_id, backend, 0)
            evaluator = plays.search.evaluator
            seeds = tuple(range(episodes))
            results.append(evaluator.evaluate(thetas, seeds, trained.state.normalizer))
        exact, fast = results
        off = np.abs(fast.returns - exact.returns) / np.maximum(np.abs(exact.returns), 1)
        print(
            f"| {env_id} | {exact.episodes:,} | {(fast.lengths != exact.lengths).mean():.2%} | "
            f"{(off > 1e-3).mean():.2%} | {off.max():.1%} |",
            flush=True,
        )


def curve(env_id: str, backend: str, seed: int, budget: int) -> NDArray[np.float64]:
    """Return mean native returns in Gymnasium along a search, then held-out (POINTS + 1,)."""
    learner = agent(env_id, backend, seed)
    values = []
    for _ in range(POINTS):
        learner.learn(budget // POINTS)
        values.append(learner.evaluate(CURVE_SEEDS).native_returns.mean())
    values.append(learner.evaluate(held_out_seeds(50)).native_returns.mean())
    learner.close()
    return np.array(values)


def learning(tasks: dict[str, int], seeds: int, share: float) -> dict[str, Any]:
    """Print the third table; return both precisions' curves (seeds, POINTS + 1), by task."""
    print("| task | env steps | exact, held-out | fast, held-out | fast − exact | equal runs |")
    print("|---|---|---|---|---|---|")
    curves = {}
    for env_id, whole in tasks.items():
        budget = max(POINTS, int(whole * share))
        exact, fast = (
            np.array([curve(env_id, backend, seed, budget) for seed in range(seeds)])
            for backend in ("compiled", "compiled-fast")
        )
        curves[env_id] = budget, exact, fast
        ends = [values[:, -1] for values in (exact, fast)]
        equal = np.mean((exact == fast).all(axis=1))
        print(
            f"| {env_id} | {budget:,} | {bootstrap(ends[0])} | {bootstrap(ends[1])} | "
            f"{bootstrap(ends[1] - ends[0])} | {equal:.0%} |",
            flush=True,
        )
    return curves


def plot(curves: dict[str, Any], path: Path) -> None:
    """Draw mean learning curves with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(curves), figsize=(3.2 * len(curves), 3), dpi=100, squeeze=False
    )
    for axis, (env_id, (budget, exact, fast)) in zip(axes[0], curves.items(), strict=True):
        steps = np.arange(1, POINTS + 1) * budget / POINTS
        for values, label, color, style in (
            (exact, "exact", "tab:blue", "-"),
            (fast, "fast", "tab:orange", "--"),
        ):
            bands = [bootstrap(values[:, point]) for point in range(POINTS)]
            axis.plot(steps, [b.estimate for b in bands], style, color=color, label=label)
            axis.fill_between(
                steps, [b.low for b in bands], [b.high for b in bands], color=color, alpha=0.2
            )
        axis.set_title(env_id, fontsize=9)
        axis.set_xlabel("env steps", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(3, 3))
    axes[0, 0].set_ylabel("native return in Gymnasium", fontsize=8)
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--steps", type=int, default=100_000, help="env steps of the first table")
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--share", type=float, default=1.0, help="fraction of the env steps")
    parser.add_argument("--figure", type=Path, help="write the learning curves to this PNG")
    args = parser.parse_args()
    tasks = {env_id: TASKS[env_id] for env_id in args.tasks}
    per_step(tasks, args.steps)
    print()
    per_episode(tasks, args.policies, args.episodes)
    print()
    curves = learning(tasks, args.seeds, args.share)
    if args.figure is not None:
        plot(curves, args.figure)


if __name__ == "__main__":
    main()
