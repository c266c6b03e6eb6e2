"""Data sets of the studies, MNIST and Wine Quality, from a folder or downloaded once.

A file is read from the given folder, or from $ZORL_DATA. Without either it is downloaded into the
user's cache. In all cases its contents must have the published SHA-256.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import urllib.request
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zorl.common.cache_folder import user_cache
from zorl.common.errors import UnknownNameError, ZorlError
from zorl.common.storage import write_atomically
from zorl.common.types import frozen

VARIABLE = "ZORL_DATA"
_TIMEOUT_SECONDS = 30.0
_MNIST_SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_WINE_SOURCES = ("https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/",)


class DataError(ZorlError):
    """A data set that is missing, damaged or cannot be downloaded."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    Attributes:
        folder: the data set's folder below the data folder.
        name: name of the file.
        sha256: hash of the contents, decompressed if the name ends in .gz, because the gzip header
            differs between copies.
        sources: addresses that end in a slash, tried in turn.
    """

    folder: str
    name: str
    sha256: str
    sources: tuple[str, ...]


_MNIST = {
    name: DataFile("mnist", f"{name}-ubyte.gz", sha256, _MNIST_SOURCES)
    for name, sha256 in (
        (
            "train-images-idx3",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        ("t10k-images-idx3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )
}
_WINE = {
    color: DataFile("wine", f"winequality-{color}.csv", sha256, _WINE_SOURCES)
    for color, sha256 in (
        ("red", "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e"),
        ("white", "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836"),
    )
}


@dataclass(frozen=True)
class Mnist:
    """MNIST as read-only arrays: pixels in [0, 1], one image a row, and the digits.

    Attributes:
        train_images: (60000, 784) float32.
        train_labels: (60000,) int64.
        test_images: (10000, 784) float32.
        test_labels: (10000,) int64.
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def mnist(data: str | Path | None = None) -> Mnist:
    """Load MNIST (LeCun and Cortes; CC BY-SA 3.0).

    Args:
        data: folder with the four gzipped idx files, or with a folder mnist/ that has them. None
            means $ZORL_DATA, or else the user's cache, into which missing files are downloaded
            (11 MB).

    Raises:
        DataError: a file is missing or damaged, or cannot be downloaded.
    """
    return _mnist(data, os.environ.get(VARIABLE))


@lru_cache(maxsize=1)
def _mnist(data: str | Path | None, variable: str | None) -> Mnist:
    """Load MNIST once and cache it, because many cells use it; the arrays are read-only."""
    images: dict[str, NDArray[np.float32]] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    for part in ("train", "t10k"):
        raw = read(_MNIST[f"{part}-images-idx3"], data)
        pixels = np.frombuffer(raw, np.uint8, offset=16).astype(np.float32).reshape(-1, 784)
        images[part] = frozen(pixels / np.float32(255))
        raw = read(_MNIST[f"{part}-labels-idx1"], data)
        labels[part] = frozen(np.frombuffer(raw, np.uint8, offset=8).astype(np.int64))
    return Mnist(images["train"], labels["train"], images["t10k"], labels["t10k"])


def wine_quality(
    color: Literal["red", "white"] = "red", data: str | Path | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Load Wine Quality (Cortez et al. 2009; UCI data set 186, CC BY 4.0).

    Args:
        color: "red" (1,599 wines) or "white" (4,898).
        data: folder with the CSV files, or with a folder wine/ that has them; see `mnist`.

    Returns:
        Eleven physicochemical features (n, 11) in the file's units, and qualities (n,) from 3 to 9.

    Raises:
        DataError: a file is missing or damaged, or cannot be downloaded.
    """
    if color not in _WINE:
        raise UnknownNameError("wine", color, _WINE)
    lines = read(_WINE[color], data).decode().splitlines()[1:]
    table = np.array([line.split(";") for line in lines], np.float64)
    return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)


def read(file: DataFile, data: str | Path | None = None) -> bytes:
    """Return the contents of a file, checked and decompressed.

    Raises:
        DataError: it is missing or damaged, or cannot be downloaded. No partial file remains.
    """
    named = os.environ.get(VARIABLE) if data is None else data
    if named:
        origin = f"${VARIABLE}" if data is None else "the data folder"
        places = [Path(named) / file.folder / file.name, Path(named) / file.name]
        for path in places:
            if path.is_file():
                return _checked(file, path.read_bytes(), str(path))
        raise DataError(
            f"{origin} {named} holds neither {file.folder}/{file.name} nor {file.name}; name the "
            "folder with the data sets, or none, and zorl downloads them into its cache"
        )
    path = cache_folder() / file.folder / file.name
    if path.is_file():
        return _checked(file, path.read_bytes(), f"{path} (remove it to download it again)")
    return _download(file, path)


def cache_folder() -> Path:
    """Return the folder of downloads: $XDG_CACHE_HOME/zorl, or ~/.cache/zorl."""
    return user_cache()


def _download(file: DataFile, path: Path) -> bytes:
    failures = []
    for source in file.sources:
        address = source + file.name
        print(f"downloading {address}", file=sys.stderr)
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
                raw = response.read()
            contents = _checked(file, raw, address)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{address}: {error or type(error).__name__}")
            continue
        except DataError as error:  # the next source may have the right file
            failures.append(str(error))
            continue
        write_atomically(path, raw)
        return contents
    raise DataError(
        f"{file.name} could not be downloaded: {'; '.join(failures)}. Put the file into a folder "
        f"and name that with --data or ${VARIABLE}"
    )


def _checked(file: DataFile, raw: bytes, where: str) -> bytes:
    """Return the decompressed contents if their hash is the published one."""
    contents = raw
    if file.name.endswith(".gz"):
        try:
            contents = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{where} is truncated or no gzip file: {error}") from error
    digest = hashlib.sha256(contents).hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"{where} is damaged or another file: the SHA-256 of its contents is {digest}, "
            f"expected {file.sha256}"
        )
    return contents
