"""Candidates made again elsewhere: the bits of those that the search asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cloudpickle
import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.common.streams import Streams
from zorl.optimizers.registry import METHODS
from zorl.policies.normalization import Normalizer
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.evaluation import Evaluation, Evaluator, FunctionEvaluator
from zorl.rollout.origin import CandidateOrigin, fingerprint
from zorl.rollout.ray import actor as ray_actor
from zorl.rollout.ray.actor import Broadcast
from zorl.search.loop import Search

OFF = Normalizer.create("off", np.zeros(0), np.zeros(0))


class Recording(Evaluator):
    """Scores candidates by a formula, and keeps what it was given."""

    def __init__(self, takes_origin: bool) -> None:
        self.takes_origin = takes_origin
        self.seen: list[tuple[Any, Any]] = []

    def evaluate(self, thetas: Any, seeds: Any, normalizer: Any, **more: Any) -> Evaluation:
        self.seen.append((np.array(thetas, np.float32), more.get("origin")))
        return FunctionEvaluator(lambda theta: -float(theta @ theta)).evaluate(thetas, seeds)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_origin_makes_a_generations_candidates_again(method: str) -> None:
    evaluator = Recording(takes_origin=True)
    search = Search(METHODS[method](), evaluator, Streams(4))
    states = search.run(search.init(np.linspace(-1, 1, 6)))
    for _ in range(3):
        next(states)
    assert len(evaluator.seen) == 3
    for g, (thetas, origin) in enumerate(evaluator.seen):
        assert origin.generation == g
        sent = cloudpickle.loads(cloudpickle.dumps(origin))
        assert sent.thetas().dtype == np.float32
        assert sent.thetas().tobytes() == thetas.tobytes()


def test_only_evaluators_that_want_it_are_given_one_and_gates_have_none() -> None:
    for takes_origin in (False, True):
        evaluator = Recording(takes_origin)
        search = Search(METHODS["ars"](m=4), evaluator, Streams(0), gate=_paired())
        next(search.run(search.init(np.ones(5))))
        candidates, *gate = evaluator.seen
        assert (candidates[1] is not None) == takes_origin
        assert gate
        assert all(origin is None and len(thetas) == 2 for thetas, origin in gate)


def _paired() -> Any:
    from zorl.search.gates import make_gate

    return make_gate("paired")


def origin_of(method: str, dim: int, **options: Any) -> CandidateOrigin:
    optimizer = METHODS[method](**options)
    return CandidateOrigin(optimizer, optimizer.init(np.zeros(dim)), Streams(1), 7)


def work_of(origin: CandidateOrigin) -> EpisodeBatch:
    return EpisodeBatch(origin.thetas(), (3, 5), OFF, origin)


def test_the_smaller_form_travels() -> None:
    large = work_of(origin_of("ars", 500, m=32))
    sent = Broadcast.of(large, 1)
    assert isinstance(sent.candidates, bytes)
    assert len(sent.candidates) < 500 * 8 + 2000 < large.thetas.nbytes
    small = work_of(origin_of("cma-es", 40))  # a covariance matrix and a few rows
    rows = Broadcast.of(small, 1).candidates
    assert isinstance(rows, np.ndarray)
    for batch in (large, small, replace(large, origin=None)):
        there = cloudpickle.loads(cloudpickle.dumps(Broadcast.of(batch, 1))).batch()
        assert there.thetas.tobytes() == batch.thetas.tobytes()
        assert there.seeds == batch.seeds


def test_large_rows_travel_so_that_the_actors_of_a_machine_share_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = work_of(origin_of("ars", 500, m=32))
    monkeypatch.setattr(ray_actor, "LARGEST", batch.thetas.nbytes)
    assert isinstance(Broadcast.of(batch, 1).candidates, bytes)
    monkeypatch.setattr(ray_actor, "LARGEST", batch.thetas.nbytes - 1)
    assert Broadcast.of(batch, 1).candidates is batch.thetas


def test_other_candidates_are_an_error() -> None:
    batch = work_of(origin_of("ars", 500, m=32))
    thetas = batch.thetas.copy()
    thetas[3, 4] = np.nextafter(thetas[3, 4], np.float32(9))
    with pytest.raises(ConfigurationError, match=r"other candidates.*numpy \d"):
        Broadcast.of(replace(batch, thetas=thetas), 1).batch()


def test_a_fingerprint_sees_every_bit_and_the_shape() -> None:
    zeros = np.zeros((2, 3), np.float32)
    marks = {fingerprint(zeros), fingerprint(zeros.reshape(3, 2)), fingerprint(-zeros)}
    for index in range(6):
        one = zeros.copy()
        one.flat[index] = 1e-45  # the least number there is
        marks.add(fingerprint(one))
    assert len(marks) == 9
    assert fingerprint(zeros) == fingerprint(np.zeros((2, 3), np.float32))
