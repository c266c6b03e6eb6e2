"""TensorBoard's event file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toy_events import curve, read

from zorl.common.errors import ZorlError
from zorl.recorders.event_log import EventLog


def test_the_log_closes_with_its_last_user(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.open()
    log.open()
    log.close()
    log.scalars({"a/b": 1.0}, 1)
    log.close()
    with pytest.raises(ZorlError, match="not open"):
        log.scalars({"a/b": 2.0}, 2)
    assert curve(read(tmp_path), "a/b") == [(1, 1.0)]


def test_the_log_takes_only_gifs_as_gifs(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.open()
    with pytest.raises(ZorlError, match="no GIF"):
        log.gif("rollout", b"\x89PNG\r\n\x1a\n", 0)
    with pytest.raises(ZorlError, match="no PNG"):
        log.png("figure", b"GIF89a", 0)
    log.close()


def test_writing_a_log_imports_neither_torch_nor_tensorflow_nor_pygame(tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "import zorl.recorders.tensorboard, zorl.recorders.video, zorl.runs.playback\n"
        "from zorl.recorders.event_log import EventLog\n"
        "log = EventLog(sys.argv[1]); log.open(); log.session(0); log.hparams({'a': 1})\n"
        "log.scalars({'a': 1.0}, 1); log.histograms({'b': [1.0]}, 1); log.text('c', 'c', 1)\n"
        "log.hparams_end(True); log.close()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], text=True)
    loaded = json.loads(done)
    assert "tensorboard" in loaded
    heavy = {"torch", "tensorflow", "pygame", "matplotlib", "imageio_ffmpeg", "stable_baselines3"}
    assert heavy.isdisjoint(loaded)


def test_a_log_that_cannot_be_written_ends_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tensorboard.compat.tensorflow_stub.io.gfile import GFile

    log = EventLog(tmp_path)
    log.open()
    with monkeypatch.context() as patch:
        for name in ("write", "flush"):

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(GFile, name, full)
        for step in range(3):
            log.scalars({"a": 1.0}, step)
            log.flush()
    log.scalars({"a": 1.0}, 3)
    log.close()
    (message,) = caplog.messages
    assert f"the TensorBoard log in {tmp_path} ends here" in message
    assert "(No space left on device)" in message
