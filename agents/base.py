"""What an agent is: SB3's verbs, so that a search and PPO are interchangeable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import Self

from zorl.common.errors import FileFormatError
from zorl.common.storage import Arrays, load_archive
from zorl.common.streams import Seeds
from zorl.envs import Task
from zorl.recorders.base import Recorder
from zorl.rollout.evaluation import Evaluation

# Asked between records: whether training should stop now (a signal came, a goal is reached).
Stop = Callable[[], bool]


class Agent(Protocol):
    """Something that learns a task and acts in it.

    Attributes:
        name: its registered name, as "cma-es" or "ppo".
        task: what it is trained on.
    """

    name: str
    task: Task

    @property
    def num_timesteps(self) -> int:
        """Env steps charged to training so far."""

    @property
    def num_episodes(self) -> int:
        """Episodes finished in training so far."""

    @property
    def parameters(self) -> int:
        """Number of parameters of the policy that acts."""

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, JSON types; equal configurations train equal agents."""

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        progress_bar: bool = False,
        recorders: Iterable[Recorder] = (),
        stop: Stop | None = None,
    ) -> Self:
        """Train until `num_timesteps` has grown by `total_timesteps`, or until `stop()`."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """The action for one observation or a batch, and the unchanged `state`."""

    def evaluate(self, seeds: Seeds) -> Evaluation:
        """One deterministic episode from each seed, on the training task; arrays (1, e)."""

    def save(self, path: str | Path) -> None:
        """Write the agent to one file, atomically."""

    def close(self) -> None:
        """Free environments and processes."""


def read_agent(path: str | Path, family: str) -> tuple[dict[str, Any], Arrays]:
    """Metadata and arrays of a saved agent of one family.

    Raises:
        FileFormatError: the file is missing, corrupt, truncated, newer, or not such an agent's.
    """
    _, metadata, arrays = load_archive(path, "agent")
    if metadata.get("family") != family:
        raise FileFormatError(
            f"{path}: holds an agent of the family {metadata.get('family')!r}, expected "
            f"{family!r}; zorl.load_agent takes both"
        )
    return metadata, arrays
