"""`zorl list`: every name, and the options of one."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest
from cli_runs import Capture

from zorl.agents.registry import list_agents
from zorl.cli.main import main
from zorl.common.registry import Registry
from zorl.envs import WRAPPERS
from zorl.envs.twins.base import TWINS
from zorl.export import FORMATS
from zorl.policies.activations import ACTIVATIONS
from zorl.policies.normalization import MODES
from zorl.recorders import RECORDERS
from zorl.rollout.backend import BACKENDS
from zorl.search.gates import GATES, AlwaysAccept
from zorl.studies.base import list_studies


def kinds() -> dict[str, Iterable[str]]:
    """The names of every kind, with those that other tests have registered."""
    return {
        "agents": list_agents(),
        "gates": GATES,
        "wrappers": WRAPPERS,
        "recorders": RECORDERS,
        "backends": [*BACKENDS, "ray"],
        "activations": ACTIVATIONS,
        "normalisations": MODES,
        "twins": TWINS,
        "formats": FORMATS,
        "studies": list_studies(),
    }


def listed(capsys: Capture, *arguments: str) -> str:
    assert main(["list", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def rows(text: str) -> dict[str, list[str]]:
    """The lines of the tables, by their first word; a name of two kinds has its last line."""
    lines = [line.split() for line in text.splitlines() if line.startswith("  ")]
    return {words[0]: words[1:] for words in lines}


def test_every_name_of_every_kind_has_a_line(capsys: Capture) -> None:
    text = listed(capsys)
    found: dict[str, list[str]] = {}
    kind = ""
    for line in text.splitlines()[:-1]:  # the last says how to go on
        if line.startswith("  "):
            assert len(line.split()) >= 2 or "toy" in line, line
            found[kind].append(line.split()[0])
        elif line:
            kind = line.split()[0]
            found[kind] = []
    assert found == {kind: list(names) for kind, names in kinds().items()}


def test_a_kind_is_listed_alone(capsys: Capture) -> None:
    text = listed(capsys, "gates")
    assert list(rows(text)) == list(GATES)
    assert text.startswith("gates (--gate NAME, options --gate-set)\n")


def test_an_agent_shows_its_options_with_the_defaults_that_zorl_chose(capsys: Capture) -> None:
    text = listed(capsys, "ars")
    table = rows(text)
    # Those of the function are 0.02 and None.
    assert table["learning_rate"][:2] == ["float", "0.3"]
    assert table["top"][:4] == ["float", "|", "None", "0.5"]
    # And what every search agent has.
    assert table["max_episodes"][:4] == ["int", "|", "None", "50"]
    assert table["normalize"][:2] == ["str", "running"]
    assert "off, bounds or running" in " ".join(table["normalize"])
    assert "seed" not in table
    assert "the initial step size" in " ".join(rows(listed(capsys, "cma-es"))["sigma0"])


def test_a_baseline_shows_the_options_of_its_class(capsys: Capture) -> None:
    table = rows(listed(capsys, "ppo"))
    assert table["n_steps"][:2] == ["int", "2048"]
    assert "The number of steps to run" in " ".join(table["n_steps"])
    assert table["policy"][:2] == ["str", "auto"]
    assert table["n_envs"][:2] == ["int", "1"]
    assert not {"env", "verbose", "device", "gate", "seed"} & set(table)


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        ("paired", "episodes", ["int", "5", "episodes"]),
        ("momentum", "goal_reward", ["float", "100.0", "paid"]),
        ("frame-stack", "stack_size", ["int", "required", "The"]),
        ("tensorboard", "points", ["int", "2000", "how"]),
        ("CartPole-v1", "sutton_barto_reward", ["bool", "False"]),
        ("mnist", "seeds", ["int", "2", "number"]),
    ],
)
def test_other_names_show_theirs(name: str, option: str, words: list[str], capsys: Capture) -> None:
    table = rows(listed(capsys, name))
    assert table[option][:3] == words
    assert not {"env", "clock", "log", "study"} & set(table)


def test_a_name_of_two_kinds_is_shown_twice(capsys: Capture) -> None:
    text = listed(capsys, "off")
    assert "off (gates" in text
    assert "off (normalisations" in text


def test_what_is_registered_is_listed_at_once(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GATES._things, "sometimes", AlwaysAccept)
    assert "sometimes" in rows(listed(capsys, "gates"))
    assert isinstance(GATES, Registry)


def test_a_terminal_is_given_lines_that_fit(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for arguments in ([], ["cma-es"]):
        wide = listed(capsys, *arguments)
        assert max(map(len, wide.splitlines())) == 80
        monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
        piped = listed(capsys, *arguments)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert sorted(wide.split()) == sorted(piped.split())
        assert max(map(len, piped.splitlines())) > 80
