"""The words that end a run, part by part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zorl.common.stats import Interval
from zorl.runs.report import held_out_lines, summary
from zorl.runs.result import HeldOut, RunResult, Spent, WorkersUsed
from zorl.search.records import Counters

RATE = Interval(0.9, 0.8, 1.0, 0.95)
ESTIMATE = HeldOut(10, Interval(-104.6, -105.3, -103.9, 0.95), RATE, RATE, (), (), ())
RESULT = RunResult(
    status="finished",
    agent="ars",
    env_id="CartPole-v1",
    shaped=False,
    success="threshold",
    seed=3,
    parameters=1051,
    threshold=None,
    total_timesteps=1000,
    resumable=True,
    seconds=2.0,
    curve=(),
    env_steps=Spent(1100, 70, 30),
    episodes=Spent(40, 2, 10),
    held_out=ESTIMATE,
    counters=Counters(updates=3),
)


def lines(**changes: Any) -> list[str]:
    return summary(replace(RESULT, **changes)).splitlines()


def test_a_summary_names_the_run_and_what_it_cost() -> None:
    assert lines() == [
        "ars on CartPole-v1, seed 3, 1,051 parameters: finished",
        "  held-out native return -104.6 [-105.3, -103.9] (10 fresh episodes, 95 % interval)",
        "  held-out success 90% [80%, 100%]",
        "  trained 1,100 env steps, 40 episodes, 2.0 s without validation (550 steps/s)",
        "  measured as well: 70 env steps of validation, 30 env steps of held-out",
    ]


@pytest.mark.parametrize(
    ("select", "returns", "words"),
    [
        (
            "best",
            (9.0, 500.0, 253.75),
            "the best of 3 validations, at 100 env steps (500 there; the last one 253.8)",
        ),
        (
            "last",
            (9.0, 500.0, 253.75),
            "the last, at 200 env steps (253.8 in validation; the best of 3 validations 500)",
        ),
        ("best", (9.0, 500.0, 500.0), "the last, at 200 env steps, and the best of 3 validations"),
        ("last", (9.0,), "the last, at 0 env steps, and the best of 1 validation"),
        (
            "best",
            (9.0, float("nan")),
            "the best of 2 validations, at 0 env steps (9 there; the last one nan)",
        ),
    ],
)
def test_it_is_said_which_policy_the_final_one_is(
    select: str, returns: tuple[float, ...], words: str
) -> None:
    curve = tuple({"env_steps": 100 * i, "native_return": r} for i, r in enumerate(returns))
    assert f"  final policy: {words}" in lines(select=select, curve=curve)
    assert "final policy" not in "".join(lines(select=select, curve=curve, status="interrupted"))


def test_the_estimate_leaves_out_what_the_task_does_not_have() -> None:
    assert len(held_out_lines(ESTIMATE, shaped=True, succeeds=True)) == 3
    assert len(held_out_lines(ESTIMATE, shaped=False, succeeds=False)) == 1
    assert "shaped return 0.90" in held_out_lines(ESTIMATE, shaped=True, succeeds=False)[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shaped": True}, "ars on CartPole-v1 (shaped), seed 3"),
        ({"threshold": 10.0}, "threshold 10: not reached on the learning curve"),
        (
            {
                "threshold": 10.0,
                "curve": ({"native_return": 11, "env_steps": 5e3, "episodes": 8, "seconds": 1},),
            },
            "threshold 10: first reached after 5,000 env steps, 8 episodes, 1.0 s",
        ),
        ({"total_timesteps": 900}, "the budget was 900; a whole generation is the least"),
        (
            {"total_timesteps": 900, "counters": None},
            "the budget was 900; a whole rollout is the least",
        ),
        (
            {"counters": Counters(updates=1, gate_steps=2000, gate_episodes=20)},
            "of these the gate took 2,000 env steps, 20 episodes",
        ),
        ({"counters": Counters(search_episodes=8)}, "no update moved the parameters"),
        (
            {"counters": Counters(updates=1, non_finite=4)},
            "4 returns were NaN or infinite: scored worst",
        ),
        ({"compile_seconds": 1.5}, "of these seconds 1.5 went into compiling the twin"),
        ({"workers": WorkersUsed(2, 0.5, 0)}, "2 worker processes, ready after 0.5 s"),
        ({"workers": WorkersUsed(2, 0.5, 3)}, "0.5 s; 3 died and were replaced"),
    ],
)
def test_what_there_is_more_to_say(changes: dict[str, Any], words: str) -> None:
    assert any(words in line for line in lines(**changes))
    assert not any(words in line for line in lines())


def test_what_needs_no_word_gets_none() -> None:
    quiet = {"compile_seconds": 0.5, "workers": WorkersUsed(2, None, 0), "counters": None}
    assert lines(**quiet) == lines()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "next: zorl watch runs/it"),
        ({"status": "interrupted"}, "next: zorl resume runs/it"),
        ({"status": "interrupted", "resumable": False}, "the policy so far is in checkpoint.zip"),
    ],
)
def test_the_next_step_is_named(changes: dict[str, Any], words: str) -> None:
    text = summary(replace(RESULT, **changes), Path("runs/it")).splitlines()
    assert text[-2] == "  saved in runs/it"
    assert words in text[-1]


@pytest.mark.parametrize("width", [40, 80])
def test_lines_are_broken_between_words_where_the_terminal_ends(width: int) -> None:
    folder = Path("runs/" + "x" * 100)
    whole = summary(RESULT, folder)
    broken = summary(RESULT, folder, width)
    assert broken.split() == whole.split()
    long = [line for line in broken.splitlines() if len(line) > width]
    assert long == [f"  saved in {folder}", f"  next: zorl watch {folder}"]
    assert len(broken.splitlines()) > len(whole.splitlines())
