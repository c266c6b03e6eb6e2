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
from .registry import (
    RECORDERS as RECORDERS,
    make_recorder as make_recorder,
    register_recorder as register_recorder,
)
from .standard import standard_recorders as standard_recorders
from .tensorboard import TensorBoardRecorder as TensorBoardRecorder
from .video import VideoRecorder as VideoRecorder
