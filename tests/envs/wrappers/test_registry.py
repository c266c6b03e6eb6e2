import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import Options
from zorl.envs import WRAPPERS, MomentumReward, find_wrapper, make_task, parse_wrapper

# One working use of every listed wrapper: (environment, options).
USES = {
    "clip-reward": ("Pendulum-v1", {"min_reward": -0.5, "max_reward": 0.5}),
    "flatten-observation": ("FrozenLake-v1", {}),
    "frame-stack": ("CartPole-v1", {"stack_size": 3, "padding_type": "zero"}),
    "momentum": ("MountainCar-v0", {"speed_weight": 10, "step_cost": 0.5}),
    "time-aware-observation": ("CartPole-v1", {"normalize_time": True}),
}


def episode(env, steps=8):
    observation, _ = env.reset(seed=7)
    env.action_space.seed(7)
    out = [np.asarray(observation)]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        out += [np.asarray(observation), np.asarray(reward)]
        if terminated or truncated:
            break
    return out


def same(first, second):
    pairs = list(zip(first, second, strict=True))
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_every_listed_wrapper_changes_something_and_comes_back_from_json(name):
    env_id, options = USES[name]
    task = make_task(env_id, [(name, options)])
    env = task.make()
    assert isinstance(env, WRAPPERS[name])
    rows = episode(env)
    assert same(rows, episode(gym.make(EnvSpec.from_json(env.spec.to_json()))))
    assert same(rows, episode(type(task).from_json(task.to_json()).make()))
    plain = episode(gym.make(env_id))
    assert [row.shape for row in rows] != [row.shape for row in plain] or not same(rows, plain)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("momentum", "momentum", {}),
        ("momentum()", "momentum", {}),
        (" momentum( a = 10 , b=-1.5 ) ", "momentum", {"a": 10, "b": -1.5}),
        ("frame-stack(padding_type='zero')", "frame-stack", {"padding_type": "zero"}),
        ("pkg.mod:Class(flag=True)", "pkg.mod:Class", {"flag": True}),
    ],
)
def test_parse(text, name, options):
    assert parse_wrapper(text) == (name, options)


@pytest.mark.parametrize(
    "text",
    ["", "momentum(", "momentum)", "momentum(1)", "momentum(a=1)(b=2)", "momentum(a=1) b", "a b"],
)
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ConfigurationError, match=r"expected name or name\(option=value, …\)"):
        parse_wrapper(text)


@pytest.mark.parametrize("text", ["m(a=1, a=2)", "m(**{'a': 1})"])
def test_options_are_given_once_and_by_name(text):
    with pytest.raises(ConfigurationError, match="each option once, by name"):
        parse_wrapper(text)


@pytest.mark.parametrize("value", ["print(1)", "a", "[1, 2]", "None", "1 + 2j", "b'x'", "x.y"])
def test_values_are_literals_and_nothing_is_evaluated(value, capsys):
    with pytest.raises(ConfigurationError, match="must be a number, quoted text, True or False"):
        parse_wrapper(f"momentum(speed_weight={value})")
    assert capsys.readouterr().out == ""


def test_infinite_values_are_refused():
    with pytest.raises(ConfigurationError, match="'speed_weight' must be finite"):
        parse_wrapper("momentum(speed_weight=1e999)")


def test_unknown_wrapper_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="'momentun'; did you mean 'momentum'"):
        make_task("MountainCar-v0", ["momentun"])


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="'speed_wait'; did you mean 'speed_weight'"):
        make_task("MountainCar-v0", ["momentum(speed_wait=3)"])
    with pytest.raises(ConfigurationError, match="'flatten-observation' takes no options, got 'x'"):
        make_task("MountainCar-v0", ["flatten-observation(x=3)"])


def test_missing_option_is_named():
    with pytest.raises(ConfigurationError, match="'frame-stack' needs the option 'stack_size'"):
        make_task("CartPole-v1", ["frame-stack"])


def test_any_importable_wrapper_can_be_named():
    name = "zorl.envs.wrappers.momentum_reward:MomentumReward"
    assert find_wrapper(name) is MomentumReward
    env = make_task("MountainCar-v0", [f"{name}(step_cost=0)"]).make()
    assert isinstance(env, MomentumReward)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Class", "no module named 'no_such_module'; is it installed"),
        ("gymnasium.wrappers:ClipRewards", "'ClipRewards'; did you mean 'ClipReward'"),
        ("math:Class", "'math' has no 'Class'"),
        ("math:sin", "is not a gymnasium.Wrapper class"),
    ],
)
def test_importable_wrappers_that_are_not_there(name, message):
    with pytest.raises(ConfigurationError, match=message):
        find_wrapper(name)


def test_a_module_that_raises_is_named(tmp_path, monkeypatch):
    (tmp_path / "raising_wrappers.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="'raising_wrappers' failed with ZeroDivision"):
        find_wrapper("raising_wrappers:Class")


def test_a_wrapper_that_does_not_fit_says_on_what():
    task = make_task(
        "CartPole-v1", ["gymnasium.wrappers:RescaleAction(min_action=-1, max_action=1)"]
    )
    with pytest.raises(ConfigurationError, match=r"RescaleAction' cannot be put on <CartPoleEnv"):
        task.make()
    with pytest.raises(ConfigurationError, match="MountainCar-v0"):
        make_task("CartPole-v1", ["momentum"]).make()


def test_the_environment_is_closed_when_a_wrapper_does_not_fit(monkeypatch):
    closed = []
    monkeypatch.setattr(
        "gymnasium.envs.classic_control.CartPoleEnv.close", lambda env: closed.append(env)
    )
    with pytest.raises(ConfigurationError):
        make_task("CartPole-v1", ["momentum"]).make()
    assert len(closed) == 1


def test_options_are_values():
    first = Options({"a": [1, {"b": 2}], "c": np.float32(0.5)})
    second = Options({"c": 0.5, "a": (1, {"b": 2})})
    assert first == second
    assert hash(first) == hash(second)
    assert first.thaw() == {"a": [1, {"b": 2}], "c": 0.5}
    first.thaw()["a"].append(3)
    assert first == second


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), np.zeros(2), {"a": {1: 2}}])
def test_options_hold_only_what_json_can(value):
    with pytest.raises(ConfigurationError, match="option"):
        Options({"x": value})
