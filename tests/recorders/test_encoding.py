"""Pictures as files."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_videos import (
    gif_frames,
    stripes,
)

from zorl.common.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.recorders.encoding import encode_gif, write_mp4


def test_a_gif_has_the_pictures_their_colours_and_their_times() -> None:
    pictures = stripes(20)
    shown, durations = gif_frames(encode_gif(pictures, fps=10))
    assert len(shown) == 20
    for picture, back in zip(pictures, shown, strict=True):
        assert np.abs(picture.astype(int) - back).mean() < 2
        assert np.abs(picture.astype(int) - back).max() < 24
    assert durations == [100] * 19 + [500]


@pytest.mark.parametrize(
    ("fps", "delay"), [(30, 30), (7.5, 130), (15, 70), (50, 20), (1000, 20), (4, 250)]
)
def test_a_frame_lasts_a_whole_multiple_of_10_ms_that_browsers_respect(
    fps: float, delay: int
) -> None:
    _, durations = gif_frames(encode_gif(stripes(3), fps))
    assert durations[:-1] == [delay, delay]


@pytest.mark.parametrize("share", [1.0, 0.01])
def test_a_colour_of_a_few_frames_is_not_lost(share: float) -> None:
    pictures = stripes(100)
    for picture in pictures:
        picture[...] = (0, 0, 200)
    rows = max(1, round(share * len(pictures[0])))
    for index in (45, 46):  # none of the frames that make the palette
        pictures[index][:rows] = (230, 20, 10)
    shown, _ = gif_frames(encode_gif(pictures, 10))
    flash = [i for i, frame in enumerate(shown) if frame[0, 0, 0] > 200]
    assert len(flash) == 1 or flash == [45, 46]  # equal frames may be one that lasts longer
    assert np.abs(shown[flash[0]][0, 0].astype(int) - (230, 20, 10)).max() < 24


def test_pictures_of_different_sizes_are_refused_before_a_file_is_there(tmp_path: Path) -> None:
    pictures = [np.zeros((40, 60 + i, 3), np.uint8) for i in range(2)]
    message = r"different sizes .*: 60 × 40 and 61 × 40 pixels; .*render\(\)"
    with pytest.raises(EnvironmentFailure, match=message):
        encode_gif(pictures, 10)
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(EnvironmentFailure, match=message):
        write_mp4(tmp_path / "x.mp4", pictures, 10)
    assert list(tmp_path.iterdir()) == []


def test_a_gif_loops_for_ever() -> None:
    assert Image.open(io.BytesIO(encode_gif(stripes(2), 10))).info["loop"] == 0


def test_a_gif_of_one_picture_is_a_gif() -> None:
    shown, _ = gif_frames(encode_gif(stripes(1), 10))
    assert len(shown) == 1


def read_mp4(path: Any) -> Any:
    """Frames a second and the frames of a file."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reader leaves its pipes to the garbage collector
        reader = imageio_ffmpeg.read_frames(str(path))
        meta = next(reader)
        shape = (*meta["size"][::-1], 3)
        shown = [np.frombuffer(frame, np.uint8).reshape(shape) for frame in reader]
        del reader
    return meta["fps"], shown


@pytest.mark.parametrize(("height", "width"), [(40, 60), (41, 63)])
def test_an_mp4_can_be_read_back(
    tmp_path: Path, height: int, width: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "film.mp4"
    pictures = stripes(25, height, width)
    write_mp4(path, pictures, fps=25)
    fps, shown = read_mp4(path)
    assert fps == 25
    assert len(shown) == 25
    for picture, back in zip(pictures, shown, strict=True):
        assert back.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(picture.astype(int) - back[:height, :width]).mean() < 8
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]
    assert caplog.records == []


def test_a_failed_mp4_leaves_the_old_file(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    broken: Any = SimpleNamespace(shape=(40, 60, 3))
    with pytest.raises(ValueError, match="broadcast"):
        write_mp4(path, [*stripes(2), broken], fps=25)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_mp4_that_ffmpeg_did_not_write_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*args: Any, **kwargs: Any) -> Iterator[Any]:
        while True:
            yield

    monkeypatch.setattr(pytest.importorskip("imageio_ffmpeg"), "write_frames", silent)
    with pytest.raises(ZorlError, match="wrote nothing"):
        write_mp4(tmp_path / "film.mp4", stripes(2), 25)


def test_mp4_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigurationError, match=r"zorl\[mp4\]"):
        write_mp4(tmp_path / "film.mp4", stripes(2), 25)
