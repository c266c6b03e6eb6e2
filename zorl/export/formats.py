"""Formats by name, and how a policy is written in one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Protocol

import zorl
from zorl.common.errors import ConfigurationError
from zorl.common.registry import Registry
from zorl.common.storage import write_atomically
from zorl.export.snapshot import Snapshot


class Format(Protocol):
    """A kind of file.

    Attributes:
        suffix: how its files are called.
    """

    suffix: ClassVar[str]

    @staticmethod
    def write(snapshot: Snapshot, name: str, head: str) -> bytes:
        """The file's contents.

        Args:
            snapshot: what is exported.
            name: an identifier, for functions and the like.
            head: what the file is, in a line of plain characters.

        Raises:
            ConfigurationError: the format cannot hold such a policy.
        """


FORMATS: Registry[type[Format]] = Registry("export format", "zorl.export")
register_format = FORMATS.register


def export(snapshot: Snapshot, path: str | Path, to: str | None = None) -> Path:
    """Write a policy to one file, atomically.

    Args:
        snapshot: what is exported.
        path: of the file; without a suffix it gets the format's.
        to: a name in `FORMATS`; None takes the format with the path's suffix.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: no such format, or one that cannot hold such a policy.
    """
    path = Path(path)
    if to is None:
        names = [name for name, known in FORMATS.items() if known.suffix == path.suffix]
        if not names:
            suffixes = ", ".join(f"{known.suffix} ({name})" for name, known in FORMATS.items())
            raise ConfigurationError(
                f"{path}: no format has the suffix {path.suffix!r}; known: {suffixes}; or name "
                "one, as to='c'"
            )
        to = names[0]
    found = FORMATS.resolve(to)
    if not path.suffix:
        path = path.with_suffix(found.suffix)
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    name = name if name[:1].isalpha() else f"policy_{name}"
    about = re.sub(r"[^\w .,:()=-]", "?", snapshot.about, flags=re.ASCII)  # it stands in comments
    head = f"{name}: {about}, written by zorl {zorl.__version__}."
    write_atomically(path, found.write(snapshot, name, head))
    return path
