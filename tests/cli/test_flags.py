"""Flags are the fields of a dataclass, and what the registries have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from zorl.agents.plan import TrainingPlan
from zorl.agents.search.config import CHOICES, SearchConfig
from zorl.cli.arguments import NOT_FLAGS, train_parser
from zorl.cli.flags import add_fields, count, duration, given, listed
from zorl.rollout.backend import Resources
from zorl.search.gates import GATES, AlwaysAccept


@dataclass
class Settings:
    """Settings of one kind each.

    Attributes:
        name: of no flag.
        many_things: how many, at 5 % each.
        rate: how fast.
        colour: of it.
        glossy: make it shine.
        dull: make it dull.
        others: what else.
    """

    name: str
    many_things: int = 3
    rate: float | None = None
    colour: str = "red"
    glossy: bool = True
    dull: bool = False
    others: Mapping[str, Any] = field(default_factory=dict)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_fields(made, Settings, ["name"], {"colour": ["red", "blue"]}, {"rate": "as it comes"})
    return made


def read(*arguments: str) -> dict[str, Any]:
    return given(parser().parse_args(arguments), Settings, ["name"])


def test_only_what_was_given_is_set() -> None:
    assert read() == {}
    assert read("--many-things", "2e1", "--rate", "-0.5", "--colour", "green") == {
        "many_things": 20,
        "rate": -0.5,
        "colour": "green",
    }
    assert read("--no-glossy", "--dull") == {"glossy": False, "dull": True}
    assert read("--others", "a=1", "--others", "b=x") == {"others": {"a": 1, "b": "x"}}


def test_the_help_says_meaning_choices_and_default() -> None:
    text = " ".join(parser().format_help().split())
    assert "--many-things N how many, at 5 % each (default: 3)" in text
    assert "--rate X how fast (default: as it comes)" in text
    assert "--colour NAME of it: red or blue (default: red)" in text
    assert "--glossy, --no-glossy make it shine (default: yes)" in text
    assert "--others NAME=VALUE what else; repeatable" in text
    assert "--name" not in text


def test_numbers_are_read() -> None:
    assert [count(text) for text in ("1", "200_000", "2e5")] == [1, 200_000, 200_000]
    assert duration("0.5") == 0.5
    for text in ("0", "-1", "inf", "nan", "soon"):
        with pytest.raises(argparse.ArgumentTypeError, match="positive number of seconds"):
            duration(text)


def test_names_are_listed_as_in_a_sentence() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a or b",
        "a, b or c",
    ]


def words() -> str:
    """What `zorl train --help` says, on one line."""
    return " ".join(train_parser().format_help().split())


def test_every_search_option_is_a_flag_of_train() -> None:
    text = words()
    renamed = {"gate_options": "gate-set", "ray": "ray-address", "total_timesteps": "timesteps"}
    for source, apart in ((SearchConfig, NOT_FLAGS), (TrainingPlan, ()), (Resources, ())):
        for item in fields(source):
            if item.name not in apart:
                flag = renamed.get(item.name, item.name.replace("_", "-"))
                assert re.search(rf" --{flag}[ ,]", text), flag
    for known in CHOICES.values():
        assert listed(list(known)) in text or "envpool" in known
    assert f"{listed([*CHOICES['backend'], 'ray'])} (default: auto)" in text


def test_a_gate_that_is_registered_is_in_the_help_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sometimes" not in words()
    monkeypatch.setitem(GATES._things, "sometimes", AlwaysAccept)
    assert "sequential or sometimes" in words()
