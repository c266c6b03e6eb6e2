"""A whole search of a MuJoCo task is the same, compiled or stepped."""

from __future__ import annotations

from typing import Any

import pytest

import zorl
from zorl.agents.search.agent import SearchAgent
from zorl.common.storage import flatten
from zorl.envs import make_task
from zorl.search.records import Generation

pytest.importorskip("mujoco")

# Tasks whose kernels other tests of this folder compile.
SEARCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("Hopper-v5", "openai-es", {"m": 3, "hidden": (), "alive_bonus_offset": -0.5}),
    (
        "Reacher-v5",
        "cma-es",
        {"popsize": 5, "sigma0": 0.1, "hidden": (4,), "alive_bonus_offset": -0.25},
    ),
]


def searched(env_id: str, agent: str, options: dict[str, Any], **where: Any) -> list[Any]:
    """All that 20 generations leave: the returns of each, and every bit of the last state."""
    made = zorl.make_agent(
        agent,
        make_task(env_id, env_kwargs={"max_episode_steps": 30}),
        seed=5,
        episodes=2,
        gate="paired",
        gate_options={"episodes": 2},
        **options,
        **where,
    )
    seen: list[Any] = []

    def note(generation: Generation) -> bool:
        evaluation = generation.evaluation
        seen.append((evaluation.returns.tobytes(), generation.decision.accepted))
        return generation.index < 19

    assert isinstance(made, SearchAgent)
    try:
        made.learn(10**9, callback=note)
        scalars, arrays = flatten(made.state, "state")
        return [*seen, scalars, {name: array.tobytes() for name, array in arrays.items()}]
    finally:
        made.close()


@pytest.mark.parametrize(("env_id", "agent", "options"), SEARCHES)
def test_twenty_generations_are_equal_to_the_bit_on_any_number_of_threads(
    env_id: str, agent: str, options: dict[str, Any]
) -> None:
    truth = searched(env_id, agent, options, backend="gymnasium")
    assert len(truth) == 22
    assert {accepted for _, accepted in truth[:20]} == {True, False}
    for threads in (1, 2, 3):
        mine = searched(env_id, agent, options, backend="compiled", workers=threads)
        assert mine == truth
