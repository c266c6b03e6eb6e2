"""The recorders of `zorl train`: the standard ones, and those that were asked for."""

from __future__ import annotations

from collections.abc import Iterable

from zorl.common.options import parse_call
from zorl.recorders.base import Recorder
from zorl.recorders.registry import make_recorder


def standard_recorders(
    quiet: bool = False,
    tensorboard: bool = True,
    video_budget: float = 0.05,
    more: Iterable[str] = (),
) -> list[Recorder]:
    """Figures as JSON lines and in TensorBoard, rollouts as animations, progress on the console.

    They write into the run's folder, which is a TensorBoard log directory too.

    Args:
        quiet: no progress display.
        tensorboard: write an event file.
        video_budget: share of the run's time for animated rollouts; 0 for none.
        more: further recorders, as `make_recorder` reads them; one of a standard recorder's name
            takes its place.
    """
    wanted = {"jsonl": "jsonl"}
    if not quiet:
        wanted["console"] = "console"
    if tensorboard:
        wanted["tensorboard"] = "tensorboard"
        if video_budget != 0:
            wanted["video"] = f"video(budget={video_budget})"
    others = []
    for text in more:
        name, _ = parse_call(text, "recorder")
        if name in wanted:
            wanted[name] = text
        else:
            others.append(text)
    return [make_recorder(text) for text in (*wanted.values(), *others)]
