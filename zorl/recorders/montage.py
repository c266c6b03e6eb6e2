"""Several episodes side by side, as one animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zorl.recorders.encoding import check_sizes, encode_gif
from zorl.recorders.frames import Frames, Picture

_MOST = 6
_COLUMNS = 3
_SIZE = (200, 150)
_LINE = 16  # pixels of a caption
_FONT_SIZE = 11


@dataclass(frozen=True)
class Film:
    """An episode in small pictures.

    Attributes:
        pictures: each (height, width, 3).
        fps: frames a second.
        caption: what it shows.
    """

    pictures: tuple[Picture, ...]
    fps: float
    caption: str

    @classmethod
    def small(cls, frames: Frames, title: str) -> Film:
        """An episode's pictures scaled down, with its native return behind the title."""
        from PIL import Image

        small = []
        for picture in frames.pictures:
            image = Image.fromarray(picture)
            image.thumbnail(_SIZE, Image.Resampling.BOX)
            small.append(np.asarray(image))
        caption = f"{title}: {frames.episode.native_return:,.4g}"
        return cls(tuple(small), frames.fps, caption)


def side_by_side(films: Sequence[Film]) -> bytes:
    """A GIF of up to six films, evenly chosen, the first and the last among them.

    They play at one speed, each with its caption; one that is over shows its last picture.

    Args:
        films: at least one, with pictures of one size.

    Raises:
        EnvironmentFailure: their sizes differ.
    """
    check_sizes([film.pictures[0] for film in films])
    chosen = np.linspace(0, len(films) - 1, min(len(films), _MOST)).round().astype(int)
    shown = [films[i] for i in chosen]
    fps = min(film.fps for film in shown)
    seconds = max(len(film.pictures) / film.fps for film in shown)
    captions = [_caption(film.caption, film.pictures[0].shape[1]) for film in shown]
    blank = np.full_like(np.concatenate([captions[0], shown[0].pictures[0]]), 255)
    pictures = []
    for moment in range(round(seconds * fps)):
        cells = []
        for film, caption in zip(shown, captions, strict=True):
            index = min(round(moment * film.fps / fps), len(film.pictures) - 1)
            cells.append(np.concatenate([caption, film.pictures[index]]))
        columns = min(len(cells), _COLUMNS)
        cells += [blank] * (-len(cells) % columns)
        rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
        pictures.append(np.concatenate(rows))
    return encode_gif(pictures, fps)


def _caption(text: str, width: int) -> Picture:
    """A line of text, (16, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (width, _LINE), "white")
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(image).text((2, 1), text, "black", font)
    return np.asarray(image)
