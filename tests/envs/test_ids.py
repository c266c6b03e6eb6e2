from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError
from zorl.envs import find_spec, make_task

MODULE = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Bare(CartPoleEnv):
    def __init__(self):  # no render_mode
        super().__init__()

gym.register(id="zorltest/Bare-v3", entry_point=Bare, reward_threshold=7, max_episode_steps=9)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "zorl_test_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "zorl_test_module"
    sys.modules.pop("zorl_test_module", None)
    gym.registry.pop("zorltest/Bare-v3", None)


def test_an_id_without_version_is_pinned_to_the_newest() -> None:
    assert make_task("CartPole").env_id == "CartPole-v1"
    assert make_task("phys2d/CartPole").env_id == "phys2d/CartPole-v1"


def test_an_older_version_that_works_makes_no_noise() -> None:
    env = make_task("CartPole-v0").make()  # warnings are errors here
    assert env.spec.id == "CartPole-v0"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("MountainCar-v3", "'MountainCar-v3'; did you mean 'MountainCar-v0'.*newest version"),
        ("LunarLander-v2", "'LunarLander-v2'; did you mean 'LunarLander-v3'.*newest version"),
        ("Hopper-v1", "did you mean 'Hopper-v5'"),
        ("MountanCar-v0", "did you mean 'MountainCar-v0'.*'module:MountanCar-v0'"),
        ("cartpole", "did you mean 'CartPole-v1'"),
        ("phys2/CartPole-v1", "namespace of 'phys2/CartPole-v1': 'phys2'; did you mean 'phys2d'"),
        ("ALE/Pong-v5", "'module:ALE/Pong-v5'"),
        ("not an id!", "unknown environment 'not an id!'; known: Acrobot-v1"),
        ("math:CartPole-v9", "did you mean 'CartPole-v1'"),
        ("math:Zzzzz-v0", "'math' did not register it"),
    ],
)
def test_unknown_ids_suggest_the_nearest(env_id: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        find_spec(env_id)
    assert "\x1b" not in str(caught.value)  # Gymnasium colours its own messages


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("zorl_no_such:Bare-v3", "no module named 'zorl_no_such'; is it installed"),
        ("", "unknown environment ''"),
        (None, "an environment id is text"),
    ],
)
def test_ids_that_cannot_be_looked_up(env_id: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_task(env_id)


def test_a_module_that_fails_to_import_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zorl_broken.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="'zorl_broken' failed with RuntimeError: no lic"):
        make_task("zorl_broken:X-v0")


def test_ids_of_a_module(module: Any) -> None:
    task = make_task(f"{module}:zorltest/Bare")
    assert task.env_id == f"{module}:zorltest/Bare-v3"
    assert (task.success, task.threshold) == ("threshold", 7.0)
    assert task.make().spec.max_episode_steps == 9  # type: ignore[union-attr]  # and knows no render_mode


def test_unknown_environment_options_suggest_the_nearest() -> None:
    task = make_task("CartPole-v1", env_kwargs={"sutton_barto_rewards": True})
    with pytest.raises(UnknownNameError, match="did you mean 'sutton_barto_reward'"):
        task.make()
    task = make_task("CartPole-v1", env_kwargs={"max_steps": 5})
    with pytest.raises(UnknownNameError, match="did you mean 'max_episode_steps'"):
        task.make()


def test_a_constructor_that_raises_is_an_environment_failure() -> None:
    task = make_task("FrozenLake-v1", env_kwargs={"map_name": "9x9"})
    with pytest.raises(EnvironmentFailure, match=r"FrozenLake-v1 with .*map_name.*KeyError: '9x9'"):
        task.make()


def hide(monkeypatch: pytest.MonkeyPatch, package: Any, family: Any) -> None:
    """Make `import package` fail, and forget the environments that were imported with it."""
    for name in list(sys.modules):
        if name.startswith(f"gymnasium.envs.{family}"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("env_id", "package", "family", "extra"),
    [
        ("LunarLander-v3", "Box2D", "box2d", "gymnasium[box2d]"),
        ("HalfCheetah-v5", "mujoco", "mujoco", "zorl[mujoco]"),
        ("phys2d/CartPole-v1", "jax", "phys2d", "gymnasium[jax]"),
    ],
)
def test_a_missing_package_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, env_id: str, package: str, family: str, extra: str
) -> None:
    task = make_task(env_id)
    hide(monkeypatch, package, family)
    with pytest.raises(ConfigurationError) as caught:
        task.make()
    assert env_id in str(caught.value)
    assert str(caught.value).count(f'pip install "{extra}"') == 1


def test_an_old_version_that_fails_names_the_newest() -> None:
    with pytest.raises(ConfigurationError, match=r"the newest version is 'Hopper-v5'$"):
        make_task("Hopper-v2").make()


def test_a_function_of_a_module_may_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zorl_test_callers.py").write_text(
        "import gymnasium\n"
        "count = 0\n"
        "def register_envs():\n"
        "    global count\n"
        "    count += 1\n"
        "    gymnasium.register('zorltest/Called-v0', 'gymnasium.envs.classic_control:CartPoleEnv',"
        " max_episode_steps=9)\n"
        "def broken():\n"
        "    raise OSError('no such file')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "zorl_test_callers.register_envs():zorltest/Called-v0"
    for _ in range(3):
        assert find_spec(name).id == "zorltest/Called-v0"
    import zorl_test_callers  # type: ignore[import-not-found]

    assert zorl_test_callers.count == 1
    gym.registry.pop("zorltest/Called-v0")
    for wrong, message in (
        ("zorl_test_callers:zorltest/Called-v0", "register_envs\\(\\):zorltest/Called-v0'"),
        ("zorl_test_callers.broken():A-v0", "broken\\(\\) raised OSError: no such file"),
        ("zorl_test_callers.brokn():A-v0", "has no function 'brokn'"),
        ("broken():A-v0", "expected module.function"),
        ("zorl_test_absent.f():A-v0", "no module named 'zorl_test_absent'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            find_spec(wrong)
