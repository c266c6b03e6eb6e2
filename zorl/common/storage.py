"""Files: a zip of JSON and safetensors with a format version, written atomically, never pickle.

An archive holds `zorl.json` (format, version, kind and the caller's metadata) and
`arrays.safetensors`. States of optimizers and gates, which are frozen dataclasses of arrays and
scalars, are flattened into both by `flatten` and rebuilt over a template by `unflatten`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.plain import plain, why_not_json

FORMAT = "zorl"
VERSION = 1
T = TypeVar("T")

Arrays = dict[str, NDArray[Any]]


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically; readers see the whole old or new file.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    path = Path(path)
    try:
        _write(path, data)
    except OSError as error:
        error.filename = str(path)  # not the temporary file, or none, as on a full disk
        raise


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 locks out others who share the folder
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed writers from a folder; nothing may be writing there now."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are written as null, which every reader accepts."""
    text = json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def read_json(path: str | Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        FileFormatError: the file is missing, or is not a JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileFormatError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def save_archive(path: str | Path, kind: str, metadata: Mapping[str, Any], arrays: Arrays) -> None:
    """Write an archive of one `kind`, atomically. Equal contents give equal bytes.

    Raises:
        ConfigurationError: something that files cannot hold; see `check_writable`.
    """
    buffer = io.BytesIO()
    # Stored, not deflated: noise does not compress, and zlib's bytes differ between its versions.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in archive_members(kind, metadata, arrays):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    write_atomically(path, buffer.getvalue())


def archive_members(
    kind: str, metadata: Mapping[str, Any], arrays: Arrays
) -> list[tuple[str, bytes]]:
    """Names and contents of the files that make an archive, for a zip of them.

    Raises:
        ConfigurationError: see `check_writable`.
    """
    from safetensors.numpy import save

    check_writable(metadata, arrays)
    header = {"format": FORMAT, "version": VERSION, "kind": kind, "metadata": dict(metadata)}
    return [
        ("zorl.json", _encoded(header)),
        ("arrays.safetensors", save({k: np.asarray(v, order="C") for k, v in arrays.items()})),
    ]


def check_writable(metadata: Mapping[str, Any], arrays: Arrays) -> None:
    """Refuse what `save_archive` could not write, before hours go into making more of it.

    Raises:
        ConfigurationError: naming it.
    """
    reason = why_not_json(plain({**metadata}), "metadata")
    if reason is None:
        for name, array in arrays.items():
            if array.dtype.kind not in "biufc" or array.dtype.itemsize > 8:
                reason = f"{name} is an array of {array.dtype}; files hold arrays of numbers"
    if reason is not None:
        raise ConfigurationError(reason)


def _encoded(header: Mapping[str, Any]) -> bytes:
    return json.dumps(plain({**header}), sort_keys=True, allow_nan=False).encode()


def load_archive(path: str | Path, kind: str | None = None) -> tuple[str, dict[str, Any], Arrays]:
    """Load the kind, metadata and arrays of an archive.

    Args:
        path: the file.
        kind: the required kind; None accepts every kind.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, not zorl's, of a newer format or
            of another kind.
    """
    from safetensors.numpy import load

    path = Path(path)
    if not path.is_file():
        what = "a folder, expected a file" if path.is_dir() else "no such file"
        raise FileFormatError(f"{path}: {what}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "zorl.json" not in names:
                raise FileFormatError(
                    f"{path}: a zip file, but not one of zorl's (it has no zorl.json)"
                )
            header = json.loads(archive.read("zorl.json"))
            fields = header if isinstance(header, dict) else {}
            version, metadata = fields.get("version"), fields.get("metadata")
            if fields.get("format") != FORMAT or type(version) is not int or version < 1:
                raise FileFormatError(f"{path}: zorl.json does not describe a zorl file")
            if version > VERSION:
                raise FileFormatError(
                    f"{path}: written in format {version}, this zorl reads up to {VERSION}; "
                    "upgrade zorl"
                )
            arrays = load(archive.read("arrays.safetensors"))
            found = fields.get("kind")
            if not isinstance(found, str) or not isinstance(metadata, dict):
                raise FileFormatError(f"{path}: zorl.json lacks a kind or metadata")
    except FileFormatError:
        raise
    # A damaged zip can raise many errors: unknown compression, a password, one of zlib's.
    except Exception as error:
        raise FileFormatError(f"{path}: corrupt, truncated or not a zorl file ({error})") from error
    if kind is not None and found != kind:
        raise FileFormatError(f"{path}: holds a {found!r}, expected a {kind!r}")
    return found, metadata, arrays


def flatten(value: Any, prefix: str) -> tuple[dict[str, Any], Arrays]:
    """Return the scalars (JSON) and arrays of a nested dataclass, keyed by dotted field names."""
    scalars: dict[str, Any] = {}
    arrays: Arrays = {}
    for field in dataclasses.fields(value):
        item, name = getattr(value, field.name), f"{prefix}.{field.name}"
        item = plain(item)
        if dataclasses.is_dataclass(item):
            more_scalars, more_arrays = flatten(item, name)
            scalars.update(more_scalars)
            arrays.update(more_arrays)
        elif isinstance(item, np.ndarray):
            arrays[name] = item
        elif isinstance(item, float):
            scalars[name] = item.hex()  # exact, and infinity has a name
        else:
            scalars[name] = item
    return scalars, arrays


def unflatten(template: T, prefix: str, scalars: Mapping[str, Any], arrays: Arrays) -> T:
    """Invert `flatten`, for a value with the types and array sizes of `template`.

    Raises:
        FileFormatError: a field is missing, or has another shape or type. The file then belongs to
            another configuration.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(template):  # type: ignore[arg-type]
        old, name = getattr(template, field.name), f"{prefix}.{field.name}"
        if dataclasses.is_dataclass(old):
            values[field.name] = unflatten(old, name, scalars, arrays)
            continue
        source: Mapping[str, Any] = arrays if isinstance(old, np.ndarray) else scalars
        if name not in source:
            raise FileFormatError(f"{name} is missing: saved by another configuration")
        item = source[name]
        if isinstance(old, np.ndarray):
            if item.shape != old.shape:
                raise FileFormatError(
                    f"{name} has shape {item.shape}, expected {old.shape}: saved by another "
                    "configuration"
                )
            item = item.astype(old.dtype)
            item.setflags(write=False)
        elif isinstance(old, float) and isinstance(item, str):
            try:
                item = float.fromhex(item)
            except (ValueError, OverflowError):
                raise FileFormatError(f"{name} is {item!r}, expected a number") from None
        elif type(item) is not type(old):
            raise FileFormatError(
                f"{name} is {item!r}, expected {type(old).__name__}: saved by another configuration"
            )
        elif isinstance(item, int) and abs(item) >= 2**1023:
            raise FileFormatError(f"{name} is {item!r}, beyond all floats")
        values[field.name] = item
    return type(template)(**values)


def _finite(value: Any) -> Any:
    """Return the value without NaN, infinity and numpy scalars, for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    value = plain(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
