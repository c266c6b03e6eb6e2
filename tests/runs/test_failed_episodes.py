"""Episodes that failed, saved and played again: the same failure at the same step."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_envs import WALK

from zorl.agents.registry import make_agent
from zorl.cli import main
from zorl.common.errors import ConfigurationError, EnvironmentFailure, FileFormatError
from zorl.common.storage import load_archive, save_archive
from zorl.envs import Task, make_task
from zorl.policies.mlp import LinearPolicy, MlpPolicy
from zorl.policies.normalization import Moments, Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch
from zorl.rollout.failures import FailedEpisode
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.runs.failed_episodes import MOST_FILES, load_episode, replay, save_episode
from zorl.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
BOUNDS = np.full(3, np.inf)
SEEN = Normalizer.create("running", -BOUNDS, BOUNDS).merge(
    Moments(10, np.array([0.1, 0.2, -0.3]), np.array([4.0, 5.0, 60.0]))
)


def task(**kwargs: Any) -> Task:
    return make_task(WALK, ["toy_envs:Doubled"], env_kwargs=kwargs)


def policy(stochastic: bool = False, **kwargs: Any) -> MlpPolicy:
    env = task().make()
    decoder = ActionDecoder.for_space(env.action_space, stochastic)
    env.close()
    return MlpPolicy(3, decoder, **kwargs)


def episode(network: MlpPolicy, seed: int = 5, crashed: bool = False) -> FailedEpisode:
    theta = np.random.default_rng(3).normal(size=network.dim).astype(np.float32)
    return FailedEpisode(seed, theta, SEEN, "it broke", "Traceback…", crashed)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_a_saved_episode_is_played_to_the_same_bits(
    stochastic: bool, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    network = policy(stochastic, hidden=hidden, activation="relu", bias=False)
    uniforms = 3 if stochastic else 0
    failed = episode(network)
    path = save_episode(tmp_path, task(), network, failed, uniforms)
    saved = load_episode(path)
    assert (saved.task, saved.policy, saved.uniforms) == (task(), network, uniforms)
    for name, value in vars(failed).items():
        if name not in ("theta", "normalizer"):
            assert getattr(saved.episode, name) == value
    assert saved.episode.theta.tobytes() == failed.theta.tobytes()
    assert [a.tolist() for a in saved.episode.normalizer.affine()] == [
        a.tolist() for a in SEEN.affine()
    ]

    batch = EpisodeBatch(failed.theta[None], (5,), SEEN)
    out = SerialBackend(GymnasiumRunner(task(), network, 16, uniforms=uniforms)).run(batch)
    steps: list[int] = []
    result = replay(path, lambda moment: steps.append(moment.step))
    assert result.error is None
    assert result.episode_return == out.returns[0]
    assert steps == list(range(out.lengths[0] + 1))


@pytest.mark.parametrize("named", [True, False])
def test_an_episode_of_a_network_of_the_users_own(named: bool, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from toy_networks import Frozen, frozen

    from zorl.policies.source import make_policy

    source: Any = "toy_networks:frozen" if named else lambda *sizes: frozen(*sizes)
    network: Any = make_policy(3, policy().decoder, source)
    failed = episode(network)
    batch = EpisodeBatch(failed.theta[None], (5,), SEEN)
    out = SerialBackend(GymnasiumRunner(task(), network, 16)).run(batch)
    path = save_episode(tmp_path, task(), network, failed)
    again = None if named else frozen
    Frozen.scale = 5.0  # the frozen layer is another one now; the file has that of then
    try:
        assert replay(path, policy=again).episode_return == out.returns[0]
        with pytest.raises(ConfigurationError, match=r"need not be given|has no name to import"):
            load_episode(path, frozen if named else None)
    finally:
        Frozen.scale = 1.0


def test_a_failure_comes_again_with_all_that_led_to_it(tmp_path: Path) -> None:
    broken = task(fault="raise-step", at=4)
    network = policy()
    path = save_episode(tmp_path, broken, network, episode(network))
    before: list[Any] = []
    result = replay(path, lambda moment: before.append(moment.observation))
    assert "RuntimeError in step() at step 4 of the episode with seed 5" in str(result.error)
    assert "_go_wrong" in result.trace
    assert result.trace.endswith("RuntimeError: the step is broken\n")
    assert result.last.step == 4
    # What it acted on: the fourth observation of an environment that is not broken, stepped alike.
    env = make_task(WALK).make()
    seen, _ = env.reset(seed=5)
    rng = np.random.default_rng(3).normal(size=network.dim).astype(np.float32)
    for _ in range(3):
        seen, *_ = env.step(network.act(rng[None], SEEN(seen)[None])[0])
    assert result.last.observation.tolist() == seen.tolist()
    assert result.last.action == network.act(rng[None], SEEN(seen)[None])[0]
    assert len(before) == 5  # the reset and four steps


def test_what_a_run_saves_is_what_the_command_plays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ["train", "--agent", "spsa", "--env", WALK, "--run", str(run), "--quiet"]
    options += ["--timesteps", "300", "--hidden", "3", "--no-tensorboard", "--video-budget", "0"]
    options += ["--validate-episodes", "1", "--held-out", "2", "--stochastic"]
    options += ["--env-set", "fault=raise-step", "--env-set", "at=3"]
    assert main(options) == 1
    err = capsys.readouterr().err
    (path,) = RunFolder(run).failures.iterdir()
    trace, _, message = err.partition("zorl: error: ")
    assert trace.startswith("Traceback") and "RuntimeError: the step is broken" in trace
    assert message.endswith(f"see it again: zorl replay {path}\n")

    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "failed at step 3: observation [" in out
    assert trace.splitlines()[-3:] == out.splitlines()[-4:-1]
    assert "failed again: " in out and "with seed" in out

    # Once the environment is mended, it is not a failure any more.
    _, metadata, arrays = load_archive(path)
    metadata["task"]["env_kwargs"] = {}
    save_archive(path, "failed episode", metadata, arrays)
    assert main(["replay", str(path), "--steps"]) == 0
    out = capsys.readouterr().out
    assert "step 4: observation" in out and "it came to its end after" in out


def test_an_episode_that_ends_its_process_shows_the_step_before(tmp_path: Path) -> None:
    network = policy()
    killing = task(fault="exit-anywhere", at=3)
    path = save_episode(tmp_path, killing, network, episode(network, crashed=True))
    done = subprocess.run(
        [sys.executable, "-m", "zorl.cli", "replay", path],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}"},
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{WALK}, seed 5; then: it broke"
    assert lines[1] == "in reset"
    assert lines[-1].startswith("step 3: observation [")


def test_an_episode_scored_worst_is_saved_too(tmp_path: Path) -> None:
    broken = make_task(WALK, env_kwargs={"fault": "raise-step", "at": 20})
    agent = make_agent("spsa", broken, hidden=(3,), on_failure="worst", m=4, episodes=3)
    agent.failures = tmp_path / "failures"
    try:
        agent.learn(500)
    finally:
        agent.close()
    assert agent.counters.non_finite > 0  # type: ignore[attr-defined]
    files = sorted((tmp_path / "failures").iterdir())
    assert files and len(files) <= MOST_FILES
    assert replay(files[0]).last.step == 20


def test_what_cannot_be_saved_or_loaded_is_said(tmp_path: Path) -> None:
    network = policy()

    class Own(MlpPolicy):
        pass

    own = Own(3, network.decoder)
    with pytest.raises(ConfigurationError, match="a Own cannot be rebuilt from a file"):
        save_episode(tmp_path, task(), own, episode(network))
    linear = LinearPolicy(3, network.decoder)
    loaded = load_episode(save_episode(tmp_path, task(), linear, episode(linear))).policy
    assert isinstance(loaded, MlpPolicy)
    assert loaded.hidden == ()

    for seed in range(MOST_FILES - 1):
        path = save_episode(tmp_path, task(), network, episode(network, seed))
    with pytest.raises(ConfigurationError, match=f"holds {MOST_FILES} already"):
        save_episode(tmp_path, task(), network, episode(network, 99))
    assert save_episode(tmp_path, task(), network, episode(network, 1)).exists()  # there already

    _, metadata, arrays = load_archive(path)
    for lacking in ("policy", "task", "normalizer", "seed"):
        short = {name: value for name, value in metadata.items() if name != lacking}
        save_archive(path, "failed episode", short, arrays)
        with pytest.raises(FileFormatError, match=f"not a whole episode.*{lacking}"):
            load_episode(path)
    save_archive(path, "agent", metadata, arrays)
    with pytest.raises(FileFormatError, match="holds a 'agent', expected a 'failed episode'"):
        replay(path)


def test_a_generation_without_an_episode_is_the_end() -> None:
    broken = make_task(WALK, env_kwargs={"fault": "raise-reset"})
    agent = make_agent("spsa", broken, hidden=(3,), on_failure="worst")
    try:
        with pytest.raises(EnvironmentFailure, match="not one episode of generation 0"):
            agent.learn(100)
    finally:
        agent.close()
    assert dataclasses.asdict(agent.counters)["search_steps"] == 0  # type: ignore[attr-defined]
