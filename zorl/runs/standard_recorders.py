"""The recorders of a run folder: what `zorl train` uses unless told otherwise."""

from __future__ import annotations

from zorl.recorders.base import Recorder
from zorl.recorders.console import ConsoleRecorder
from zorl.recorders.jsonl import JsonlRecorder
from zorl.runs.folder import RunFolder


def standard_recorders(
    folder: RunFolder, quiet: bool = False, tensorboard: bool = True, video_budget: float = 0.05
) -> list[Recorder]:
    """Figures as JSON lines and in TensorBoard, rollouts as animations, progress on the console.

    Args:
        folder: the run folder; it is the TensorBoard log too.
        quiet: no progress display.
        tensorboard: write an event file.
        video_budget: share of the run's time for animated rollouts; 0 for none.
    """
    recorders: list[Recorder] = [JsonlRecorder(folder.generations)]
    if not quiet:
        recorders.append(ConsoleRecorder())
    if tensorboard:
        # TensorBoard's modules take a while to import; runs without it do not pay for them.
        from zorl.recorders.event_log import EventLog
        from zorl.recorders.tensorboard import TensorBoardRecorder
        from zorl.recorders.video import VideoRecorder

        log = EventLog(folder.path)
        recorders.append(TensorBoardRecorder(log))
        if video_budget > 0:
            recorders.append(VideoRecorder(log, video_budget))
    return recorders
