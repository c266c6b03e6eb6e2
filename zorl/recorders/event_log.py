"""A TensorBoard event file, written without torch and without TensorFlow.

`SummaryWriter` of torch costs two seconds of import, loses videos and makes a run of its own for
hyperparameters; what zorl shows needs only TensorBoard's own protocol buffers.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.errors import ZorlError
from zorl.recorders.base import folder_of

if TYPE_CHECKING:  # imported where they are used: that takes a while
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

logger = logging.getLogger(__name__)

_RGB = 3  # `colorspace` of an image summary


class EventLog:
    """The event file of one run, shared by the recorders that write to it.

    Every recorder opens it at its start and closes it at its finish, in any order; the file exists
    from the first `open` to the last `close`.

    Args:
        folder: where the file goes; TensorBoard names the run by it.
        flush_seconds: what was written is in the file after this time at the latest.
    """

    def __init__(self, folder: str | Path, flush_seconds: float = 10.0) -> None:
        self.folder = Path(folder)
        self._flush_seconds = flush_seconds
        self._writer: EventFileWriter | None = None
        self._users = 0

    def open(self) -> None:
        """Begin to use the log."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self.folder), flush_secs=self._flush_seconds)
            with contextlib.suppress(AttributeError):  # it is not public
                records: Any = self._writer._async_writer._writer
                records._writer = _Guarded(records._writer, self.folder)
        self._users += 1

    def close(self) -> None:
        """Cease to use the log; the last user writes it out and closes the file."""
        self._users -= 1
        if self._users <= 0 and self._writer is not None:
            self._writer.close()
            self._writer = None

    def flush(self) -> None:
        """Wait until everything is in the file."""
        self._open_writer().flush()

    def session(self, step: int) -> None:
        """Begin a session: TensorBoard forgets what earlier ones wrote at `step` and after.

        Its slow loader takes the first session that it reads for no restart, so every run begins
        one, resumed or not; its fast loader knows no sessions and forgets tag by tag, when a step
        comes that is not above the last.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, figures: Mapping[str, float], step: int) -> None:
        """Write figures by tag; NaN and infinity are shown as such."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary()
        for tag, value in figures.items():
            summary.value.add(tag=tag, simple_value=float(value))
        self._summary(summary, step)

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int) -> None:
        """Write distributions by tag: of the finite values; without one, there is no histogram."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        summary = Summary()
        for tag, array in arrays.items():
            values = np.asarray(array, np.float64)
            values = values[np.isfinite(values)]
            if values.size:
                summary.MergeFrom(histogram_pb(tag, values))
        self._summary(summary, step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text for the TEXT tab."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._summary(text_pb(tag, markdown), step)

    def gif(self, tag: str, data: bytes, step: int) -> None:
        """Write an encoded GIF, which the IMAGES tab plays."""
        if data[:3] != b"GIF":
            raise ZorlError(f"image {tag!r} is no GIF: it begins with {data[:6]!r}")
        width, height = struct.unpack("<HH", data[6:10])  # the logical screen of the file
        self._image(tag, data, width, height, step)

    def png(self, tag: str, data: bytes, step: int) -> None:
        """Write an encoded PNG for the IMAGES tab."""
        if data[:8] != b"\x89PNG\r\n\x1a\n":
            raise ZorlError(f"image {tag!r} is no PNG: it begins with {data[:8]!r}")
        width, height = struct.unpack(">II", data[16:24])  # of its header, the first chunk
        self._image(tag, data, width, height, step)

    def hparams(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Begin the run's one session in the HPARAMS tab.

        No experiment summary is written: TensorBoard would take the columns from the first run's
        alone. Without one it joins the settings of all runs, marks those that differ, and offers
        every scalar of the run as a metric.
        """
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._summary(hparams_pb(dict(values)), 0)

    def hparams_end(self, success: bool) -> None:
        """End that session. TensorBoard keeps the first end that it reads, so this is for good."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(
                plugin_data_pb2.HParamsPluginData(session_end_info=end)
            ),
            tensor=metadata.NULL_TENSOR,
        )
        self._summary(Summary(value=[value]), 0)

    def _image(self, tag: str, data: bytes, width: int, height: int, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(
            height=height, width=width, colorspace=_RGB, encoded_image_string=data
        )
        self._summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def _summary(self, summary: Summary, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        if summary.value:
            self._write(Event(step=step, summary=summary))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._open_writer().add_event(event)

    def _open_writer(self) -> EventFileWriter:
        if self._writer is None:
            raise ZorlError(f"the event log in {self.folder} is not open")
        return self._writer


class _Guarded:
    """The file below a writer, which stops to be written, with one warning, when that fails.

    The writer's thread would print a traceback, and end the run for the sake of its log.
    """

    def __init__(self, file: Any, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._failed = False

    def write(self, data: bytes) -> None:
        self._try(self._file.write, data)

    def flush(self) -> None:
        self._try(self._file.flush)

    def close(self) -> None:
        self._try(self._file.close)

    def _try(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self._failed:
            return
        try:
            call(*arguments)
        except OSError as error:
            self._failed = True
            logger.warning(
                "the TensorBoard log in %s ends here: it cannot be written (%s)",
                self._folder,
                error.strerror or error,
            )


_SHARED: WeakValueDictionary[Path, EventLog] = WeakValueDictionary()


def log_of(folder: Path | None, recorder: str) -> EventLog:
    """The event log of a run's folder: the same one for all recorders of the run.

    Args:
        folder: the run's; TensorBoard would miss what a second event file says at the same time.
        recorder: who asks, for messages.

    Raises:
        ConfigurationError: the run has no folder.
    """
    folder = folder_of(folder, recorder).resolve()
    log = _SHARED.get(folder)
    if log is None:
        log = _SHARED[folder] = EventLog(folder)
    return log
