"""What is compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from toy_comparison import CARTPOLE, PLAN

from zorl.common.errors import ConfigurationError
from zorl.comparison import (
    AgentSpec,
    Comparison,
)


@pytest.mark.parametrize(
    ("text", "label", "name", "settings", "options"),
    [
        ("ars", "ars", "ars", "tuned", {}),
        (" ars() ", "ars", "ars", "tuned", {}),
        (
            "ars( m=4,gate =stale-best )",
            "ars(m=4, gate=stale-best)",
            "ars",
            "tuned",
            {"m": 4, "gate": "stale-best"},
        ),
        ("ppo(settings=default)", "ppo(settings=default)", "ppo", "default", {}),
        (
            "es(hidden=(8, 4), x={'a': [1, 2]}, y='a,b', z=-1e-3, n=None)",
            "es(hidden=(8, 4), x={'a': [1, 2]}, y='a,b', z=-1e-3, n=None)",
            "es",
            "tuned",
            {"hidden": (8, 4), "x": {"a": (1, 2)}, "y": "a,b", "z": -1e-3, "n": None},
        ),
        ("es(hidden=8)", "es(hidden=8)", "es", "tuned", {"hidden": 8}),
        ("es(hidden=none)", "es(hidden=none)", "es", "tuned", {"hidden": "none"}),
    ],
)
def test_an_agent_is_read_from_text(
    text: str, label: str, name: str, settings: str, options: dict[str, Any]
) -> None:
    spec = AgentSpec.parse(text)
    assert (spec.label, spec.name, spec.settings) == (label, name, settings)
    assert dict(spec.options) == options


@pytest.mark.parametrize(
    "text",
    ["", "ars(4)", "ars(m=4", "ars(m=4)(m=5)", "ars(**x)", "ars(m=1, m=2)", "a b",
     "ars(m=4), es"],
)  # fmt: skip
def test_what_is_not_an_agent_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected agent or agent"):
        AgentSpec.parse(text)
    for shared in ("agent", "env", "seed"):
        with pytest.raises(ConfigurationError, match=f"{shared} is the same for all agents"):
            AgentSpec.parse(f"ars({shared}=1)")


def test_text_is_never_evaluated(tmp_path: Path) -> None:
    spec = AgentSpec.parse(f"ars(m=open({str(tmp_path / 'made')!r}, 'w'))")
    assert spec.options["m"].startswith("open(")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("agents", "seeds", "reference", "error"),
    [
        (["ars", "cma-es", " ars()"], [0], None, "'ars' and 'ars' would share one label"),
        (["ars(m=4)", "ars(m=4,)"], [0], None, "share one label"),
        (["es(x='/')", "es(x='*')"], [0], None, "share one label"),  # their folders would be one
        (["ars"], [1, 1], None, "seeds must differ"),
        (["ars"], [-1], None, "seed must be ≥ 0"),
        (["ars"], [], None, "at least one agent and one seed"),
        ([], [0], None, "at least one agent and one seed"),
        (["ars", "ppo"], [0], "pppo", "unknown reference agent 'pppo'; did you mean 'ppo'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    agents: list[str], seeds: list[int], reference: str | None, error: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(error)):
        Comparison.create(CARTPOLE, agents, PLAN, seeds, reference)


@pytest.mark.parametrize(
    ("agents", "reference", "expected"),
    [
        (["ars", "ppo(settings=default)", "ppo"], None, "ppo(settings=default)"),
        (["ars", "es"], None, "ars"),
        (["ars", "es(m=4, sigma=0.1)"], "es( m=4,sigma=0.1)", "es(m=4, sigma=0.1)"),
    ],
)
def test_the_reference_is_ppo_or_the_first_or_chosen(
    agents: list[str], reference: str | None, expected: str
) -> None:
    assert Comparison.create(CARTPOLE, agents, PLAN, [0], reference).reference == expected
