"""Exported C, JavaScript and numpy give the actions of `predict`, to the last bit."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_cases import Case, cases
from numpy.typing import NDArray

CASES = cases()
GCC, NODE = shutil.which("gcc"), shutil.which("node")


def assert_same_bits(actions: NDArray[Any], case: Case) -> None:
    """Compare the actions for a case's first observations."""
    actions = actions.reshape(len(actions), -1)
    expected = case.expected[: len(actions)]
    assert actions.dtype == expected.dtype
    assert actions.tobytes() == expected.tobytes(), case.name
    many = len(expected) / 10 if expected.dtype.kind == "f" and case.observations.ndim > 1 else 1
    assert len(np.unique(expected)) > many  # few are clipped to their bounds


def c_program(headers: list[tuple[str, str, int, int]]) -> str:
    """A program that maps a case's observations on stdin to actions on stdout, raw.

    Args:
        headers: of each: name, type of an action, numbers in an observation and in an action.
    """
    lines = [f'#include "{name}.h"' for name, *_ in headers]
    lines += ["#include <stdio.h>", "int main(int argc, char **argv)", "{", "    (void)argc;"]
    for name, kind, observations, actions in headers:
        lines += [
            f'    if (!strcmp(argv[1], "{name}")) {{',
            f"        double o[{observations}];",
            f"        {kind} a[{actions}];",
            f"        while (fread(o, 8, {observations}, stdin) == {observations}) {{",
            f"            {name}_act(o, a);",
            f"            fwrite(a, sizeof a[0], {actions}, stdout);",
            "        }",
            "    }",
        ]
    return "\n".join([*lines, "    return 0;", "}", ""])


@pytest.mark.skipif(GCC is None, reason="gcc is not installed")
def test_c_gives_the_same_bits(tmp_path: Path) -> None:
    headers, kinds = [], {"float32": "float", "float64": "double"}
    for case in CASES:
        case.agent.export(tmp_path / case.name, "c")
        row = np.asarray(case.observations[0]).size
        action = case.expected
        headers.append((case.name, kinds.get(str(action.dtype), "int"), row, action.shape[1]))
    (tmp_path / "main.c").write_text(c_program(headers))
    flags = ["-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    done = subprocess.run(
        [str(GCC), *flags, "main.c", "-o", "main"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for case in CASES:
        rows = np.asarray(case.observations, np.float64).tobytes()
        raw = subprocess.run(
            [tmp_path / "main", case.name], input=rows, capture_output=True, check=True
        ).stdout
        expected = case.expected
        if expected.dtype.kind == "f":
            assert_same_bits(np.frombuffer(raw, expected.dtype), case)
        else:
            assert_same_bits(np.frombuffer(raw, np.int32).astype(expected.dtype), case)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_javascript_gives_the_same_bits(tmp_path: Path) -> None:
    for case in CASES:
        case.agent.export(tmp_path / case.name, "js")
        some = case.observations[:2000]
        rows = some.tolist() if some.ndim == 1 else some.reshape(len(some), -1).tolist()
        (tmp_path / f"{case.name}.json").write_text(json.dumps(rows))
    (tmp_path / "main.cjs").write_text("""
        for (const name of process.argv.slice(2)) {
          const policy = require(`./${name}.js`), rows = require(`./${name}.json`);
          console.log(JSON.stringify(rows.map(policy.act)));
        }""")
    done = subprocess.run(
        [str(NODE), "main.cjs", *(case.name for case in CASES)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for case, line in zip(CASES, done.stdout.splitlines(), strict=True):
        expected = case.expected
        actions = np.array(json.loads(line))
        if expected.dtype == np.float32:
            assert (actions == actions.astype(np.float32)).all()
        assert_same_bits(actions.astype(expected.dtype), case)


def test_numpy_gives_the_same_bits(tmp_path: Path) -> None:
    for case in CASES:
        act = runpy.run_path(str(case.agent.export(tmp_path / case.name, "numpy")))["act"]
        assert_same_bits(act(case.observations), case)
        one = act(case.observations[0])
        assert one.shape == np.shape(case.agent.predict(case.observations[0])[0])
        assert one.dtype == np.asarray(case.agent.predict(case.observations[0])[0]).dtype
