"""The search loop: what it counts, what it keeps, and that any state of it can be gone on from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_toys import Patient, Scripted
from search_toys import RUNNING, Noisy, bits, generations, make_search, sphere, spheres

from zorl.common.errors import ConfigurationError, DivergedError
from zorl.common.storage import flatten, unflatten
from zorl.common.streams import Purpose, Streams
from zorl.optimizers import (
    CMAES,
    SGD,
    GradientSearch,
    Perturbed,
    RandomSearch,
    ars,
    es,
    mpge,
    openai_es,
    spsa,
    two_point,
)
from zorl.optimizers.base import Optimizer
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation, FunctionEvaluator
from zorl.search import AlwaysAccept, Budget, Generation, Paired, Search, Sequential, StaleBest

RECIPES: dict[str, Optimizer[Any]] = {
    "spsa": spsa(learning_rate=0.05),
    "mpge": mpge(learning_rate=0.1),
    "two-point": two_point(learning_rate=0.05),
    "es": es(learning_rate=0.1),
    "ars": ars(learning_rate=0.1, radius=0.1),
    "openai-es": openai_es(learning_rate=0.05, sigma=0.1, m=16),
    "cma-es": CMAES(),
    "random-search": RandomSearch(radius=1.5, popsize=64),
}
GATES = [AlwaysAccept(), StaleBest(2), Sequential(), Patient()]


def test_structured_candidates_reach_an_objective_that_takes_them() -> None:
    """No (n, d) matrix is ever made."""

    class Factors:
        shape = (4, 3)

        def combine(self, weights: Any) -> np.ndarray:
            return np.asarray(weights.sum() * np.ones(3))

        def dense(self) -> np.ndarray:
            raise AssertionError("no matrix is wanted")

    def objective(candidates: Any) -> np.ndarray:
        assert isinstance(candidates, Perturbed) and candidates.shape == (8, 3)
        return np.arange(8.0)

    optimizer = GradientSearch(SGD(0.1), 0.1, 4, lambda rng, m, dim: Factors())
    evaluator = FunctionEvaluator(objective, batched=True, structured=True)
    loop = Search(optimizer, evaluator, Streams(0))
    generation = loop.step(loop.init(np.zeros(3)))
    np.testing.assert_allclose(generation.state.theta, 0.1 * -20 * np.ones(3))
    with pytest.raises(ConfigurationError, match="needs batched=True"):
        FunctionEvaluator(objective, structured=True)


def test_counters_are_exact_for_candidates_and_gate() -> None:
    evaluator = Noisy()
    done = generations(make_search(evaluator, Paired(3)), 5)
    candidates, gates = evaluator.calls[0::2], evaluator.calls[1::2]
    assert [n for n, _, _ in candidates] == [8] * 5
    assert [n for n, _, _ in gates] == [2] * 5
    steps = [g.evaluation.env_steps for g in done]
    again = Noisy()
    gate_steps = []
    for g, (_, seeds, _) in zip(done, gates, strict=True):
        proposal = g.state.theta if g.decision.accepted else None
        if proposal is None:  # a rejected proposal is gone; make it again
            optimizer = ars(learning_rate=0.05, radius=0.1, m=4)
            before = done[g.index - 1].state.optimizer
            asked = optimizer.ask(before, Streams(3).search(g.index))
            proposal = optimizer.tell(before, asked, g.evaluation.returns.mean(axis=1)).theta
        pair = np.stack([g.previous, proposal])
        gate_steps.append(again.evaluate(pair, seeds, RUNNING).env_steps)
    for index, g in enumerate(done):
        counters = g.state.counters
        assert counters.search_episodes == 16 * (index + 1)
        assert counters.gate_episodes == 6 * (index + 1)
        assert counters.search_steps == sum(steps[: index + 1])
        assert counters.gate_steps == sum(gate_steps[: index + 1])
        assert counters.env_steps == counters.search_steps + counters.gate_steps == g.env_steps
        assert counters.episodes == 22 * (index + 1)
        assert counters.accepted == sum(before.decision.accepted for before in done[: index + 1])
        assert counters.non_finite == 0
    assert len(set(steps)) > 1


def test_candidates_share_seeds_and_gates_have_fresh_ones() -> None:
    evaluator = Noisy()
    generations(make_search(evaluator, StaleBest(2)), 6)
    streams = Streams(3)
    used: list[int] = []
    for index, (n, seeds, _) in enumerate(evaluator.calls):
        generation = index // 2
        purpose = Purpose.EPISODES if index % 2 == 0 else Purpose.GATE
        assert n == (8 if index % 2 == 0 else 1)
        assert seeds == streams.seeds(purpose, generation, 2)
        used += seeds
    assert len(set(used)) == 24


def test_later_looks_of_a_sequential_gate_are_at_new_seeds() -> None:
    evaluator = Noisy()
    gate = Sequential(max_episodes=20, error_rate=0.01, batch=3)
    (only,) = generations(make_search(evaluator, gate), 1)
    looks = [seeds for _, seeds, _ in evaluator.calls[1:]]
    assert len(looks) >= 2
    assert [len(seeds) for seeds in looks[:2]] == [3, 3]
    seen = tuple(seed for seeds in looks for seed in seeds)
    assert seen == Streams(3).gate(0, len(seen))
    assert only.state.counters.gate_episodes == 2 * len(seen)
    # Accepted or not, both sides are known: what was kept, and the proposal made again.
    search = make_search()
    asked = search.optimizer.ask(search.init(np.zeros(3)).optimizer, Streams(3).search(0))
    returns = only.evaluation.returns.mean(axis=1)
    proposal = search.optimizer.tell(search.init(np.zeros(3)).optimizer, asked, returns).theta
    both = Noisy().evaluate(np.stack([only.previous, proposal]), seen, RUNNING)
    assert only.state.counters.gate_steps == both.env_steps


@pytest.mark.parametrize("name", RECIPES)
def test_a_rejected_update_leaves_no_trace_in_the_optimizer(name: str) -> None:
    of = make_search(gate=Scripted((True, False, False, True), 2), optimizer=RECIPES[name])
    # A starting point and generations that give every method something to propose.
    states = [of.init(np.array([3.0, 1.0, -2.0]), RUNNING)]
    done: list[Generation] = []
    while len(done) < 4:
        generation = of.step(states[-1])
        done.append(generation)
        states.append(generation.state)
        if np.array_equal(generation.previous, generation.state.theta):
            assert not generation.decision.accepted or name == "random-search"
    if name != "random-search":  # which proposes nothing in some generations
        assert [g.decision.accepted for g in done] == [True, False, False, True]
    for g, before, after in zip(done, states, states[1:], strict=False):
        assert after.generation == before.generation + 1 == g.index + 1
        assert after.normalizer.moments.count > before.normalizer.moments.count
        if g.decision.accepted:
            assert after.optimizer.t == before.optimizer.t + 1
        else:
            assert after.optimizer is before.optimizer
            assert after.gate != before.gate  # the gate's own memory goes on
    # The next generation after a rejection looks in new directions.
    candidates = [g.evaluation.returns.tobytes() for g in done]
    assert len(set(candidates)) == 4


def test_an_update_that_changes_nothing_costs_no_gate_episodes() -> None:
    class Flat(Noisy):
        def evaluate(self, thetas: Any, seeds: Any, normalizer: Normalizer) -> Evaluation:
            result = super().evaluate(thetas, seeds, normalizer)
            return replace(result, returns=np.zeros_like(result.returns))

    evaluator = Flat()
    (only,) = generations(make_search(evaluator, Sequential()), 1)
    assert len(evaluator.calls) == 1
    assert only.state.counters.gate_episodes == 0
    assert only.state.counters.gate_steps == 0
    assert only.decision.state == Sequential().init()
    assert np.isnan(only.state.claimed)
    assert (only.state.theta == only.previous).all()


def test_the_normalizer_learns_after_the_generation() -> None:
    evaluator = Noisy()
    first, second = generations(make_search(evaluator, Paired(1)), 2)
    frozen = [normalizer for _, _, normalizer in evaluator.calls]
    assert frozen[0] is frozen[1] is RUNNING  # candidates and gate of generation 0
    assert frozen[2] is frozen[3] is first.state.normalizer
    assert first.evaluation.moments is not None
    expected = RUNNING.merge(first.evaluation.moments)
    assert first.state.normalizer.moments.count == first.evaluation.env_steps
    assert first.state.normalizer.moments.mean.tobytes() == expected.moments.mean.tobytes()
    assert second.state.normalizer.moments.count == (
        first.evaluation.env_steps + second.evaluation.env_steps
    )


def test_a_search_runs_until_it_is_over_or_told_to_stop() -> None:
    of = make_search()
    start = of.init(np.zeros(3), RUNNING)
    assert [g.index for g in of.run(start, until=Budget(generations=3))] == [0, 1, 2]
    *_, last = of.run(start, until=Budget(generations=2))
    assert [g.index for g in of.run(last.state, until=Budget(generations=3))] == [2]
    assert list(of.run(last.state, until=Budget(generations=2))) == []  # asked before the first
    assert list(of.run(start, until=lambda state: True)) == []
    asked: list[int] = []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) == 2

    assert [g.index for g in of.run(start, until=Budget(generations=5), stop=stop)] == [0, 1]
    assert asked == [0, 1]  # after every generation, not before the first
    assert len(list(of.run(last.state, until=Budget(generations=3), stop=lambda: True))) == 1


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    runs = [
        generations(make_search(gate=Sequential(), seed=seed), 4)[-1].state for seed in (3, 3, 4)
    ]
    assert bits(runs[0]) == bits(runs[1])
    assert bits(runs[0]) != bits(runs[2])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("gate", GATES, ids=repr)
def test_any_saved_state_goes_on_to_the_same_bits(name: str, gate: Any) -> None:
    of = make_search(gate=gate, optimizer=RECIPES[name], max_episodes=6)
    unbroken = generations(of, 5)
    for k in (0, 2, 3):
        # Through a file's contents, into a search that knows nothing of the first one.
        scalars, arrays = flatten(unbroken[k].state, "state")
        other = make_search(gate=gate, optimizer=RECIPES[name], max_episodes=6)
        template = other.init(np.ones(3), RUNNING)
        state = unflatten(template, "state", scalars, arrays)
        for expected, resumed in zip(unbroken[k + 1 :], other.run(state), strict=False):
            assert resumed.index == expected.index
            assert bits(resumed.state) == bits(expected.state)
            assert resumed.decision.accepted == expected.decision.accepted


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("batched", [False, True])
def test_a_plain_function_is_solved_by_the_same_loop(name: str, batched: bool) -> None:
    evaluator = FunctionEvaluator(spheres if batched else sphere, minimise=True, batched=batched)
    of = Search(RECIPES[name], evaluator, Streams(1))
    state = of.init(np.zeros(3))
    assert sphere(state.theta) == 5.25
    for generation in of.run(state):
        state = generation.state
        if sphere(state.theta) < 0.1 or generation.index == 400:
            break
    assert sphere(state.theta) < 0.1
    assert state.counters.env_steps == 0
    assert state.counters.search_episodes == (generation.index + 1) * len(
        generation.evaluation.returns
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_return_counts_as_the_worst_and_is_counted(value: float) -> None:
    def fault(theta: Any, seed: int) -> float | None:  # half of the candidates, one episode each
        return value if theta[0] > 0 and seed == seeds[1] else None

    seeds = Streams(3).episodes(0, 2)
    of = make_search(Noisy(fault), optimizer=es(m=8, learning_rate=0.1))
    (only,) = generations(of, 1)
    bad = int((~np.isfinite(only.evaluation.returns)).sum())
    assert 0 < bad < 16
    assert only.state.counters.non_finite == bad
    assert only.scalars["search/non_finite_returns"] == bad
    # The same as if these candidates had the worst mean of the others.
    scores = np.array(
        [-np.inf if not np.isfinite(row).all() else row.mean() for row in only.evaluation.returns]
    )
    scores[~np.isfinite(scores)] = scores[np.isfinite(scores)].min()
    optimizer = es(m=8, learning_rate=0.1)
    state = optimizer.init(np.zeros(3))
    expected = optimizer.tell(state, optimizer.ask(state, Streams(3).search(0)), scores)
    assert only.state.theta.tolist() == expected.theta.tolist()
    assert np.isfinite(only.state.theta).all()


def test_opposite_infinities_in_one_candidate_are_counted_without_a_warning() -> None:
    seeds = Streams(3).episodes(0, 2)
    of = make_search(Noisy(lambda theta, seed: np.inf if seed == seeds[0] else -np.inf))
    (only,) = generations(of, 1)
    assert only.state.counters.non_finite == 16
    assert (only.state.theta == 0).all()
    assert np.isnan(only.scalars["search/return_mean"])


def test_non_finite_returns_of_the_gate_are_counted_too() -> None:
    gate_seeds = Streams(3).gate(0, 4)
    of = make_search(Noisy(lambda theta, seed: np.nan if seed in gate_seeds else None), Paired(4))
    (only,) = generations(of, 1)
    assert only.state.counters.non_finite == 8


def test_a_search_that_diverges_says_so_and_why() -> None:
    evaluator = FunctionEvaluator(lambda x: 1e60 * x[0])
    search = Search(spsa(learning_rate=1.0, radius=1.0), evaluator, Streams(0))
    with pytest.raises(DivergedError, match="lower the learning rate"):
        search.step(search.init(np.zeros(3)))
