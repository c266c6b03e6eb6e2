"""Which format is written where, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_cases import case

from zorl.agents.registry import make_agent
from zorl.cli import main
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.export import FORMATS, export
from zorl.policies.mlp import MlpPolicy

AGENT = case("any", "box", "box", 1).agent


@pytest.mark.parametrize("to", ["c", "js", "numpy"])
def test_the_format_follows_from_the_suffix_and_the_suffix_from_the_format(
    to: str, tmp_path: Path
) -> None:
    named = AGENT.export(tmp_path / "policy", to)
    assert named == tmp_path / f"policy{FORMATS[to].suffix}"
    by_suffix = AGENT.export(tmp_path / f"again/policy{FORMATS[to].suffix}")
    assert by_suffix.read_bytes() == named.read_bytes()


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="known: c, js, numpy"):
        AGENT.export(tmp_path / "policy", "fortran")
    with pytest.raises(
        ConfigurationError, match=r"no format has the suffix '.f90'; known: .h \(c\)"
    ):
        AGENT.export(tmp_path / "policy.f90")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_identifier_becomes_one(tmp_path: Path) -> None:
    text = AGENT.export(tmp_path / "2nd run-best", "c").read_text()
    assert "static inline void policy_2nd_run_best_act(" in text


def test_text_of_a_file_s_own_cannot_end_a_comment(tmp_path: Path) -> None:
    snapshot = replace(AGENT.snapshot(), about="an env */ #include \"x\"\n''' \\")
    for to in ("c", "js", "numpy"):
        text = export(snapshot, tmp_path / "policy", to).read_text()
        assert "an env ?? ?include ?x????? ?" in text


def test_parameters_that_diverged_are_refused() -> None:
    theta = np.full(AGENT.parameters, 1e39)
    with pytest.raises(ConfigurationError, match="no finite numbers in float32"):
        replace(AGENT.snapshot(), theta=theta)


def test_observations_that_no_format_reads_are_refused() -> None:
    encoder = replace(AGENT.snapshot().encoder, kind="multi-binary")
    with pytest.raises(ConfigurationError, match="of the kind 'multi-binary' cannot be exported"):
        replace(AGENT.snapshot(), encoder=encoder)


def test_a_policy_of_another_class_goes_to_none_of_these(tmp_path: Path) -> None:
    class Own(MlpPolicy):
        """It may compute anything."""

    own = Own(AGENT.policy.inputs, AGENT.policy.decoder)
    with pytest.raises(ConfigurationError, match=r"the policy is a Own, .* zorl's own networks"):
        export(replace(AGENT.snapshot(), policy=own), tmp_path / "policy.h")


def test_the_command_takes_a_file_or_a_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent: Any = make_agent("random-search", "CartPole-v1", backend="gymnasium", hidden=())
    agent.save(tmp_path / "pole.zip")
    assert main(["export", str(tmp_path / "pole.zip"), "--to", "js"]) == 0
    written = tmp_path / "pole.js"
    assert capsys.readouterr().out == f"{written}: {written.stat().st_size:,} bytes\n"
    saved, out = str(tmp_path / "pole.zip"), str(tmp_path / "x")
    assert main(["export", saved, "--to", "c", "--out", out]) == 0
    assert "x_act(" in (tmp_path / "x.h").read_text()
    assert main(["export", saved, "--to", "cobol"]) == 2
    assert "unknown export format 'cobol'" in capsys.readouterr().err
