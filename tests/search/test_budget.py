"""A budget ends a search, and gives a generation up that goes far beyond it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from search_toys import Noisy

from zorl.common.errors import GenerationGivenUp, TooManySteps
from zorl.common.streams import Seeds, Streams
from zorl.optimizers import ars
from zorl.policies.normalization import Normalizer
from zorl.rollout.evaluation import Evaluation
from zorl.search import Budget, Paired, Search


@pytest.mark.parametrize(
    ("budget", "episodes", "grace"),
    [
        (1, 1, 100_000),
        (2_000, 44, 100_000),
        (99_999, 100, 100_000),
        (1, 128, 128_000),  # of 1,000 steps each: none of these can be too long
        (600_000, 44, 600_000),
        (None, 4, math.inf),
    ],
)
def test_a_generation_may_take_the_budget_again_or_a_thousand_steps_an_episode(
    budget: float | None, episodes: int, grace: float
) -> None:
    assert Budget(generations=1, total_timesteps=budget).grace(episodes) == grace


class Limited(Noisy):
    """Knows when to give up, as rollouts do."""

    takes_most_steps = True

    def evaluate(
        self, thetas: Any, seeds: Seeds, normalizer: Normalizer, most_steps: int | None = None
    ) -> Evaluation:
        found = super().evaluate(thetas, seeds, normalizer)
        if most_steps is not None and found.env_steps > most_steps:
            raise TooManySteps("too many")
        return found


def test_the_gate_s_steps_and_episodes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(ars(m=2), Limited(), Streams(1), Paired(episodes=3), episodes=2)
    start = search.init(np.zeros(3))
    first = search.step(start)
    second = search.step(first.state)
    steps, episodes = second.env_steps, 2 * 4 + 2 * 3  # of the second generation
    monkeypatch.setattr(Budget, "grace", lambda self, n: n)
    again = search.step(first.state, Budget(total_timesteps=steps - episodes))
    assert np.array_equal(again.state.theta, second.state.theta)
    with pytest.raises(
        GenerationGivenUp, match=rf"^generation 1 took the search more than {episodes} env steps "
    ):
        search.step(first.state, Budget(total_timesteps=steps - episodes - 1))


def test_functions_have_no_steps_to_count() -> None:
    search = Search(ars(m=2), Noisy(), Streams(1), episodes=2)
    assert search.step(search.init(np.zeros(3)), Budget(total_timesteps=1)).env_steps > 1
