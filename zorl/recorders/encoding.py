"""Pictures as files: animated GIFs for TensorBoard and documents, MP4 for everything longer."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from zorl.errors import ConfigurationError
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
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ConfigurationError(
            "MP4 files need imageio-ffmpeg: pip install 'zorl[mp4]', or write a .gif"
        ) from None
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        # The codec wants even sides; the library's default would rescale to multiples of 16.
        writer = imageio_ffmpeg.write_frames(
            str(temporary), (width, height), fps=fps, macro_block_size=2, ffmpeg_log_level="error"
        )
        writer.send(None)
        for picture in pictures:
            writer.send(np.ascontiguousarray(picture))
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
