"""What a file names is imported by its trust alone."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zorl.agents.registry import load_agent, make_agent
from zorl.cli.main import main
from zorl.common.errors import ConfigurationError
from zorl.common.references import import_for, named_by
from zorl.common.storage import load_archive, save_archive
from zorl.envs import make_task


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that was not imported yet, and says so when it is."""
    name = "zorl_test_module_of_a_stranger"
    (tmp_path / f"{name}.py").write_text(
        "import gymnasium\n"
        "from toy_envs import Doubled\n"
        "if 'Stranger-v0' not in gymnasium.registry:\n"
        "    place = 'gymnasium.envs.classic_control:CartPoleEnv'\n"
        "    gymnasium.register('Stranger-v0', entry_point=place, max_episode_steps=9)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield name
    sys.modules.pop(name, None)


def test_outside_of_a_file_nothing_is_asked(module: str, caplog: pytest.LogCaptureFixture) -> None:
    import_for(module, "it")
    assert module in sys.modules
    assert caplog.messages == []


@pytest.mark.parametrize("trust", [None, True, False])
def test_a_module_is_said_refused_or_neither(
    trust: bool | None, module: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "zorl"), named_by("a.zip", trust):
        import_for("gymnasium.wrappers", "a wrapper")
        if trust is False:
            with pytest.raises(ConfigurationError, match=f"it: a.zip names the module '{module}'"):
                import_for(module, "it")
            with pytest.raises(ConfigurationError, match=r"'subprocess'.*--trust"):
                import_for("subprocess", "it")
        else:
            import_for(module, "it")
            import_for(module, "it")  # known by now
            import_for("subprocess", "it")
    assert (module in sys.modules) == (trust is not False)
    said = [message.split(" is imported")[0] for message in caplog.messages]
    expected = [f"a.zip names the module '{name}', which" for name in (module, "subprocess")]
    assert said == (expected if trust is None else [])


@pytest.mark.parametrize("part", ["environment", "wrapper"])
def test_a_saved_agent_is_loaded_by_its_trust(
    part: str, module: str, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "a.zip"
    task = make_task("CartPole-v1", ["toy_envs:Doubled"] * (part == "wrapper"))
    make_agent("spsa", task, hidden=(3,), backend="gymnasium").save(path)
    _, metadata, arrays = load_archive(path)
    metadata = json.loads(json.dumps(metadata).replace("toy_envs:", f"{module}:"))
    if part == "environment":
        metadata["config"]["task"]["env_id"] = f"{module}:Stranger-v0"
    save_archive(path, "agent", metadata, arrays)
    with pytest.raises(ConfigurationError, match=f"{path} names the module '{module}'"):
        load_agent(path, trust=False)
    assert module not in sys.modules
    assert main(["evaluate", str(path), "--episodes", "2", "--no-trust"]) == 2
    assert module not in sys.modules
    assert "--trust" in capsys.readouterr().err
    with caplog.at_level(logging.WARNING, "zorl"):
        assert main(["evaluate", str(path), "--episodes", "2", "--trust"]) == 0
        assert caplog.messages == []
        del sys.modules[module]
        load_agent(path).close()
    (message,) = caplog.messages
    assert f"{path} names the module '{module}', which is imported now" in message
