"""`check_compiled_twin` passes a twin that is the same task, and says what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest
from toy_twins import DRIFT

from zorl.common.errors import ConfigurationError
from zorl.testing import TwinReport, check_compiled_twin


def check(twin: str, **kwargs: Any) -> TwinReport:
    return check_compiled_twin(DRIFT, steps=3000, env_kwargs={"twin": twin}, **kwargs)


def test_the_right_twin_passes_and_the_report_says_what_was_seen() -> None:
    report = check("right")
    assert report.exact_differences == 0
    assert 3000 <= report.steps < 3050
    assert report.episodes >= 60
    assert 0 < report.observation_error < 1e-6
    assert 0 < report.reward_error < 1e-6
    assert report.termination_error <= 1e-3
    assert report.episodes_differing <= 0.05
    assert check("right") == report
    assert check("right", seed=1) != report


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        ("other-constant", r"after step \d+ of the episode with seed \d+: observation"),
        ("other-order", r"after step \d+ of the episode with seed \d+: observation"),
        ("other-end", r"after step \d+ .*terminated False, expected True"),
        ("other-last-reward", r"after step \d+ .*reward -2\.\d+, expected 10\.0"),
        ("other-start", "after reset of the episode with seed 0: observation .* expected"),
    ],
)
def test_another_task_is_told_by_step_seed_and_numbers(twin: str, words: str) -> None:
    with pytest.raises(
        AssertionError, match=f"(?s)the twin of .*Drift-v0 is another task, {words}"
    ):
        check(twin)


def test_a_policy_acts_on_what_it_sees() -> None:
    seen: list[Any] = []

    def to_the_right(observation: Any) -> int:
        seen.append(observation)
        return 2

    report = check_compiled_twin(DRIFT, steps=30, env_kwargs={"twin": "right"}, policy=to_the_right)
    assert len(seen) == report.steps
    assert max(observation[0] for observation in seen) > 1.5
    with pytest.raises(AssertionError, match=r"terminated False, expected True"):
        check_compiled_twin(
            DRIFT, steps=30, env_kwargs={"twin": "other-end"}, policy=lambda observation: 0
        )


def test_small_differences_may_be_allowed_and_are_counted() -> None:
    report = check("other-order", tolerance=1e-12)
    assert 0 < report.exact_differences < report.steps
    with pytest.raises(AssertionError, match="another task"):
        check("other-constant", tolerance=1e-12)


def test_cancellation_shows_in_the_fast_twin() -> None:
    with pytest.raises(AssertionError, match=r"the fast twin of .* errs by .*nearly equal numbers"):
        check("cancelling", tolerance=1e-4)
    with pytest.raises(
        AssertionError, match=r"the fast twin of .* errs by .* expected at most 1e-09"
    ):
        check("right", fast_tolerance=1e-9)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"FrozenLake-v1 has no compiled twin.*register"):
        check_compiled_twin("FrozenLake-v1")
    with pytest.raises(ConfigurationError, match="steps"):
        check_compiled_twin("CartPole-v1", steps=0)
    with pytest.raises(ConfigurationError, match=r"ShortState\.step must return"):
        check("short-state")
    with pytest.raises(ConfigurationError, match=r"NoReset\.reset must return"):
        check("no-reset")
    with pytest.raises(ConfigurationError, match="For"):
        check("loops")
