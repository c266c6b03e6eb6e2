"""The command line: what it prints, and one clear message for everything that is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_envs
from toy_envs import WALK

import zorl
from zorl.agents.registry import list_agents, load_agent, make_agent
from zorl.cli.main import COMMANDS, main
from zorl.common.errors import ConfigurationError
from zorl.common.storage import load_archive, read_json, save_archive
from zorl.common.streams import Streams, held_out_seeds
from zorl.envs import WRAPPERS
from zorl.optimizers.registry import METHODS
from zorl.runs.folder import RunFolder
from zorl.search.gates import GATES

ROOT = Path(toy_envs.__file__).parents[2]
SMALL = [
    *("--timesteps", "600", "--validate-episodes", "2", "--held-out", "3", "--hidden", "3"),
    *("--episodes", "1", "--set", "m=2", "--no-tensorboard"),
]
Capture = pytest.CaptureFixture[str]


def train(path: Path, *options: str, agent: str = "spsa", env: str = WALK) -> int:
    return main(["train", "--agent", agent, "--env", env, "--run", str(path), *SMALL, *options])


def refused(capsys: Capture, *arguments: str, code: int = 2) -> str:
    """The one message of a command that fails."""
    capsys.readouterr()
    try:
        status = main(list(arguments))
    except SystemExit as error:  # argparse's way
        status = int(error.code or 0)
    out, err = capsys.readouterr()
    assert status == code, err
    assert out == ""
    trace, mark, message = err.partition("zorl: error: ")
    assert trace == "" or trace.startswith("Traceback "), err  # an environment's own
    assert mark
    assert len(message.splitlines()) == 1, err
    return message


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class StopAfter:
    def __init__(self, count: int) -> None:
        self.left = count
        self.received = 2

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


# What is wrong on the command line

UNKNOWN = [
    (["--agent", "cmaes"], "unknown agent 'cmaes'; did you mean 'cma-es'"),
    (["--env", "MountinCar-v0"], "unknown environment 'MountinCar-v0'; .*'MountainCar-v0'"),
    (["--env", "CartPole-v7"], "unknown environment 'CartPole-v7'; did you mean 'CartPole-v1'"),
    (["--env", "no_such_module:X-v0"], "no module named 'no_such_module'"),
    (["--env", "toy_envs:toy/Wlak-v0"], "did you mean 'toy/Walk-v0'"),
    (["--wrapper", "momentm"], "unknown wrapper 'momentm'; did you mean 'momentum'"),
    (["--wrapper", "momentum(sped_weight=1)"], "'sped_weight'; .*'speed_weight'"),
    (["--wrapper", "toy_envs:Doubld"], "'Doubld'; did you mean 'Doubled'"),
    (["--wrapper", "momentum("], "expected wrapper or wrapper.option=value"),
    (["--wrapper", "momentum"], r"observations \[position, velocity\]"),
    (["--set", "lerning_rate=1"], "unknown option of spsa 'lerning_rate'; .*'learning_rate'"),
    (["--set", "learning_rate"], "expected NAME=VALUE, got 'learning_rate'"),
    (["--set", "learning_rate=fast"], "learning_rate must be like .*, got 'fast'"),
    (["--set", "bias=3"], "bias must be True or False, got 3"),
    (["--set", "max_episodes=x"], "max_episodes must be an integer ≥ 2, got 'x'"),
    (["--set", "backend=ray"], "unknown backend 'ray'"),
    (["--set", "seed=3"], "seed is no option of the agent; use --seed"),
    (["--set", "env=3"], "env is no option of the agent; use --env"),
    (["--gate", "sequentil"], "unknown gate 'sequentil'; did you mean 'sequential'"),
    (["--gate", "paired", "--gate-set", "episode=3"], "gate paired 'episode'; .*'episodes'"),
    (["--gate", "sequential", "--gate-set", "error_rate=2"], "error_rate must be in"),
    (["--normalize", "runing"], "unknown normalisation 'runing'; did you mean 'running'"),
    (["--activation", "tahn"], "unknown activation 'tahn'; did you mean 'tanh'"),
    (["--non-finite", "wurst"], "'wurst'; did you mean 'worst'"),
    (["--settings", "tund"], "unknown settings 'tund'; did you mean 'tuned'"),
    (["--select", "bst"], "unknown selection 'bst'; did you mean 'best'"),
    (["--hidden", "8,x"], "hidden sizes must be like 8, 64,64 or none, got '8,x'"),
    (["--hidden", "0"], "each hidden size must be an integer ≥ 1, got 0"),
    (["--env-set", "fautl=x"], "option of toy_envs:toy/Walk-v0 'fautl'; did you mean 'fault'"),
    (["--threshold", "nan"], "a threshold must be finite"),
    (["--threshold", "high"], "argument --threshold: invalid float value: 'high'"),
    (["--timesteps", "0"], "argument --timesteps: expected a whole number ≥ 1, got '0'"),
    (["--timesteps", "1.5"], "expected a whole number ≥ 1, got '1.5'"),
    (["--timesteps", "inf"], "expected a whole number ≥ 1, got 'inf'"),
    (["--timesteps", "nan"], "expected a whole number ≥ 1, got 'nan'"),
    (["--timesteps", "many"], "expected a whole number ≥ 1, got 'many'"),
    (["--held-out", "0"], "argument --held-out: expected a whole number"),
    (["--workers", "0"], "argument --workers: expected a whole number"),
    (["--max-episodes", "1"], "max_episodes must be an integer ≥ 2, got 1"),
    (["--seed", "-1"], "a seed must be ≥ 0, got -1"),
    (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
    (["--video-budget", "2"], "the video budget is a share"),
    (["--recorder", "tensorbord"], "unknown recorder 'tensorbord'; .*'tensorboard'"),
    (["--recorder", "tensorboard(pionts=3)"], "'pionts'; did you mean 'points'"),
    (["--agnet", "spsa"], "unknown option '--agnet'; did you mean '--agent'.*zorl train --help"),
    (["--wrappers=momentum"], "unknown option '--wrappers'; did you mean '--wrapper'"),
    (["more"], "unrecognized arguments: more"),
    (["--agent"], "argument --agent: expected one argument"),
    (["--env-set", "observation='dict'"], "observation space Dict.*flatten-observation"),
    (["--env-set", "action='tuple'"], "the action space Tuple.* is not supported"),
    (["--agent", "dqn", "--env-set", "action='box'"], "dqn"),
    (["--agent", "ppo", "--set", "n_step=1"], "'n_step'; did you mean 'n_steps'"),
]


@pytest.mark.parametrize(
    ("options", "words"), UNKNOWN, ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else ""
)
def test_a_bad_option_of_train_is_one_message_and_makes_no_folder(
    options: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    small = SMALL
    if "ppo" in options or "dqn" in options:
        small = ["--timesteps", "600", "--no-tensorboard"]
    if "--video-budget" in options:
        small = SMALL[:-1]
    path = tmp_path / "run"
    base = ["train", "--agent", "spsa", "--env", WALK, "--run", str(path), *small]
    message = refused(capsys, *base, *options)
    assert re.search(words, message), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", METHODS)
def test_no_option_of_any_agent_takes_nonsense(name: str) -> None:
    options = make_agent(name, "CartPole-v1", settings="default").config["options"]
    assert options
    for option in options:
        for nonsense in ("abc", [1], {}, float("nan"), float("inf"), b"x", -(10**9), object()):
            with pytest.raises(ConfigurationError):
                make_agent(name, "CartPole-v1", settings="default", **{option: nonsense})


@pytest.mark.parametrize("name", GATES)
def test_no_option_of_any_gate_takes_nonsense(name: str) -> None:
    options = make_agent("spsa", "CartPole-v1", gate=name).config["gate_options"]
    for option in options:
        for nonsense in ("abc", [1], {}, None, float("nan"), float("inf"), -1, True):
            with pytest.raises(ConfigurationError):
                make_agent("spsa", "CartPole-v1", gate=name, gate_options={option: nonsense})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'"),
        (["--verison"], "unknown option '--verison'; did you mean '--version'"),
        (["resume"], "the following arguments are required: RUN"),
        (["resume", "nowhere"], "nowhere: no such run folder"),
        (["evaluate", "nowhere"], "nowhere: no such file"),
        (["watch", "nowhere", "--out", "x.gif"], "nowhere: no such file"),
        (["evaluate", "x", "--episode", "0"], "expected a whole number"),
        (["compare", "--env", WALK, "--agents", "spsa", "--out", "x"], "no threshold.*--threshold"),
        (["compare", "--agents", "spsaa", "--out", "x"], "'spsaa'; did you mean 'spsa'"),
        (["compare", "--env", "CartPol-v1"], "did you mean 'CartPole-v1'"),
        (["list", "agents"], "unrecognized arguments: agents"),
    ],
    ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else "",
)
def test_other_commands_complain_in_one_line_too(
    arguments: list[str],
    words: str,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = 1 if words.startswith("nowhere") else 2
    message = refused(capsys, *arguments, code=code)
    assert re.search(words, message), message
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("mine")
    base = ["train", "--agent", "spsa", "--env", WALK, *SMALL, "--run"]
    message = refused(capsys, *base, str(tmp_path / "file" / "run"), code=1)
    assert "Not a directory" in message
    message = refused(capsys, *base, str(tmp_path / "file"), code=1)
    assert "exists already and is not an empty folder" in message
    assert (tmp_path / "file").read_text() == "mine"


# Run folders and files


@pytest.fixture(scope="module")
def finished(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("runs") / "finished"
    assert train(path, "--quiet") == 0
    return path


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A run that a signal stopped after its third generation."""
    path = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        patch.setattr(StopSignalsStub, "stop", StopAfter(3), raising=False)
        patch.setattr("zorl.common.stop_signals.StopSignals", StopSignalsStub)
        assert train(path, "--quiet") == 130
    return path


