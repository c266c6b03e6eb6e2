"""The run folder, which holds all files of one run."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from zorl.common.errors import FileFormatError, RunFolderError
from zorl.common.locks import LOCK_NAME, FolderLock
from zorl.common.storage import read_json, remove_leftovers, write_json

_SETTINGS_BYTES = 80  # of the settings in a name: file systems allow 255 bytes for all of it


def run_name(env_id: str, agent: str, seed: int, settings: Iterable[str] = ()) -> str:
    """A name that sorts and says what it is: env__agent__seed__settings__date-time.

    Args:
        env_id: of the environment.
        agent: its name.
        seed: of the run.
        settings: what differs from the usual, as "momentum" and "sigma0=0.1".
    """
    return stamped("__".join([env_id, agent, str(seed)]), *settings)


def stamped(name: str, *settings: str) -> str:
    """A name for a folder: what it is, what differs from the usual, and the time."""
    words = (re.sub(r"[^\w.,=()+-]+", "-", word).strip("-") for word in settings)
    text = "__".join(word for word in words if word).encode()[:_SETTINGS_BYTES]
    middle = [text.decode(errors="ignore")] if text else []
    return "__".join([re.sub("[/:]", "-", name), *middle, time.strftime("%Y%m%d-%H%M%S")])


def new_folder(path: Path) -> Path:
    """Make a folder of this name, or with -2, -3, … behind it where others have that already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        made = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            made.mkdir()
        except FileExistsError:
            continue
        return made
    raise AssertionError  # the numbers do not end


class RunFolder:
    """The folder of one run, which is also a TensorBoard log directory.

    Attributes:
        path: the folder.
        config: path of config.json: the resolved configuration.
        checkpoint: path of checkpoint.zip: the latest state, which `zorl resume` goes on from.
        best: path of best.zip: the best policy by validation so far, where that is asked for.
        agent: path of agent.zip: the final agent.
        result: path of result.json: counts and the held-out estimate.
        generations: path of generations.jsonl: one line of figures per record.
        failures: path of failures/: episodes that failed, for `zorl replay`.
        validation: path of validation.csv: the learning curve.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.checkpoint = self.path / "checkpoint.zip"
        self.best = self.path / "best.zip"
        self.agent = self.path / "agent.zip"
        self.result = self.path / "result.json"
        self.generations = self.path / "generations.jsonl"
        self.validation = self.path / "validation.csv"
        self.failures = self.path / "failures"
        self._lock = FolderLock(self.path)

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> RunFolder:
        """A new folder with its configuration in it.

        Raises:
            RunFolderError: something is there already; nothing in it is touched.
        """
        folder = cls(path)
        if folder.path.exists() and not folder.path.is_dir():
            raise RunFolderError(f"{folder.path} is no folder; choose another with --out")
        with folder.locked():  # two that begin at once would both find it empty
            remove_leftovers(folder.path)  # of a run that was killed before it began
            if any(item.name != LOCK_NAME for item in folder.path.iterdir()):
                raise RunFolderError(folder._taken(config))
            write_json(folder.config, config)
        return folder

    def _taken(self, config: Mapping[str, Any]) -> str:
        """What a new run with this configuration is told of what is here."""
        text, other = f"{self.path} exists already and is not empty", "choose another with --out"
        if not self.config.is_file():
            return f"{text}; {other}"
        try:
            difference = self.difference(config)
        except FileFormatError:
            return f"{text}; {other}"
        if difference is not None:
            return f"{text}: it has a run of another configuration ({difference}); {other}"
        if self.agent.exists():
            return f"{text}: it has the same run, finished; {other}"
        return f"{text}; {other}, or go on with its run, which is the same: zorl resume {self.path}"

    def difference(self, config: Mapping[str, Any]) -> str | None:
        """The first setting in which the run here differs from a configuration; None: they agree.

        Versions of libraries and recorders may differ.
        """
        saved, wanted = self.read_config(), json.loads(json.dumps(config))
        for part in ("agent", "plan"):
            old, new = saved.get(part) or {}, wanted.get(part) or {}
            for name in sorted({*old, *new}):
                if name not in old or name not in new or old[name] != new[name]:
                    return f"{part}.{name} is {old.get(name)!r} there and {new.get(name)!r} here"
        return None

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from writing here; may be nested.

        Raises:
            RunFolderError: another process is writing here; says which.
        """
        return self._lock.held()

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run's folder.

        Raises:
            RunFolderError: there is none, or it is not a run's.
        """
        folder = cls(path)
        if not folder.path.is_dir():
            raise RunFolderError(f"{folder.path}: no such run folder")
        if not folder.config.is_file():
            raise RunFolderError(f"{folder.path} is not a run folder: it has no config.json")
        return folder

    def read_config(self) -> dict[str, Any]:
        """The configuration that the run was created with."""
        return read_json(self.config)

    def policy_file(self) -> Path:
        """The final agent if the run is over, else the latest checkpoint."""
        for path in (self.agent, self.checkpoint):
            if path.is_file():
                return path
        raise RunFolderError(f"{self.path} holds no saved policy yet")


def latest_run(parent: Path) -> Path:
    """The youngest run folder in a folder.

    Raises:
        RunFolderError: there is none.
    """
    runs = [path.parent for path in parent.glob("*/config.json")]
    if not runs:
        raise RunFolderError(
            f"there is no run in {parent}/ yet; name a run folder or an agent's file"
        )
    return max(runs, key=lambda run: (run / "config.json").stat().st_mtime)
