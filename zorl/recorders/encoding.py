"""Pictures as files: animated GIFs for TensorBoard and documents, MP4 for everything longer."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, EnvironmentFailure, ZorlError
from zorl.recorders.frames import Picture

_COLOURS = 128
_PALETTE_SAMPLES = 8
_SHIFT = 4  # colours are alike that are so without these bits
_LEVELS = 256 >> _SHIFT
_SHORTEST_DELAY_MS = 20  # browsers play shorter ones at 100 ms
_END_PAUSE_MS = 500


def encode_gif(pictures: Sequence[Picture], fps: float) -> bytes:
    """A looping GIF with one palette for all pictures and a short pause at the end.

    A GIF counts time in units of 10 ms, so the rate is the nearest one that it can express, at
    most 50 frames a second.

    Raises:
        EnvironmentFailure: the pictures differ in size.
    """
    from PIL import Image

    check_sizes(pictures)
    images = [Image.fromarray(picture) for picture in pictures]
    # One palette costs a tenth of one per frame, and equal pixels stay equal between frames.
    sample = Image.fromarray(np.concatenate(_palette_samples(pictures)))
    palette = sample.quantize(_COLOURS, Image.Quantize.FASTOCTREE)  # the closest and fastest here
    indexed = [im.quantize(palette=palette, dither=Image.Dither.NONE) for im in images]
    delay = max(_SHORTEST_DELAY_MS, 10 * round(100 / fps))
    delays = [delay] * (len(indexed) - 1) + [max(delay, _END_PAUSE_MS)]
    buffer = io.BytesIO()
    indexed[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=delays,
        loop=0,
        optimize=False,  # ten times as slow for 2 % of the bytes
    )
    return buffer.getvalue()


def _palette_samples(pictures: Sequence[Picture]) -> list[Picture]:
    """Some of the pictures, and one of colours unlike all of theirs, if others have such."""
    chosen = np.unique(np.linspace(0, len(pictures) - 1, _PALETTE_SAMPLES).round().astype(int))
    samples = [pictures[i] for i in chosen]
    known = np.zeros(_LEVELS**3, bool)
    _learn(known, _cells(np.concatenate(samples)))
    unlike, before = [], samples[0]
    for picture in pictures:
        rows = picture[(picture != before).any(axis=(1, 2))]  # others were looked at already
        before = picture
        cells = _cells(rows)
        new = ~known[cells]
        if new.any():
            unlike.append(rows[new])
            _learn(known, cells[new])
    if unlike:
        colours = np.concatenate(unlike)
        height, width = pictures[0].shape[:2]
        # As many pixels as a picture has: rare colours would have no place in the palette.
        places = np.arange(height * width) * len(colours) // (height * width)
        samples.append(colours[places].reshape(height, width, 3))
    return samples


def _cells(pictures: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The cell of each pixel on a coarse scale of colours."""
    weights = np.array([_LEVELS**2, _LEVELS, 1], np.float32)
    cells: NDArray[np.int32] = ((pictures >> _SHIFT) @ weights).astype(np.int32)
    return cells


def _learn(known: NDArray[np.bool_], cells: NDArray[np.int32]) -> None:
    """Note cells of colours, and those beside them."""
    seen = np.zeros((_LEVELS,) * 3, bool)
    seen.reshape(-1)[cells] = True
    for axis in range(3):
        wide = np.moveaxis(seen.copy(), axis, 0)
        line = np.moveaxis(seen, axis, 0)
        wide[1:] |= line[:-1]
        wide[:-1] |= line[1:]
        seen = np.moveaxis(wide, 0, axis)
    known |= seen.reshape(-1)


def check_sizes(pictures: Sequence[Picture]) -> None:
    """Refuse pictures that cannot be in one film.

    Raises:
        EnvironmentFailure: they differ in size.
    """
    first = pictures[0].shape
    for picture in pictures:
        if picture.shape != first:
            raise EnvironmentFailure(
                f"pictures of different sizes cannot become one film: {first[1]} × {first[0]} and "
                f"{picture.shape[1]} × {picture.shape[0]} pixels; likely cause: render() of the "
                "environment changes its size"
            )


def write_mp4(path: str | Path, pictures: Sequence[Picture], fps: float) -> None:
    """Write an H.264 file, whole or not at all.

    Raises:
        ConfigurationError: imageio-ffmpeg is not installed.
        EnvironmentFailure: the pictures differ in size.
        ZorlError: ffmpeg wrote nothing.
    """
    check_sizes(pictures)
    ffmpeg = find_ffmpeg()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    # The codec wants even sides: an odd one repeats its last row or column.
    margin = ((0, height % 2), (0, width % 2), (0, 0))
    size = (width + width % 2, height + height % 2)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        writer = ffmpeg.write_frames(
            str(temporary), size, fps=fps, macro_block_size=1, ffmpeg_log_level="error"
        )
        with closing(writer):
            writer.send(None)
            for picture in pictures:
                writer.send(np.pad(picture, margin, "edge"))
        if not temporary.is_file():
            raise ZorlError(f"{path}: ffmpeg wrote nothing; its own message is above")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def find_ffmpeg() -> Any:
    """The module that runs ffmpeg.

    Raises:
        ConfigurationError: it is not installed, or has no ffmpeg for this machine.
    """
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise ConfigurationError(
            f"MP4 files need imageio-ffmpeg: pip install 'zorl[mp4]', or write a .gif ({error})"
        ) from error
    return imageio_ffmpeg
