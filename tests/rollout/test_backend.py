"""Backends by name: each is registered once, describes itself, and another one can be added."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zorl.agents.registry import make_agent
from zorl.common.errors import ConfigurationError
from zorl.rollout.backend import BACKENDS, Backend, BackendSetup, Resources, register_backend
from zorl.rollout.gymnasium_backend import gymnasium_backend


@pytest.fixture
def another() -> Iterator[list[BackendSetup]]:
    """A backend that is registered as "counted", and what it was made for."""
    made: list[BackendSetup] = []

    @register_backend("counted")
    def counted(setup: BackendSetup) -> Backend:
        """The environment itself; counts."""
        made.append(setup)
        return gymnasium_backend(setup)

    yield made
    del BACKENDS._things["counted"], BACKENDS._defaults["counted"]


def test_every_backend_says_in_a_line_what_plays() -> None:
    names = {"auto", "gymnasium", "compiled", "compiled-fast", "vector", "envpool"}
    assert set(BACKENDS) == names
    for name, line in BACKENDS.summaries().items():
        assert len(line) > 20, name


def test_a_registered_backend_plays_a_search(another: list[BackendSetup]) -> None:
    states = []
    for name in ("counted", "gymnasium"):
        agent = make_agent("spsa", "CartPole-v1", "default", backend=name, seed=1)
        agent.learn(300)
        states.append(agent.evaluate((1, 2)).returns.tolist())
        assert agent.config["backend"] == name
        agent.close()
    assert states[0] == states[1]
    assert [setup.task.env_id for setup in another] == ["CartPole-v1"]


def test_resources_are_positive() -> None:
    with pytest.raises(ConfigurationError, match="workers must be"):
        Resources(workers=0)
    with pytest.raises(ConfigurationError, match="lanes must be"):
        Resources(lanes=0)


def test_ray_plays_environments_alone() -> None:
    with pytest.raises(ConfigurationError, match="Ray plays Gymnasium's environments"):
        make_agent("spsa", "CartPole-v1", ray="auto", backend="compiled")


def test_vector_environments_cannot_be_timed_out() -> None:
    with pytest.raises(ConfigurationError, match="leave out the timeout"):
        make_agent("spsa", "CartPole-v1", timeout=5.0, backend="vector")
