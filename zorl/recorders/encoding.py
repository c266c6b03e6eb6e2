"""Pictures as files: animated GIFs for TensorBoard and documents, MP4 for everything longer."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError, ZorlError
from zorl.recorders.frames import Picture

_COLOURS = 128
_PALETTE_SAMPLES = 8
_SHORTEST_DELAY_MS = 20  # browsers play shorter ones at 100 ms
_END_PAUSE_MS = 500


def encode_gif(pictures: Sequence[Picture], fps: float) -> bytes:
    """A looping GIF with one palette for all pictures and a short pause at the end.

    A GIF counts time in units of 10 ms, so the rate is the nearest one that it can express, at
    most 50 frames a second.
    """
    from PIL import Image

    images = [Image.fromarray(picture) for picture in pictures]
    # One palette costs a tenth of one per frame, and equal pixels stay equal between frames.
    chosen = np.unique(np.linspace(0, len(pictures) - 1, _PALETTE_SAMPLES).round().astype(int))
    sample = Image.fromarray(np.concatenate([pictures[i] for i in chosen]))
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


def write_mp4(path: str | Path, pictures: Sequence[Picture], fps: float) -> None:
    """Write an H.264 file, whole or not at all.

    Raises:
        ConfigurationError: imageio-ffmpeg is not installed.
        ZorlError: ffmpeg wrote nothing.
    """
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
