"""Environments that fail under the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_runs import SMALL, Capture, contents, refused, train
from toy_envs import WALK

from zorl.agents.registry import load_agent, make_agent
from zorl.cli.main import main
from zorl.common.streams import Streams
from zorl.runs.folder import RunFolder

FAULTS = [
    ("nan-reward", "1", "returned a NaN or infinite reward.*seed {seed} .*--non-finite worst"),
    ("inf-reward", "1", "returned a NaN or infinite reward.*seed {seed} "),
    ("nan-observation", "1", "NaN or infinite observation after 3 steps.*seed {seed}"),
    ("raise-step", "1", r"raised RuntimeError in step\(\) at step 3 .*seed {seed}: the step is"),
    ("raise-reset", "1", r"raised RuntimeError in reset\(\) of .*seed {seed}: the reset is"),
    ("raise-step", "2", r"raised RuntimeError in step\(\) at step 3 .*seed {seed}: the step is"),
    ("exit", "2", r"toy/Walk-v0 with seed {seed} .*ended its worker 3 times.*\(exit code 7\)"),
]


@pytest.mark.parametrize(("fault", "workers", "words"), FAULTS)
def test_a_failing_environment_is_one_message_and_what_was_learned_stays(
    fault: str, workers: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    bad = Streams(0).episodes(2, 1)[0]  # the third generation meets it
    path = tmp_path / "run"
    base = ["train", "--agent", "spsa", "--env", WALK, "--run", str(path), *SMALL, "--quiet"]
    options = ["--env-set", f"fault='{fault}'", "--env-set", f"fault_seed={bad}"]
    message = refused(capsys, *base, *options, "--workers", workers, code=1)
    assert re.search(words.format(seed=bad), message), message
    folder = RunFolder(path)
    assert len(folder.generations.read_text().splitlines()) == 2
    agent = load_agent(folder.checkpoint)
    assert agent.num_timesteps > 0
    assert not folder.agent.exists()
    # The same two generations without the fault.
    twin = make_agent("spsa", WALK, hidden=(3,), episodes=1, m=2)
    twin.learn(10**6, callback=lambda generation: generation.index < 1)
    assert agent.state.theta.tolist() == twin.state.theta.tolist()  # type: ignore[attr-defined]
    # It still can be evaluated, and a resume fails in the same words and leaves it as it was.
    assert main(["evaluate", str(path), "--episodes", "3"]) == 0
    saved = contents(path)
    again = refused(capsys, "resume", str(path), "--quiet", "--no-tensorboard",
                    "--workers", workers, code=1)  # fmt: skip
    if workers == "1":
        assert again == message
    assert re.search(words.format(seed=bad), again)  # in several it may be another candidate's
    after = contents(path)
    for name in [name for name in {*saved, *after} if name.startswith("seed")]:
        saved.pop(name, None), after.pop(name, None)
    del saved["generations.jsonl"], after["generations.jsonl"]
    assert after == saved


def test_an_environment_whose_constructor_raises_is_one_message(
    tmp_path: Path, capsys: Capture
) -> None:
    message = refused(
        capsys,
        *("train", "--env", WALK, "--run", str(tmp_path / "run"), "--env-set", "observation=x"),
        code=1,
    )
    assert "cannot make toy_envs:toy/Walk-v0 with {'observation': 'x'}: KeyError" in message
    message = refused(capsys, "train", "--env", WALK, "--env-set", "max_episode_steps=soon")
    assert "max_episode_steps must be an integer ≥ 1, got 'soon'" in message
    assert list(tmp_path.iterdir()) == []


def test_non_finite_rewards_may_count_as_worst(tmp_path: Path, capsys: Capture) -> None:
    bad = Streams(0).episodes(2, 1)[0]
    options = ["--env-set", "fault=inf-reward", "--env-set", f"fault_seed={bad}"]
    assert train(tmp_path / "run", *options, "--non-finite", "worst", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "  4 returns were NaN or infinite: scored worst" in out
