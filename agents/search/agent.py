"""The search agent: an optimizer, a policy network and rollouts behind SB3's verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from zorl.agents.base import (
    DEFAULT_RESOURCES,
    NO_OBJECTS,
    BaseAgent,
    log,
    read_agent,
    register_family,
)
from zorl.agents.search.auto import AUTO, SUMMARY
from zorl.agents.search.callbacks import Hook, as_hook
from zorl.agents.search.config import SearchConfig
from zorl.agents.search.incumbent import Incumbent
from zorl.agents.search.objects import label
from zorl.agents.warm_start import begin
from zorl.common.errors import EnvironmentFailure, FileFormatError, GenerationGivenUp
from zorl.common.options import Option, describe_options
from zorl.common.storage import Arrays, check_writable, flatten, save_archive, unflatten
from zorl.common.streams import Streams, checked_seeds
from zorl.common.types import Stop
from zorl.envs import own
from zorl.envs.ids import close_env
from zorl.envs.repeatable import warn_if_not_repeatable
from zorl.envs.task import has_time_limit
from zorl.export.snapshot import Snapshot
from zorl.optimizers.registry import METHODS
from zorl.policies.mlp import Policy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.source import (
    check_network,
    check_same_fixed,
    fixed_of,
    make_policy,
    network_of,
    tell_if_unnamed,
)
from zorl.policies.spaces import ActionDecoder, check_spaces
from zorl.recorders.base import Recorder
from zorl.rollout.backend import BackendSetup, Resources
from zorl.rollout.choice import make_backend, resolve_backend
from zorl.rollout.compiled.base import KernelBackend
from zorl.rollout.evaluation import Evaluation
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.failures import FailedEpisode, FailureRule
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.processes.backend import ProcessBackend
from zorl.runs.failed_episodes import save_episode
from zorl.runs.result import WorkersUsed
from zorl.search.budget import Budget
from zorl.search.loop import Search
from zorl.search.records import Counters, SearchState


@register_family("search")
class SearchAgent(BaseAgent):
    """Learns a task by zeroth-order search over the parameters of a policy network.

    Args:
        config: what and how to learn.
        resources: where episodes run; results do not depend on it.
        fixed: saved buffers and frozen parameters of a network of the user's own; None leaves it
            those that it has.
    """

    config_class = SearchConfig
    _config: SearchConfig

    def __init__(
        self,
        config: SearchConfig,
        resources: Resources = DEFAULT_RESOURCES,
        fixed: Arrays | None = None,
    ) -> None:
        config = config.resolved()
        self.name = label(config.agent).strip("<>")
        self.task = config.task
        env = self.task.make()
        try:
            check_spaces(env)
            warn_if_not_repeatable(env, self.task)
            self._limited = has_time_limit(env)
            self._encoder = ObservationEncoder.for_space(env.observation_space)
            decoder = ActionDecoder.for_space(env.action_space, config.stochastic)
            self._decoder = replace(decoder, noise_std=config.noise_std)
        finally:
            close_env(env)
        if self._decoder.unscaled:
            log.warning("%s: %s", self.task.env_id, self._decoder.unscaled)
        self.policy: Policy = make_policy(
            self._encoder.size, self._decoder, fixed=fixed, **config.network
        )
        uniforms = self._decoder.outputs if config.stochastic else 0
        setup = BackendSetup(
            self.task,
            self.policy,
            self._encoder,
            resources,
            FailureRule(config.on_failure, partial(self._keep, uniforms)),
            allow_non_finite=config.non_finite == "worst",
        )
        self._config = replace(config, backend=resolve_backend(config.backend, setup))
        self._backend = make_backend(self._config.backend, setup)
        self._evaluator = RolloutEvaluator(self._backend, config.alive_bonus_offset)
        streams = Streams(config.seed)
        self.search = Search(
            config.optimizer(),
            self._evaluator,
            streams,
            config.make_gate(),
            config.episodes,
            config.max_episodes,
        )
        normalizer = Normalizer.create(config.normalize, self._encoder.low, self._encoder.high)
        theta = self.policy.init(streams.init())
        start = np.zeros_like(theta) if config.zero_policy else theta
        self.state = self.search.init(start, normalizer)
        check_writable(*self._contents())
        allow_non_finite = config.non_finite == "worst"
        self._greedy = GymnasiumRunner(
            self.task, self.policy, resources.lanes, allow_non_finite=allow_non_finite
        )
        self._lanes = resources.lanes
        self._told = False

    @classmethod
    def list_agents(cls) -> dict[str, str]:
        """See `BaseAgent`."""
        return {AUTO: SUMMARY, **METHODS.summaries()}

    @classmethod
    def list_options(cls, agent: str) -> list[Option]:
        """See `BaseAgent`: the arguments of the optimizer's recipe."""
        return [] if agent == AUTO else describe_options(METHODS[agent])

    @classmethod
    def has(cls, agent: Any) -> bool:
        """See `BaseAgent`: a method's name, a recipe as "module:function", or an optimizer."""
        return not isinstance(agent, str) or ":" in agent or agent in (AUTO, *METHODS)

    @property
    def num_timesteps(self) -> int:
        """Env steps charged to training: candidates and gate."""
        return self.state.counters.env_steps

    @property
    def num_episodes(self) -> int:
        """Episodes charged to training: candidates and gate."""
        return self.state.counters.episodes

    @property
    def num_records(self) -> int:
        """Generations so far."""
        return self.state.generation

    @property
    def counters(self) -> Counters:
        """Exact counts by purpose."""
        return self.state.counters

    @property
    def parameters(self) -> int:
        """Number of policy parameters."""
        return self.policy.dim

    def _learn(self, target: int, callback: Any, recorder: Recorder, stop: Stop | None) -> None:
        hook = as_hook(callback, self, target)
        hook.start()
        try:
            # Policies' matrices are small: threads would only wait for each other.
            with threadpool_limits(1, "blas"):
                self._search(target, hook, recorder, stop)
        except GenerationGivenUp as error:
            self.given_up = str(error)
            log.warning(
                "%s: %s; the policy stays that of the generation before; let episodes end sooner "
                "(--max-episode-steps), or take a larger budget (--timesteps), fewer candidates or "
                "fewer episodes a candidate",
                self.task.env_id,
                error,
            )
        finally:
            hook.finish()

    def _search(self, target: int, hook: Hook, recorder: Recorder, stop: Stop | None) -> None:
        budget = Budget(total_timesteps=target)
        for generation in self.search.run(self.state, until=budget, stop=stop):
            self.state = generation.state
            try:
                goes_on = hook.record(generation)
            finally:
                figures = hook.take_figures()
                recorder.record(replace(generation, figures=figures) if figures else generation)
            if not generation.evaluation.env_steps:
                raise EnvironmentFailure(
                    f"not one episode of generation {generation.index} could be played to its "
                    "end, so that the budget of env steps would last for ever; mend the environment"
                )
            if not goes_on:
                return

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """The action for one observation or a batch of them, and the state of a policy with memory.

        Such a policy takes and returns its state as SB3's recurrent policies do; without memory
        `state` is returned as it came. `deterministic` is there for SB3's callers: this always
        gives the best action, also of a policy that was trained as a stochastic one.

        Args:
            observation: one, or a batch of n.
            state: what the last call returned; None where episodes begin.
            episode_start: (n,) where an episode begins, so that the state counts for nothing.
            deterministic: see above.
        """
        return self.incumbent().predict(observation, state, episode_start, deterministic)

    def incumbent(self) -> Incumbent:
        """See `Agent`."""
        return Incumbent(self.policy, self._encoder, self.state.theta, self.state.normalizer)

    def evaluate(self, seeds: Iterable[int] | None = None) -> Evaluation:
        """One deterministic episode from each seed with the incumbent; arrays (1, e).

        Always in Gymnasium's environment, whatever plays the episodes of the search.

        Raises:
            TooManySteps: they have no time limit, and took more than 10,000 steps on average.
        """
        seeds = checked_seeds(seeds)
        thetas = self.state.theta[None]
        if self._config.backend == "gymnasium" and not self._config.stochastic:
            evaluator = RolloutEvaluator(self._backend)
            return self._measured(evaluator, thetas, seeds, self.state.normalizer)
        rule = FailureRule(self._config.on_failure, partial(self._keep, 0))
        evaluator = RolloutEvaluator(SerialBackend(self._greedy, rule))
        if self._lanes is None:
            return self._measured(evaluator, thetas, seeds, self.state.normalizer)
        self._backend.close()  # there are never more environments than were allowed
        try:
            return self._measured(evaluator, thetas, seeds, self.state.normalizer)
        finally:
            self._greedy.close()

    def snapshot(self) -> Snapshot:
        """See `BaseAgent`."""
        about = f"the policy of {self.name} on {self.task.env_id}"
        state = self.state
        return Snapshot(about, self.policy, state.theta, state.normalizer, self._encoder)

    def _keep(self, uniforms: int, episode: FailedEpisode) -> Path | None:
        """Save a failed episode, where there is a place for it."""
        if self.failures is None:
            return None
        return save_episode(self.failures, self.task, self.policy, episode, uniforms)

    @property
    def description(self) -> str | None:
        """What `auto` chose, and what plays the episodes, where it is not the environment."""
        chosen = self._config.source if self._config.source.startswith(f"{AUTO}: ") else None
        return "\n".join(filter(None, (chosen, self._backend.description))) or None

    @property
    def processes(self) -> ProcessBackend | None:
        """The worker processes, where there are some."""
        return self._backend if isinstance(self._backend, ProcessBackend) else None

    @property
    def result_fields(self) -> dict[str, Any]:
        """See `Agent`."""
        backend, processes = self._backend, self.processes
        seconds = backend.compile_seconds if isinstance(backend, KernelBackend) else None
        workers = processes and WorkersUsed(
            processes.workers, processes.startup_seconds, processes.replaced
        )
        return {
            "counters": self.counters,
            "claimed_return": self.state.claimed,
            "compile_seconds": seconds,
            "caution": backend.caution,
            "workers": workers,
        }

    def save(self, path: str | Path) -> None:
        """Write configuration, policy, normalizer and the whole search state, atomically.

        Of a network without a name to import, only the parameters and buffers are written; of an
        optimizer or gate that no file can hold, only the state. A warning says so, once.
        """
        if not self._told:
            self._told = True
            tell_if_unnamed(self._config.policy)
            own.tell_if_unnamed(self.task.env_id)
            for name, given in (("optimizer", self._config.agent), ("gate", self._config.gate)):
                if not isinstance(given, str):
                    log.warning(
                        "saved is the state of the %s %s, not its settings, which no file can "
                        "hold: load such a file with zorl.load_agent(path, %s=…)",
                        name,
                        label(given),
                        name,
                    )
        save_archive(path, "agent", *self._contents())

    def _contents(self) -> tuple[dict[str, Any], Arrays]:
        """Metadata and arrays of the agent's file."""
        scalars, arrays = flatten(self.state, "state")
        network, fixed = network_of(self.policy)
        metadata = {
            "family": self.family,
            "config": self._config.to_json(),
            "num_timesteps": self.num_timesteps,
            "counters": asdict(self.counters),
            "scalars": scalars,
            "network": network,
        }
        return metadata, {**arrays, **fixed}

    @classmethod
    def from_config(
        cls, config: SearchConfig, resources: Resources = DEFAULT_RESOURCES
    ) -> SearchAgent:
        """See `BaseAgent`."""
        agent = cls(config, resources)
        if config.init is not None:
            agent.state = begin(config, agent.search, agent.policy, agent.state.normalizer)
        return agent

    @classmethod
    def from_archive(
        cls,
        metadata: Mapping[str, Any],
        arrays: Arrays,
        resources: Resources = DEFAULT_RESOURCES,
        objects: Mapping[str, Any] = NO_OBJECTS,
    ) -> SearchAgent:
        """See `BaseAgent`; what the agent does and learns is bit-identical.

        Objects are `policy`, `optimizer` and `gate`.
        """
        try:
            config, scalars = SearchConfig.from_json(metadata["config"]), metadata["scalars"]
            config = config.with_objects(objects)
        except KeyError as error:
            raise FileFormatError(f"the file lacks {error}") from error
        if not isinstance(scalars, Mapping):
            raise FileFormatError(f"the state of an agent is a mapping of names, got {scalars!r}")
        network = metadata.get("network")
        agent = cls(config, resources, fixed_of(network, arrays))
        check_network(agent.policy, network)
        agent.state = agent._restored(scalars, arrays)
        return agent

    def _restored(self, scalars: Mapping[str, Any], arrays: Arrays) -> SearchState:
        """The state in a file of this agent's configuration."""
        state = unflatten(self.state, "state", scalars, arrays)
        if 255.0 in state.normalizer.high and 255.0 not in self._encoder.high:
            raise FileFormatError(
                "the file is of a version of zorl whose policies read pixels from 0 to 255, not "
                "from 0 to 1: train again"
            )
        return state

    def as_saved(self, path: str | Path) -> SearchAgent:
        """See `Agent`; the two share environments and processes."""
        metadata, arrays = read_agent(path, self.family)
        check_same_fixed(self.policy, fixed_of(metadata.get("network"), arrays), path)
        agent = copy(self)
        agent.state = self._restored(metadata["scalars"], arrays)
        return agent

    def _return_to(self, path: Path) -> None:
        self.state = self.as_saved(path).state

    def close(self) -> None:
        """Free environments and processes."""
        self._evaluator.close()
        self._greedy.close()
