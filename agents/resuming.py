"""Runs that go on: interrupted ones, and finished ones with a larger budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from zorl.agents.agent import Agent
from zorl.agents.base import FAMILIES
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import agent_of, config_from_json, given_objects, load_agent
from zorl.agents.training import train
from zorl.common.errors import FileFormatError, RunFolderError
from zorl.common.references import named_by
from zorl.common.storage import remove_leftovers, write_json
from zorl.common.types import Stop
from zorl.optimizers.base import Optimizer
from zorl.recorders.base import Recorder
from zorl.rollout.backend import Resources
from zorl.runs.folder import RunFolder
from zorl.runs.result import RunResult
from zorl.search.gates import Gate


def resume(
    folder: RunFolder,
    recorders: Iterable[Recorder] = (),
    stop: Stop | None = None,
    policy: Any = None,
    optimizer: Optimizer[Any] | None = None,
    gate: Gate[Any] | None = None,
    env: Any = None,
    trust: bool | None = None,
    total_timesteps: int | None = None,
    **resources: Any,
) -> RunResult:
    """Go on with an interrupted run; the result is bit-identical to an unbroken run's.

    With a larger budget a finished run goes on, too. What it learns is bit-identical to a run that
    had this budget from the start; when it was validated before is as it was.

    Args:
        folder: the run's.
        recorders: consumers of the run's records.
        stop: asked after every generation; True ends the run with everything saved.
        policy: see `load_agent`.
        optimizer: likewise.
        gate: likewise.
        env: likewise.
        trust: likewise.
        total_timesteps: the new budget of env steps, with those that are spent; None: as it was.
        resources: fields of `zorl.Resources`: workers, timeout, ray, lanes.

    Raises:
        ConfigurationError: `total_timesteps` is not above the budget so far.
        RunFolderError: the run is over or still going on, its checkpoint is of another
            configuration, or its family of agents cannot be resumed (stable-baselines3 does not
            save what that needs).
    """
    with folder.locked():  # another process would change what is read here
        with named_by(folder.path, trust):
            objects = given_objects(policy=policy, optimizer=optimizer, gate=gate, env=env)
            agent, plan = _interrupted(folder, objects, resources, trust, total_timesteps)
        try:
            return train(agent, plan, folder, recorders, stop)
        finally:
            agent.close()


def _interrupted(
    folder: RunFolder,
    objects: Mapping[str, Any],
    resources: Mapping[str, Any],
    trust: bool | None,
    total_timesteps: int | None,
) -> tuple[Agent, TrainingPlan]:
    """The agent and the plan of a run that is not over, or gets more steps; see `resume`."""
    saved = folder.read_config()
    try:
        config, plan = config_from_json(saved["agent"]), TrainingPlan.from_json(saved["plan"])
    except KeyError as error:
        raise FileFormatError(f"{folder.config}: {error} is missing") from error
    if total_timesteps is not None:
        plan = plan.extended(total_timesteps)
    elif folder.agent.exists():
        raise RunFolderError(
            f"{folder.path} is finished: nothing is left to resume; with a larger budget it goes "
            "on (--timesteps, or total_timesteps= in Python)"
        )
    reason = FAMILIES[saved["agent"]["family"]].not_resumable
    if reason:
        raise RunFolderError(
            f"{folder.path} is a run of {config.agent}, which cannot be resumed: {reason}"
        )
    if not folder.checkpoint.exists():  # stopped before the first generation was saved
        agent = agent_of(config.with_objects(objects), Resources(**resources))
    else:
        agent = load_agent(folder.checkpoint, trust=trust, **objects, **resources)
    # Resolved: the run may have been saved before some options existed.
    if agent.config != {"family": saved["agent"]["family"], **config.resolved().to_json()}:
        raise RunFolderError(
            f"{folder.checkpoint} was written by another configuration than {folder.config}; "
            "one of the two was replaced"
        )
    for path in (folder.path, folder.failures):
        remove_leftovers(path)
    if total_timesteps is not None:
        folder.agent.unlink(missing_ok=True)  # first: without it the run is not over
        write_json(folder.config, {**saved, "plan": asdict(plan)})
    return agent, plan
