"""Searches on Mountain Car, one per seed, for the studies of the SPSA and MPGE report.

This module is not a study. `spsa_mountain_car`, `spsa_mountain_car_rules` and `mountain_car_cure`
use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import zorl
from zorl.agents.search.agent import SearchAgent
from zorl.common.stats import Array, proportion_interval
from zorl.common.streams import Purpose, Streams, held_out_seeds
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, Evaluator
from zorl.search.gates import ScoreToBeat
from zorl.search.records import SearchState

POINTS = 40  # points of a curve
SOLVED = 0.95  # held-out success rate of a seed that counts as solved
NEVER = 10**9
BUDGET = 15_000  # episodes of the report's SPSA: 1,000 iterations of 15
Runs = dict[str, list[Any]]
Gains = tuple[float, float]
PUBLISHED: dict[Gains, float] = {  # (α, K): best mean of five episodes seen in training
    (1.0, 10.0): -151.64, (1.0, 5.0): 11.48, (1.0, 1.0): -176.44,
    (0.5, 10.0): -183.40, (0.5, 5.0): 30.83, (0.5, 1.0): -176.44,
    (0.25, 10.0): -182.46, (0.25, 5.0): -182.62, (0.25, 1.0): 14.58,
}  # fmt: skip


FORMS = {  # directions a generation (None: all 51), and episodes a candidate
    "SPSA": ("spsa", 1, 5), "SPSA, 8 directions": ("spsa", 8, 2),
    "MPGE": ("mpge", None, 5), "MPGE, 8 directions": ("mpge", 8, 2),
    "MPGE, published average": ("mpge-average", None, 5),
}  # fmt: skip


@dataclass(frozen=True)
class OwnStarts(Evaluator):
    """An evaluator that gives each candidate its own starts; zorl shares them in a generation."""

    evaluator: Evaluator

    def evaluate(self, thetas: Array, seeds: tuple[int, ...], normalizer: Normalizer) -> Evaluation:
        """See `Evaluator`. Every candidate plays all starts; only its own starts are kept."""
        n, e = len(thetas), len(seeds)
        more = seeds + Streams(seeds[0]).seeds(Purpose.EPISODES, 0, (n - 1) * e)
        played = self.evaluator.evaluate(thetas, more, normalizer)
        own = np.arange(n)[:, None], np.arange(n * e).reshape(n, e)
        return Evaluation(
            played.returns[own],
            played.native_returns[own],
            played.lengths[own],
            played.successes[own],
        )


def search_runs(
    agent: str, first: int, seeds: int, iterations: int = NEVER, budget: int = NEVER,
    own_starts: bool = False, backend: str = "compiled-fast", reward: str = "momentum",
    options: dict[str, Any] | None = None,
) -> Runs:  # fmt: skip
    """Run one search per seed, for `iterations` or until a `budget` of episodes is spent.

    Args:
        agent: a name in `zorl.list_agents()`.
        first: first seed.
        seeds: number of seeds.
        iterations: largest number of generations.
        budget: episodes of candidates and gate; a generation that would exceed it is not begun.
        own_starts: see `OwnStarts`.
        backend: backend of the search.
        reward: a wrapper, or "" for the native reward.
        options: options of the agent.

    Returns:
        Lists by seed:
        "claimed": the best mean over five episodes that the gate measured, including the start's;
        "shaped" (the search's return), "native" and "success": means over 200 held-out episodes of
        the last policy;
        "reached": share of the generations whose measured policy reached the goal at least once;
        "episodes": episodes spent;
        and curves at POINTS: "claims", the best so far; "truth" and "rate", the incumbent's mean
        return and success rate over 20 validation episodes, which are not charged.
    """
    task = zorl.make_task("MountainCar-v0", [reward] if reward else [])
    runs: Runs = {}
    for seed in range(first, first + seeds):
        learner = zorl.make_agent(
            agent, task, seed=seed, backend=backend, workers=1, **(options or {})
        )
        assert isinstance(learner, SearchAgent)
        for name, value in _search(learner, iterations, budget, own_starts).items():
            runs.setdefault(name, []).append(value)
        learner.close()
    return runs


def _search(learner: SearchAgent, iterations: int, budget: int, own: bool) -> dict[str, Any]:
    search, state, play = learner.search, learner.state, learner.search.evaluator
    if own:
        search = replace(search, evaluator=OwnStarts(play))

    def shown(state: SearchState, seeds: Sequence[int]) -> Evaluation:
        return play.evaluate(state.theta[None], tuple(seeds), state.normalizer)

    watched = search.streams.validation(20)
    best, hits, cost = float(shown(state, watched[:5]).returns.mean()), 0, 0
    # As published, the start has a score too.
    if isinstance(state.gate, ScoreToBeat):
        state = replace(state, gate=ScoreToBeat(best))
    state = replace(state, claimed=best)
    curves: dict[str, list[float]] = {"claims": [], "truth": [], "rate": []}

    def over(state: SearchState) -> bool:
        return state.generation >= iterations or state.counters.episodes + cost > budget

    for generation in search.run(state, until=over):
        before, state = state.counters, generation.state
        cost = state.counters.episodes - before.episodes
        played = state.counters.gate_episodes - before.gate_episodes
        hits += state.counters.gate_steps - before.gate_steps < 200 * played
        best = max(best, state.claimed)
        done = min(max(state.generation / iterations, state.counters.episodes / budget), 1.0)
        while done * POINTS >= len(curves["rate"]) + 1:
            seen = shown(state, watched)
            curves["claims"].append(round(best, 3))
            curves["truth"].append(round(float(seen.returns.mean()), 3))
            curves["rate"].append(float(seen.successes.mean()))
    for curve in curves.values():  # the budget is not a whole number of generations
        curve += curve[-1:] * (POINTS - len(curve))
    end = shown(state, held_out_seeds(200))
    return {
        "claimed": best,
        "shaped": float(end.returns.mean()),
        "native": float(end.native_returns.mean()),
        "success": float(end.successes.mean()),
        "reached": hits / state.generation,
        "episodes": state.counters.episodes,
        **curves,
    }


def setting(
    form: str, inputs: str, gate: str, gains: tuple[float, float], seeds: int, first: int = 0,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the arguments of `search_runs` for one of `FORMS`."""
    agent, m, episodes = FORMS[form]
    options = {"learning_rate": gains[0], "radius": gains[1], "m": m, "episodes": episodes,
               "normalize": inputs, "gate": gate}  # fmt: skip
    return {"agent": agent, "first": first, "seeds": seeds, **more, "options": options}


def joined(many: Sequence[Runs]) -> Runs:
    """Join the runs of several cells as those of one."""
    return {name: [value for runs in many for value in runs[name]] for name in many[0]}


def share(flags: Any) -> str:
    """Format a share of runs as "16 of 50: 32 % [21, 46]", with Wilson's interval."""
    hits, n = int(np.sum(flags)), len(flags)
    interval = proportion_interval(hits, n)
    low, high = 100 * interval.low, 100 * interval.high
    return f"{hits} of {n}: {100 * interval.estimate:.0f} % [{low:.0f}, {high:.0f}]"


def solved(runs: Runs) -> Any:
    """Return whether each run's last policy reaches the goal in 95 % of held-out episodes (n,)."""
    return np.array(runs["success"]) >= SOLVED


def positive(runs: Runs) -> Any:
    """Return whether each run ever claimed a positive mean (n,)."""
    return np.array(runs["claimed"]) > 0


def quartiles(values: Any) -> str:
    """Format the median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def heat_map(axis: Any, image: Array, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Draw shares (rows, columns) as a map with its numbers."""
    axis.imshow(image, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for (row, column), value in np.ndenumerate(image):
        color = "white" if value < 0.6 else "black"
        axis.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=9, color=color)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.grid(visible=False)
