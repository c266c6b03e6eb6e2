"""Measure what a policy's memory costs and what it learns where observations do not say all.

Speed: env steps per CPU second in compiled twins, one thread, with a memory and with an MLP of as
many parameters; the sides alternate, and the median of the ratios is reported. Learning: held-out
means of 100 episodes of several seeds, with a memory, with frame-stack, with neither, and with the
whole observation; of the best policy by validation.

    python benchmarks/memory.py --repeats 9 --seeds 5
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import zorl
from zorl.envs import Task, make_task
from zorl.policies.source import make_policy
from zorl.rollout.batch import EpisodeBatch

# What remains of an observation, and the twins that are measured.
KEPT = {"CartPole-v1": (0, 2), "Pendulum-v1": (0, 1), "MountainCar-v0": (0,)}
SPEED = (("CartPole-v1", "gru:8"), ("Pendulum-v1", "gru:8"), ("CartPole-v1", "elman:16"))
HELD_OUT = tuple(range(10**6, 10**6 + 100))


@dataclass(frozen=True)
class Contest:
    """How a task is learned: env steps, and the agent with its options."""

    steps: int
    agent: str
    options: dict[str, Any]
    wrappers: tuple[str, ...] = ()


CONTESTS = {
    "CartPole-v1": Contest(3_000_000, "cma-es", {}),
    "Pendulum-v1": Contest(40_000_000, "pgpe", {}),
    "MountainCar-v0": Contest(1_000_000, "cma-es", {}, ("momentum",)),
}


def masked(env_id: str, *more: Any, inside: tuple[str, ...] = ()) -> Task:
    """A task of which only a part is seen."""
    return make_task(env_id, [*inside, ("mask-observation", {"keep": KEPT[env_id]}), *more])


def equal_mlp(agent: Any) -> tuple[int, ...]:
    """One hidden layer, so that an MLP has as many parameters, or nearly."""
    policy = agent.policy

    sizes = range(1, 200)
    dims = [make_policy(policy.inputs, policy.decoder, hidden=(h,)).dim for h in sizes]
    return (sizes[int(np.argmin(np.abs(np.array(dims) - policy.dim)))],)


def speeds(env_id: str, memory: str, backend: str, steps: int, repeats: int) -> list[Any]:
    """(repeats, 2) env steps per second with a memory and with an MLP, and the MLP's layer."""
    task = masked(env_id)
    shared: dict[str, Any] = {"backend": backend, "workers": 1, "seed": 1}
    ours: Any = zorl.make_agent("openai-es", task, memory=memory, **shared)
    hidden = equal_mlp(ours)
    other: Any = zorl.make_agent("openai-es", task, hidden=hidden, **shared)
    plays = [player(agent, steps) for agent in (ours, other)]
    rows = []
    for repeat in range(repeats + 1):  # the first one loads code
        order = (0, 1) if repeat % 2 else (1, 0)
        found = [0.0, 0.0]
        for index in order:
            found[index] = plays[index]()
        rows.append(found)
    return [np.array(rows[1:]), hidden]


def player(agent: Any, steps: int) -> Callable[[], float]:
    """A function that plays random candidates for some env steps; steps per second."""
    rng = np.random.default_rng(0)
    thetas = (0.5 * rng.normal(size=(1000, agent.parameters))).astype(np.float32)
    batch = EpisodeBatch(thetas, (1, 2), agent.state.normalizer)

    def play() -> float:
        began, played = time.process_time(), 0
        while played < steps:
            played += int(agent._backend.run(batch).lengths.sum())
        return played / (time.process_time() - began)

    return play


def learned(task: Task, contest: Contest, steps: int, seed: int, **network: Any) -> Any:
    """Held-out mean and seconds of training with validation."""
    agent = zorl.make_agent(
        contest.agent, task, seed=seed, workers=1, **{**contest.options, **network}
    )
    began = time.perf_counter()
    agent.learn(steps, select="best")
    seconds = time.perf_counter() - began
    return float(agent.evaluate(HELD_OUT).native_returns.mean()), seconds


def main() -> None:
    """Measure everything and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=5, help="0: no learning")
    parser.add_argument("--envs", nargs="+", default=list(CONTESTS))
    parser.add_argument("--smoke", action="store_true", help="sizes of seconds, without meaning")
    args = parser.parse_args()
    if args.smoke:
        args.repeats, args.seeds, args.envs = 1, 1, ["CartPole-v1"]
    print("| twin | precision | memory | parameters | steps/s | MLP | steps/s | ratio | min–max |")
    print("|---|---|---|---|---|---|---|---|---|")
    for env_id, memory in SPEED[: 1 if args.smoke else None]:
        for backend in ("compiled", "compiled-fast")[: 1 if args.smoke else None]:
            found, hidden = speeds(
                env_id, memory, backend, 1000 if args.smoke else 1_000_000, args.repeats
            )
            ratios = found[:, 0] / found[:, 1]
            ours, mlp = np.median(found, axis=0)
            agent: Any = zorl.make_agent("openai-es", masked(env_id), memory=memory)
            print(
                f"| {env_id} | {backend} | {memory} | {agent.parameters} | {ours:,.0f} | "
                f"{hidden[0]} units | {mlp:,.0f} | {np.median(ratios):.2f} | "
                f"{ratios.min():.2f}–{ratios.max():.2f} |",
                flush=True,
            )
    if args.seeds:
        print("\n| task | policy sees | agent | env steps | held-out means | mean | seconds |")
        print("|---|---|---|---|---|---|---|")
    for env_id in args.envs if args.seeds else ():
        contest = CONTESTS[env_id]
        inside = contest.wrappers
        stack = ("frame-stack", {"stack_size": 4})
        sides: dict[str, tuple[Task, dict[str, Any]]] = {
            "a part, memory gru:8": (masked(env_id, inside=inside), {"memory": "gru:8"}),
            "a part, memory elman:8": (masked(env_id, inside=inside), {"memory": "elman:8"}),
            "a part, 4 frames": (masked(env_id, stack, inside=inside), {}),
            "a part": (masked(env_id, inside=inside), {}),
            "all": (make_task(env_id, inside), {}),
        }
        for name, (task, network) in [*sides.items()][: 1 if args.smoke else None]:
            steps = 2000 if args.smoke else contest.steps
            if "frames" in name:  # stepped, not compiled
                steps = min(steps, 1_000_000)
            rows = [learned(task, contest, steps, seed, **network) for seed in range(args.seeds)]
            returns, seconds = zip(*rows, strict=True)
            print(
                f"| {env_id} | {name} | {contest.agent} | {steps:,} | "
                f"{', '.join(f'{value:.0f}' for value in returns)} | {np.mean(returns):.1f} | "
                f"{np.mean(seconds):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
