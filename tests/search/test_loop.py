"""The search loop: what it counts, what it keeps, and that any state of it can be gone on from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

import zorl
from zorl.common.errors import ConfigurationError
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
from zorl.policies.normalization import Moments, Normalizer
from zorl.rollout.evaluation import Evaluation, FunctionEvaluator
from zorl.search.gates import AlwaysAccept, Decision, GateState, Paired, Sequential, StaleBest
from zorl.search.loop import Counters, Generation, Search, SearchState, reliability

CENTER = np.array([0.5, -1.0, 2.0])
RECIPES = {
    "spsa": spsa(learning_rate=0.05),
    "mpge": mpge(learning_rate=0.1),
    "two-point": two_point(learning_rate=0.05),
    "es": es(learning_rate=0.1),
    "ars": ars(learning_rate=0.1, radius=0.1),
    "openai-es": openai_es(learning_rate=0.05, sigma=0.1, m=16),
    "cma-es": CMAES(),
    "random-search": RandomSearch(radius=1.5, popsize=64),
}


def sphere(theta: np.ndarray) -> float:
    """Loss with its minimum 0 at `CENTER`."""
    return float(((theta - CENTER) ** 2).sum())


def spheres(thetas: np.ndarray) -> np.ndarray:
    return ((thetas - CENTER) ** 2).sum(axis=1)


def test_structured_candidates_reach_an_objective_that_takes_them() -> None:
    """No (n, d) matrix is ever made: `dense` is not even there."""

    class Factors:
        shape = (4, 3)

        def combine(self, weights: Any) -> np.ndarray:
            return weights.sum() * np.ones(3)

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


@dataclass
class Noisy:
    """An evaluator whose returns, lengths and moments are functions of theta and seed."""

    fault: Any = None  # (theta, seed) -> a return instead, or None
    calls: list[tuple[int, tuple[int, ...], Normalizer]] = field(default_factory=list)

    def evaluate(self, thetas: Any, seeds: Any, normalizer: Normalizer) -> Evaluation:
        self.calls.append((len(thetas), tuple(seeds), normalizer))
        returns = np.empty((len(thetas), len(seeds)))
        lengths = np.empty(returns.shape, np.int64)
        for i, theta in enumerate(thetas):
            for j, seed in enumerate(seeds):
                rng = np.random.default_rng(seed)
                returns[i, j] = -sphere(theta) + 0.1 * rng.normal()
                lengths[i, j] = 3 + (seed + int(abs(theta[0]) * 1000)) % 7
                if self.fault is not None and self.fault(theta, seed) is not None:
                    returns[i, j] = self.fault(theta, seed)
        moments = None
        if normalizer.learns:
            moments = Moments(int(lengths.sum()), np.resize(thetas, 2), np.ones(2))
        return Evaluation(returns, returns - 1, lengths, lengths > 5, moments)


RUNNING = Normalizer.create("running", np.full(2, -np.inf), np.full(2, np.inf))


def search(evaluator: Any = None, gate: Any = None, **options: Any) -> Search:
    options = {"optimizer": ars(learning_rate=0.05, radius=0.1, m=4), "episodes": 2, **options}
    return Search(
        evaluator=evaluator or Noisy(),
        streams=Streams(options.pop("seed", 3)),
        gate=gate or AlwaysAccept(),
        **options,
    )


def generations(of: Search, count: int) -> list[Generation]:
    return list(islice(of.run(of.init(np.zeros(3), RUNNING)), count))


def bits(state: SearchState) -> tuple[Any, ...]:
    scalars, arrays = flatten(state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}


def test_counters_are_exact_for_candidates_and_gate() -> None:
    evaluator = Noisy()
    done = generations(search(evaluator, Paired(3)), 5)
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
    generations(search(evaluator, StaleBest(2)), 6)
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
    (only,) = generations(search(evaluator, gate), 1)
    looks = [seeds for _, seeds, _ in evaluator.calls[1:]]
    assert len(looks) >= 2
    assert [len(seeds) for seeds in looks[:2]] == [3, 3]
    seen = tuple(seed for seeds in looks for seed in seeds)
    assert seen == Streams(3).gate(0, len(seen))
    assert only.state.counters.gate_episodes == 2 * len(seen)


@dataclass
class Table:
    """An evaluator with a given spread between candidates and a given noise of their episodes."""

    spread: float
    noise: float

    def evaluate(self, thetas: Any, seeds: Any, normalizer: Normalizer) -> Evaluation:
        rng = np.random.default_rng(seeds[0])
        own = self.spread * rng.normal(size=(len(thetas), 1))
        easy = 5 * rng.normal(size=(1, len(seeds)))  # of the episode, the same for all
        returns = own + easy + self.noise * rng.normal(size=(len(thetas), len(seeds)))
        lengths = np.ones(returns.shape, np.int64)
        return Evaluation(returns, returns, lengths, lengths > 0)


def test_reliability_is_the_share_of_the_variance_that_is_the_candidates_own() -> None:
    rng = np.random.default_rng(0)
    own, easy = rng.normal(size=(400, 1)), 9 * rng.normal(size=(1, 5))
    assert reliability(own + easy) == pytest.approx(1)
    noisy = own + easy + 2 * rng.normal(size=(400, 5))
    assert reliability(noisy) == pytest.approx(1 / (1 + 4 / 5), abs=0.08)
    assert abs(reliability(easy + rng.normal(size=(400, 5))) or 1) < 0.2
    for nothing in (own, easy, np.ones((3, 4)), np.array([[1, np.nan], [2, 3], [4, 5]])):
        assert reliability(nothing) is None
    assert reliability(np.array([[1.0, -1.001], [-1.0, 1.0]])) == -1.0


def test_episodes_per_candidate_follow_the_noise_between_their_bounds() -> None:
    def counts(spread: float, noise: float, **options: Any) -> list[int]:
        of = search(Table(spread, noise), optimizer=es(m=8), **options)
        done = generations(of, 40)
        shapes = [g.evaluation.returns.shape[1] for g in done]
        assert [g.scalars["search/episodes_per_candidate"] for g in done] == shapes
        return shapes

    assert counts(0, 1) == [2] * 40  # not asked to
    drowned = counts(0, 1, max_episodes=9)
    assert drowned[0] == 2
    assert drowned[-1] == max(drowned) == 9
    assert counts(0, 1, episodes=1, max_episodes=9)[-1] == 9  # one could never tell
    assert counts(1, 1e-3, max_episodes=9) == [2] * 40
    settled = counts(1, 2.0, max_episodes=40)[20:]
    assert 2 < np.mean(settled) < 10  # reliability ½ at spread² = noise² / e, so e = 4
    grown = search(Table(1, 1e-3), optimizer=es(m=8), max_episodes=9)
    start = replace(grown.init(np.zeros(3)), episodes=9.0)
    assert grown.step(start).state.episodes < 9  # back again when the noise is gone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_episodes": 1, "episodes": 1}, "max_episodes must be ≥ 2"),
        ({"max_episodes": 3, "episodes": 4}, "≥ episodes = 4, got 3"),
        ({"target": 1.0}, r"target must be in \(0, 1\), got 1.0"),
    ],
)
def test_bounds_of_the_episodes_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        search(**options)


@dataclass(frozen=True)
class Scripted:
    """A gate that measures `cost` episodes of the proposal and decides by turns."""

    answers: tuple[bool, ...]
    cost: int = 1

    def decide(self, state: GateState, incumbent: Any, proposal: Any, measure: Any) -> Decision:
        turn = int(max(state.best, 0))
        result = measure(proposal[None], 0, self.cost)
        assert result.shape == (1, self.cost)
        return Decision(self.answers[turn], GateState(turn + 1.0), 7.5, self.cost)


@pytest.mark.parametrize("name", RECIPES)
def test_a_rejected_update_leaves_no_trace_in_the_optimizer(name: str) -> None:
    of = search(gate=Scripted((True, False, False, True), 2), optimizer=RECIPES[name])
    # A starting point and generations that give every method something to propose.
    states = [of.init(np.array([3.0, 1.0, -2.0]), RUNNING)]
    done = []
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
    (only,) = generations(search(evaluator, Sequential()), 1)
    assert len(evaluator.calls) == 1
    assert only.state.counters.gate_episodes == 0
    assert only.state.counters.gate_steps == 0
    assert only.decision.state == GateState()
    assert np.isnan(only.state.claimed)
    assert (only.state.theta == only.previous).all()


def test_the_normalizer_learns_after_the_generation() -> None:
    evaluator = Noisy()
    first, second = generations(search(evaluator, Paired(1)), 2)
    frozen = [normalizer for _, _, normalizer in evaluator.calls]
    assert frozen[0] is frozen[1] is RUNNING  # candidates and gate of generation 0
    assert frozen[2] is frozen[3] is first.state.normalizer
    expected = RUNNING.merge(first.evaluation.moments)
    assert first.state.normalizer.moments.count == first.evaluation.env_steps
    assert first.state.normalizer.moments.mean.tobytes() == expected.moments.mean.tobytes()
    assert second.state.normalizer.moments.count == (
        first.evaluation.env_steps + second.evaluation.env_steps
    )


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    runs = [generations(search(gate=Sequential(), seed=seed), 4)[-1].state for seed in (3, 3, 4)]
    assert bits(runs[0]) == bits(runs[1])
    assert bits(runs[0]) != bits(runs[2])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("gate", [AlwaysAccept(), StaleBest(2), Sequential()], ids=repr)
def test_any_saved_state_goes_on_to_the_same_bits(name: str, gate: Any) -> None:
    of = search(gate=gate, optimizer=RECIPES[name], max_episodes=6)
    unbroken = generations(of, 5)
    for k in (0, 2, 3):
        # Through a file's contents, into a search that knows nothing of the first one.
        scalars, arrays = flatten(unbroken[k].state, "state")
        other = search(gate=gate, optimizer=RECIPES[name], max_episodes=6)
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


def test_a_function_is_maximised_unless_told_otherwise() -> None:
    thetas = np.array([[0.5, -1.0, 2.0], [0.5, -1.0, 4.0]])
    assert FunctionEvaluator(sphere).evaluate(thetas).returns.tolist() == [[0.0], [4.0]]
    least = FunctionEvaluator(sphere, minimise=True).evaluate(thetas, seeds=(1, 2))
    assert least.returns.tolist() == [[0.0, 0.0], [-4.0, -4.0]]
    assert least.native_returns.tolist() == least.returns.tolist()
    assert least.env_steps == 0
    assert not least.successes.any()
    with pytest.raises(ConfigurationError, match=r"shape \(2,\), got \(3,\)"):
        FunctionEvaluator(lambda t: np.zeros(3), batched=True).evaluate(thetas)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_return_counts_as_the_worst_and_is_counted(value: float) -> None:
    def fault(theta: Any, seed: int) -> float | None:  # half of the candidates, one episode each
        return value if theta[0] > 0 and seed == seeds[1] else None

    seeds = Streams(3).episodes(0, 2)
    of = search(Noisy(fault), optimizer=es(m=8, learning_rate=0.1))
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
    of = search(Noisy(lambda theta, seed: np.inf if seed == seeds[0] else -np.inf))
    (only,) = generations(of, 1)
    assert only.state.counters.non_finite == 16
    assert (only.state.theta == 0).all()
    assert np.isnan(only.scalars["search/return_mean"])


def test_non_finite_returns_of_the_gate_are_counted_too() -> None:
    gate_seeds = Streams(3).gate(0, 4)
    of = search(Noisy(lambda theta, seed: np.nan if seed in gate_seeds else None), Paired(4))
    (only,) = generations(of, 1)
    assert only.state.counters.non_finite == 8


def test_the_record_says_what_happened() -> None:
    gate = Scripted((True, False), 3)
    first, second = generations(search(gate=gate), 2)
    figures = second.scalars
    scores = second.evaluation.returns.mean(axis=1)
    assert figures["search/return_mean"] == pytest.approx(scores.mean())
    assert figures["search/return_max"] == scores.max()
    assert figures["search/return_std"] == pytest.approx(scores.std())
    assert figures["task/native_return_mean"] == pytest.approx(scores.mean() - 1)
    assert figures["task/native_return_max"] == pytest.approx(scores.max() - 1)
    assert figures["task/success_rate"] == second.evaluation.successes.mean()
    assert figures["task/episode_length"] == second.evaluation.lengths.mean()
    assert figures["search/env_steps"] == second.state.counters.search_steps
    assert figures["search/episodes"] == 32
    assert figures["gate/accepted"] == 0
    assert figures["gate/acceptance_rate"] == 0.5
    assert figures["gate/episodes"] == 6
    assert figures["gate/env_steps"] == second.state.counters.gate_steps > 0
    assert figures["gate/claimed_return"] == 7.5
    assert figures["search/update_norm"] == 0
    assert first.scalars["search/update_norm"] == pytest.approx(np.linalg.norm(first.state.theta))
    assert figures["search/theta_norm"] == first.scalars["search/theta_norm"] > 0
    assert 0 < figures["time/optimizer_share"] < 1
    assert figures["time/generation_seconds"] >= second.timing.rollout
    assert second.histograms["search/returns"].tolist() == scores.tolist()
    assert second.histograms["search/theta"].tolist() == first.state.theta.tolist()
    assert (first.histograms["search/update"] == first.state.theta).all()
    assert first.state.claimed == second.state.claimed == 7.5
    assert np.isnan(generations(search(), 1)[0].state.claimed)
    held = replace(search().init(np.zeros(3), RUNNING), claimed=-3.0)
    assert search().step(held).state.claimed == -3.0  # no decision, no new claim
    assert "search/sigma" not in figures
    assert "gate/claimed_return" not in generations(search(), 1)[0].scalars
    (cma,) = generations(search(optimizer=CMAES()), 1)
    assert cma.scalars["search/sigma"] == cma.state.optimizer.sigma


def test_the_first_state_is_all_zeros_and_the_counters_add_up() -> None:
    of = zorl.Search(spsa(), FunctionEvaluator(sphere), zorl.Streams(0))
    state = of.init([1.0, 2.0])
    assert state.counters == Counters()
    assert state.generation == 0
    assert state.theta.tolist() == [1.0, 2.0]
    assert not state.normalizer.active
    assert Counters(1, 2, 4, 8).env_steps == 3
    assert Counters(1, 2, 4, 8).episodes == 12
    with pytest.raises(ConfigurationError, match="episodes must be ≥ 1, got 0"):
        search(episodes=0)


def test_the_acceptance_rate_counts_only_updates_that_moved_theta() -> None:
    flat_then_slope = iter([0.0, 0.0, 1.0])

    class Evaluator:
        def evaluate(self, thetas: Any, seeds: Any, normalizer: Any) -> Evaluation:
            returns = next(flat_then_slope) * thetas[:, :1]
            return Evaluation(
                returns, returns, np.ones(returns.shape, np.int64), np.zeros(returns.shape, bool)
            )

    search = Search(spsa(), Evaluator(), Streams(0))
    *_, last = islice(search.run(search.init(np.zeros(3))), 3)
    assert last.state.counters.updates == last.state.counters.accepted == 1
    assert last.scalars["gate/acceptance_rate"] == 1.0
