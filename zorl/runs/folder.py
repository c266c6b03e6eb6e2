"""The run folder, which holds all files of one run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zorl.common.errors import RunFolderError
from zorl.common.storage import read_json, remove_leftovers, write_json


def run_name(env_id: str, agent: str, seed: int) -> str:
    """A name that sorts and says what it is: env__agent__seed__date-time."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return "__".join([*(re.sub("[/:]", "-", name) for name in (env_id, agent)), str(seed), stamp])


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

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> RunFolder:
        """A new folder with its configuration in it.

        Raises:
            RunFolderError: something is there already; nothing in it is touched.
        """
        folder = cls(path)
        if folder.path.is_dir():
            remove_leftovers(folder.path)  # of a run that was killed before it began
        if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
            raise RunFolderError(
                f"{folder.path} exists already and is not an empty folder; choose another with "
                f"--run, or go on with it: zorl resume {folder.path}"
            )
        write_json(folder.config, config)
        return folder

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