class StopSignalsStub:
    stop: StopAfter

    def __enter__(self) -> StopAfter:
        return self.stop

    def __exit__(self, *exc: object) -> None:
        pass


def test_an_existing_run_folder_is_not_touched(finished: Path, capsys: Capture) -> None:
    before = contents(finished)
    base = ["train", "--agent", "ars", "--env", WALK, "--run", str(finished)]
    message = refused(capsys, *base, code=1)
    assert f"{finished} exists already" in message
    assert f"zorl resume {finished}" in message
    assert contents(finished) == before


def test_a_finished_run_is_not_resumed(finished: Path, capsys: Capture) -> None:
    before = contents(finished)
    assert "is finished" in refused(capsys, "resume", str(finished), code=1)
    assert contents(finished) == before


def newer(data: bytes, path: Path) -> None:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["zorl.json"])
    header["version"] += 1
    parts["zorl.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def other_configuration(data: bytes, path: Path) -> None:
    make_agent("spsa", WALK, hidden=(7,), m=2).save(path)


def foreign_zip(data: bytes, path: Path) -> None:
    from stable_baselines3 import PPO

    PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").save(path)


DAMAGES: dict[str, tuple[Callable[[bytes, Path], Any], str]] = {
    "corrupt": (
        lambda data, path: path.write_bytes(data[:900] + b"\x00" * 40 + data[940:]),
        "corrupt, truncated or not a zorl file",
    ),
    "truncated": (
        lambda data, path: path.write_bytes(data[: len(data) // 2]),
        "corrupt, truncated or not a zorl file",
    ),
    "empty": (lambda data, path: path.write_bytes(b""), "corrupt, truncated or not a zorl file"),
    "newer": (newer, "written in format 2, this zorl reads up to 1; upgrade zorl"),
    "foreign": (foreign_zip, "a zip file, but not one of zorl's"),
    "pickle": (lambda data, path: path.write_bytes(b"\x80\x04K\x01."), "not a zorl file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_ours_is_refused_by_every_command(
    damage: str, interrupted: Path, tmp_path: Path, capsys: Capture
) -> None:
    break_it, words = DAMAGES[damage]
    checkpoint = interrupted / "checkpoint.zip"
    break_it(checkpoint.read_bytes(), checkpoint)
    before = contents(interrupted)
    gif = tmp_path / "x.gif"
    for command in (
        ["evaluate", str(checkpoint)],
        ["evaluate", str(interrupted), "--json"],
        ["watch", str(checkpoint), "--out", str(gif)],
        ["watch", str(interrupted), "--out", str(gif)],
        ["resume", str(interrupted)],
    ):
        message = refused(capsys, *command, code=1)
        assert str(checkpoint) in message
        assert words in message
    assert contents(interrupted) == before
    assert not gif.exists()


def test_a_checkpoint_of_another_configuration_is_refused(
    interrupted: Path, capsys: Capture
) -> None:
    other_configuration(b"", interrupted / "checkpoint.zip")
    before = contents(interrupted)
    message = refused(capsys, "resume", str(interrupted), code=1)
    assert "checkpoint.zip was written by another configuration" in message
    assert contents(interrupted) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not a readable JSON file"), ("[]", "expected a JSON object"), ("{}", "is missing")],
)
def test_a_broken_config_json_is_refused(
    text: str, words: str, interrupted: Path, capsys: Capture
) -> None:
    (interrupted / "config.json").write_text(text)
    assert words in refused(capsys, "resume", str(interrupted), code=1)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    for command in (["resume"], ["evaluate"], ["watch", "--out", "x.gif"]):
        message = refused(capsys, command[0], str(tmp_path), *command[1:], code=1)
        assert "is not a run folder: it has no config.json" in message
    (tmp_path / "config.json").write_text("{}")
    for command in (["evaluate"], ["watch", "--out", "x.gif"]):
        message = refused(capsys, command[0], str(tmp_path), *command[1:], code=1)
        assert "holds no saved policy yet" in message


def test_an_agent_s_file_with_impossible_contents_is_refused(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "agent.zip"
    make_agent("spsa", WALK).save(path)
    _, metadata, arrays = load_archive(path, "agent")
    for changes, words in (
        ({"scalars": None}, "agent"),
        ({"config": 3}, "configuration"),
        ({"config": {**metadata["config"], "env": 1}}, "not the configuration"),
        ({"config": {**metadata["config"], "task": {"env_id": "Gone-v0"}}}, "Gone-v0"),
        ({"config": {**metadata["config"], "hidden": "8"}}, "hidden"),
        ({"config": {**metadata["config"], "options": {"colour": 1}}}, "colour"),
    ):
        save_archive(path, "agent", {**metadata, **changes}, arrays)
        capsys.readouterr()
        assert main(["evaluate", str(path)]) in (1, 2)
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert words in err


def test_watch_writes_only_what_it_can(finished: Path, tmp_path: Path, capsys: Capture) -> None:
    message = refused(capsys, "watch", str(finished), "--out", str(tmp_path / "x.png"))
    assert "can write .gif or .mp4, not '.png'" in message
    assert list(tmp_path.iterdir()) == []


# Environments that fail

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
    message = refused(capsys, "train", "--env", WALK, "--env-set", "max_episode_steps=soon", code=1)
    assert "with {'max_episode_steps': 'soon'}: TypeError" in message
    assert list(tmp_path.iterdir()) == []


def test_non_finite_rewards_may_count_as_worst(tmp_path: Path, capsys: Capture) -> None:
    bad = Streams(0).episodes(2, 1)[0]
    options = ["--env-set", "fault=inf-reward", "--env-set", f"fault_seed={bad}"]
    assert train(tmp_path / "run", *options, "--non-finite", "worst", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "  4 returns were NaN or infinite: scored worst" in out


# What goes well


def test_train_prints_progress_and_a_summary(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run"
    assert (
        train(path, "--wrapper", "toy_envs:Doubled", "--gate", "paired", "--threshold", "-99") == 0
    )
    out, err = capsys.readouterr()
    result = read_json(path / "result.json")
    lines = err.splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert [part.split()[0] for part in line.split(" · ")[3:6]] == [
            "shaped",
            "native",
            "success",
        ]
        assert " kept " in line
        assert line.endswith(" left")
        assert "/s · " in line
    assert lines[-1].startswith("100% gen ")
    assert f"{result['env_steps']['training']:,} steps" in lines[-1]
    summary = out.splitlines()
    assert summary[0].startswith(f"spsa on {WALK} (shaped), seed 0, ")
    assert summary[0].endswith(": finished")
    estimate = result["held_out"]["native_return"]["estimate"]
    assert "held-out native return" in summary[1]
    assert "(3 fresh episodes, 95 % interval)" in summary[1]
    assert float(summary[1].split()[3]) == pytest.approx(estimate, abs=0.51)
    assert "held-out shaped return" in summary[2]
    assert "held-out success 100%" in summary[3]
    assert "threshold -99: first reached after 0 env steps" in summary[4]
    steps = result["env_steps"]
    assert f"trained {steps['training']:,} env steps" in out
    assert f"of these the gate took {result['counters']['gate_steps']:,} env steps" in out
    assert f"{steps['validation']:,} env steps of validation" in out
    assert f"{steps['held_out']:,} env steps of held-out" in out
    assert f"saved in {path}" in out
    assert {p.name for p in path.iterdir()} >= {
        *("agent.zip", "checkpoint.zip", "config.json", "generations.jsonl", "result.json"),
        "validation.csv",
    }


def test_a_recorder_is_added_by_name_or_module_also_to_a_resumed_run(
    interrupted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    assert train(path, "--quiet", "--recorder", "toy_recorders:Tally(every=2)") == 0
    lines = len((path / "generations.jsonl").read_text().splitlines())
    assert (path / "tally.txt").read_text() == str((lines + 1) // 2)
    options = ["--quiet", "--no-tensorboard", "--recorder", "toy_recorders:Tally"]
    assert main(["resume", str(interrupted), *options]) == 0
    assert (interrupted / "tally.txt").read_text() == str(lines - 3)


def test_quiet_prints_the_summary_alone(tmp_path: Path, capsys: Capture) -> None:
    assert train(tmp_path / "run", "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "finished" in out
    for word in ("shaped", "gate", "success", "threshold"):  # this task has none of these
        assert word not in out


def test_the_options_reach_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    options = [
        *("--seed", "7", "--hidden", "4x2", "--activation", "relu", "--no-bias", "--stochastic"),
        *("--normalize", "bounds", "--gate", "sequential", "--gate-set", "max_episodes=20"),
        *("--set", "radius=0.25", "--max-episodes", "6", "--settings", "default"),
        *("--threshold", "-3", "--env-set", "action=box", "--env-set", "at=4"),
        *("--wrapper", "toy_envs:Doubled", "--wrapper", "clip-reward(min_reward=-1.0)"),
        *("--validate-every", "1e2", "--select", "last", "--timesteps", "4e2", "--quiet"),
    ]
    assert train(path, *options) == 0
    config = read_json(path / "config.json")
    agent, plan = config["agent"], config["plan"]
    assert agent["hidden"] == [4, 2]
    assert (agent["activation"], agent["bias"], agent["stochastic"]) == ("relu", False, True)
    assert (agent["normalize"], agent["seed"]) == ("bounds", 7)
    assert (agent["gate"], agent["gate_options"]["max_episodes"]) == ("sequential", 20)
    assert (agent["episodes"], agent["max_episodes"]) == (1, 6)
    assert agent["options"]["radius"] == 0.25
    assert agent["options"]["m"] == 2
    assert agent["source"] == "zorl defaults"
    task = agent["task"]
    assert task["env_kwargs"] == {"action": "box", "at": 4}
    assert task["threshold"] == -3
    assert task["wrappers"] == [
        ["toy_envs:Doubled", {}],
        ["clip-reward", {"min_reward": -1.0}],
    ]
    assert plan == {
        "total_timesteps": 400,
        "validate_every": 100,
        "validate_episodes": 2,
        "held_out": 3,
        "select": "last",
        "stop_at": None,
    }


def test_evaluate_prints_the_held_out_estimate(
    finished: Path, tmp_path: Path, capsys: Capture
) -> None:
    agent = load_agent(finished / "agent.zip")
    own = agent.evaluate(held_out_seeds(7)).native_returns.ravel()
    for path in (finished, finished / "agent.zip"):
        assert main(["evaluate", str(path), "--episodes", "7", "--json"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        result = json.loads(out)
        assert result["native_returns"] == own.tolist()
        assert result["native_return"]["estimate"] == own.mean()
        assert result["episodes"] == 7
    assert main(["evaluate", str(finished), "--episodes", "7"]) == 0
    out = capsys.readouterr().out
    assert "held-out native return" in out
    assert "(7 fresh episodes, 95 % interval)" in out
    assert len(out.splitlines()) == 1  # neither shaped nor with an idea of success
    make_agent("spsa", "MountainCar-v0").save(tmp_path / "car.zip")
    assert main(["evaluate", str(tmp_path / "car.zip"), "--episodes", "2"]) == 0
    assert "held-out success 0% [0%, 66%]" in capsys.readouterr().out


def test_resume_finishes_an_interrupted_run(
    interrupted: Path, finished: Path, capsys: Capture
) -> None:
    out = capsys.readouterr().out
    assert ": interrupted" in out
    assert f"next: zorl resume {interrupted}" in out
    assert "held-out" not in out
    assert not (interrupted / "agent.zip").exists()
    evaluated = main(["evaluate", str(interrupted), "--episodes", "2"])  # the checkpoint
    assert evaluated == 0
    capsys.readouterr()
    assert main(["resume", str(interrupted), "--quiet", "--no-tensorboard"]) == 0
    out, err = capsys.readouterr()
    assert ": finished" in out
    assert err == ""
    assert (interrupted / "agent.zip").read_bytes() == (finished / "agent.zip").read_bytes()


def test_watch_writes_a_file(tmp_path: Path, capsys: Capture) -> None:
    path, gif = tmp_path / "agent.zip", tmp_path / "car.gif"
    agent = make_agent("spsa", zorl.make_task("CartPole-v1", (), {"max_episode_steps": 9}))
    agent.save(path)
    assert main(["watch", str(path), "--out", str(gif)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"written to {gif}" in out
    assert gif.read_bytes()[:6] == b"GIF89a"


def test_a_run_without_a_name_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--agent", "spsa", "--env", WALK, "--seed", "3", *SMALL, "--quiet"]) == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert path.name.startswith("toy_envs-toy-Walk-v0__spsa__3__")
    assert f"saved in runs/{path.name}" in capsys.readouterr().out


def test_list_names_everything(capsys: Capture) -> None:
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    named = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert named == [*list_agents(), *GATES, *WRAPPERS]
    titles = [line for line in out.splitlines() if not line.startswith(" ")]
    assert titles == ["agents:", "gates:", "wrappers:"]
    assert all(len(line.split()) > 2 for line in out.splitlines() if line.startswith("  "))


def test_version_and_help(capsys: Capture) -> None:
    for arguments in (["--version"], ["--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"zorl {zorl.__version__}\n")
    assert err == ""
    assert all(command in out for command in COMMANDS)
    assert main([]) == 2
    assert "usage: zorl" in capsys.readouterr().out


def test_an_interrupt_outside_of_training_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupt() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("zorl.agents.registry.list_agents", interrupt)
    assert main(["list"]) == 130
    assert capsys.readouterr() == ("", "zorl: interrupted\n")


def test_the_module_is_a_program_and_its_exit_status_is_the_command_s(tmp_path: Path) -> None:
    """Once for real, from elsewhere: an environment that dies in a worker."""
    path = tmp_path / "run"
    program = [sys.executable, "-m", "zorl.cli", "train", "--agent", "spsa", "--env", WALK]
    program += ["--run", str(path)]
    done = subprocess.run(
        [*program, *SMALL, "--env-set", "fault=kill", "--workers", "2", "--quiet"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests/helpers'}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    *notices, message = done.stderr.splitlines()
    assert all("toy/Walk-v0 died (signal 9) and is replaced" in notice for notice in notices)
    assert message.startswith("zorl: error: the episode of toy_envs:toy/Walk-v0 with seed ")
    assert "ended its worker 3 times, alone in it (signal 9)" in message
    assert (path / "checkpoint.zip").is_file()
