"""The walk of docs/design.md from the search to `env.step` is the one that the code takes."""

from __future__ import annotations

import re
import sys
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from toy_batches import RUNNING, runner

from zorl.common.streams import Streams
from zorl.optimizers.registry import METHODS
from zorl.policies.mlp import MlpPolicy
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.serial import SerialBackend
from zorl.search.loop import Search

PAGE = Path(__file__).parents[2] / "docs/design.md"


def walk() -> list[str]:
    """The functions that the page's list names, one for each number."""
    text = PAGE.read_text().split("<!-- step -->")[1].split("\n\n")[0]
    return [
        re.findall(r"`([\w.]+)(?:\(action\))?`", item)[0]
        for item in re.split(r"^\d\. ", text, flags=re.M)[1:]
    ]


def test_the_functions_are_called_in_the_order_of_the_page() -> None:
    playing = runner(lanes=2)
    policy = playing.policy
    assert isinstance(policy, MlpPolicy)
    search = Search(METHODS["spsa"](), RolloutEvaluator(SerialBackend(playing)), Streams(0))
    state = search.init(policy.init(Streams(0).init()), RUNNING)
    called: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and "self" in frame.f_locals:
            called.append(f"{type(frame.f_locals['self']).__name__}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        next(islice(search.run(state), 1))
    finally:
        sys.setprofile(None)
    names = ["Walk.step" if name == "env.step" else name for name in walk()]
    assert len(names) == 9
    position = 0
    for name in names:
        assert name in called[position:], f"{name} is not called after {called[position - 1]}"
        position = called.index(name, position) + 1
