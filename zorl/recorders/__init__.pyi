from .base import (
    BaseRecorder as BaseRecorder,
    PlainRecord as PlainRecord,
    Record as Record,
    Recorder as Recorder,
    Recorders as Recorders,
    Run as Run,
)
from .console import ConsoleRecorder as ConsoleRecorder
from .event_log import EventLog as EventLog
from .jsonl import JsonlRecorder as JsonlRecorder
from .tensorboard import TensorBoardRecorder as TensorBoardRecorder
from .video import VideoRecorder as VideoRecorder
