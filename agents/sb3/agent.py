"""Stable-Baselines3's PPO, A2C, DQN, SAC and TD3 behind the agents' verbs, on equal terms.

They are trained by SB3's own code, and evaluated, counted and saved by zorl's. A file holds the
configuration, the networks and the normalisation statistics; it does not hold optimizer moments,
SAC's entropy temperature or the replay buffer. So a loaded baseline acts bit-identically, but
goes on learning with a fresh optimizer and an empty buffer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zorl.agents.base import (
    DEFAULT_RESOURCES,
    NO_OBJECTS,
    BaseAgent,
    log,
    read_agent,
    register_family,
)
from zorl.agents.sb3.algorithms import BASELINES
from zorl.agents.sb3.config import BaselineConfig
from zorl.agents.sb3.options import (
    check_action_space,
    check_observation_space,
    describe,
    keywords,
    policy_for,
)
from zorl.agents.sb3.policy import BaselinePolicy, acting_parameters, restore, to_arrays
from zorl.agents.warm_start import of_baseline, snapshot_of
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.options import Option
from zorl.common.storage import Arrays, save_archive
from zorl.common.streams import Purpose, Streams, checked_seeds
from zorl.common.types import Stop
from zorl.envs.ids import close_env
from zorl.envs.own import tell_if_unnamed
from zorl.envs.repeatable import warn_if_not_repeatable
from zorl.envs.task import has_time_limit
from zorl.export.snapshot import Snapshot
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder, check_spaces
from zorl.recorders.base import Recorder
from zorl.rollout.backend import Resources
from zorl.rollout.evaluation import Evaluation
from zorl.rollout.evaluator import RolloutEvaluator
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend

if TYPE_CHECKING:
    from zorl.agents.sb3.blocks import BlockPredictor


@register_family("sb3")
class BaselineAgent(BaseAgent):
    """A gradient-based agent of stable-baselines3.

    While it learns, torch uses one thread and the process-wide generators that SB3 draws from are
    this agent's own; both are put back afterwards. So what it learns is a function of the
    configuration and of the calls of `learn`, and several agents do not disturb each other.

    Args:
        config: what and how to learn.
        lanes: environments stepped side by side in an evaluation; by default as many as pay. With
            1, and one environment to train in, there is never a second one.

    Attributes:
        model: the SB3 algorithm, for what has no verb here.

    Raises:
        ConfigurationError: options or an action space that the algorithm cannot work with.
    """

    config_class = BaselineConfig
    not_resumable = (
        "stable-baselines3 keeps no state of environments and random numbers; train it again"
    )
    # Measured with PPO on CartPole: 80 µs for a step of validation, 1.2 ms for one of training. The
    # other algorithms train more slowly.
    training_per_validation = 0.35
    _config: BaselineConfig

    def __init__(self, config: BaselineConfig, lanes: int | None = None) -> None:
        from zorl.agents.sb3.callbacks import FiguresLogger
        from zorl.agents.sb3.training import PrivateRandomness

        self._config = config.resolved()
        self._lanes = lanes
        self._only_one = lanes == 1 and self._config.n_envs == 1
        self.name = config.agent
        self.task = config.task
        self._episodes = self._records = 0
        self._saved: list[BaselineAgent] = []
        self._private = PrivateRandomness()
        with self._alone():
            self.model = self._build(self._seed(0))
        self._release()
        self.model.set_logger(FiguresLogger())
        self._normalizer = self.model.get_vec_normalize_env()
        self._runner: GymnasiumRunner | None = None

    def _build(self, seed: int) -> Any:
        from zorl.agents.sb3.training import make_training_env

        config, options = self._config, {**self._config.options}
        probe = self.task.make()
        try:
            check_spaces(probe)
            check_observation_space(self.task.env_id, probe.observation_space)
            warn_if_not_repeatable(probe, self.task)
            self._limited = has_time_limit(probe)
            check_action_space(config.agent, self.task.env_id, probe.action_space)
            self._encoder = ObservationEncoder.for_space(probe.observation_space)
            if config.normalize and self._encoder.kind != "box":
                raise ConfigurationError(
                    f"normalize needs Box observations, but those of {self.task.env_id} are "
                    f"{probe.observation_space}"
                )
            if options["policy"] == "auto":
                options["policy"] = policy_for(probe.observation_space)
                self._config = replace(config, options=options)
            arguments = keywords(config.agent, options, probe.action_space, config.n_envs)
        finally:
            close_env(probe)
        env = make_training_env(
            self.task, config.n_envs, config.normalize, options["gamma"], self._only_one
        )
        try:
            return BASELINES[config.agent].load()(env=env, seed=seed, device="cpu", **arguments)
        # SB3 checks its arguments with assertions as well.
        except (AssertionError, TypeError, ValueError) as error:
            close_env(env)
            raise ConfigurationError(f"{config.agent} cannot be made: {error}") from error

    def _release(self) -> None:
        """Close the environment of the training until it is used, where there may be only one."""
        if self._only_one:
            self.model.get_env().env_method("release")

    def _seed(self, num_timesteps: int) -> int:
        """SB3's seed at a point of the training; environment i gets this + i."""
        return Streams(self._config.seed).seeds(Purpose.INIT, num_timesteps, 1)[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        from zorl.policies.module import one_torch_thread

        with self._private.inside(), one_torch_thread():
            yield

    @classmethod
    def list_agents(cls) -> dict[str, str]:
        """See `BaseAgent`."""
        return BASELINES.summaries()

    @classmethod
    def list_options(cls, agent: str) -> list[Option]:
        """See `BaseAgent`: the arguments of the SB3 class."""
        return describe(agent)

    @property
    def num_timesteps(self) -> int:
        """Env steps taken in training; on-policy algorithms take whole rollouts."""
        return int(self.model.num_timesteps)

    @property
    def num_episodes(self) -> int:
        """Episodes that ended in training."""
        return self._episodes

    @property
    def num_records(self) -> int:
        """Reports so far."""
        return self._records

    @property
    def parameters(self) -> int:
        """Number of parameters that its deterministic action depends on.

        The actor of PPO, A2C, SAC and TD3 and the Q network of DQN; no critic, no target network,
        and not what sets the spread of the exploration.
        """
        return acting_parameters(self.name, self.model.policy)

    def _learn(self, target: int, callback: Any, recorder: Recorder, stop: Stop | None) -> None:
        """See `BaseAgent`.

        On-policy algorithms take whole rollouts, so that they may take up to one rollout more.
        Schedules are SB3's: their end is `target`. The callback sees the SB3 model; the files that
        it saves can be loaded by zorl too. `stop` is asked after every step of the environments.
        """
        from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback

        from zorl.agents.sb3.callbacks import saved_for_both
        from zorl.agents.sb3.training import Reporter

        reporter = Reporter(recorder, stop, self._records, self._count)
        callbacks: list[BaseCallback] = [reporter]
        for item in callback if isinstance(callback, (list, tuple)) else [callback]:
            if item is not None:
                own = isinstance(item, BaseCallback)
                callbacks.append(item if own else ConvertCallback(item))
        try:
            with self._alone(), saved_for_both(self.model, self._contents):
                self.model.learn(
                    target - self.num_timesteps,
                    CallbackList(callbacks),
                    log_interval=None,
                    reset_num_timesteps=False,
                )
        finally:
            self._records = reporter.index

    def _count(self, episodes: int) -> None:
        self._episodes += episodes

    @cached_property
    def _in_blocks(self) -> BlockPredictor:
        from zorl.agents.sb3.blocks import BlockPredictor

        return BlockPredictor(self.model)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """The action for one observation or a batch of them, as the environment gives them.

        Observations are normalised here, with the statistics of the training. Unlike SB3's own
        method, whose default is False, this is deterministic unless told otherwise. Then the bits
        of an action depend on its observation alone, not on the others in a batch.
        """
        if self._normalizer is not None:
            observation = self._normalizer.normalize_obs(np.asarray(observation))
        if deterministic and self._in_blocks.block is not None:
            action = self._in_blocks(observation)
        else:
            action, state = self.model.predict(observation, state, episode_start, deterministic)
        return action[()], state  # an array of no dimension becomes the number that Gymnasium takes

    def evaluate(self, seeds: Iterable[int] | None = None) -> Evaluation:
        """One deterministic episode from each seed, as search agents are evaluated; (1, e).

        Raises:
            TooManySteps: they have no time limit, and took more than 10,000 steps on average.
        """
        from zorl.policies.module import one_torch_thread

        seeds = checked_seeds(seeds)
        if self._runner is None:
            # One lane where several would save nothing: an episode must not depend on others.
            lanes = self._lanes if (self._in_blocks.block or 1) > 1 else 1
            policy = BaselinePolicy(self.predict, self._encoder)
            self._runner = GymnasiumRunner(self.task, policy, lanes)
        evaluator = RolloutEvaluator(SerialBackend(self._runner))
        off = Normalizer.create("off", [], [])
        self._release()
        try:
            with one_torch_thread():
                return self._measured(evaluator, np.zeros((1, 0)), seeds, off)
        finally:
            if self._only_one:
                self._runner.close()

    def snapshot(self) -> Snapshot:
        """See `BaseAgent`: zorl's network of the same function, up to the rounding of float32."""
        about = f"the policy of {self.name} on {self.task.env_id}"
        decoder = ActionDecoder.for_space(self.model.action_space)
        return snapshot_of(of_baseline(self.model, self.name), about, self._encoder, decoder)

    def save(self, path: str | Path) -> None:
        """Write configuration, networks and normalisation statistics, atomically."""
        tell_if_unnamed(self.task.env_id)
        save_archive(path, "agent", *self._contents())

    def _contents(self) -> tuple[dict[str, Any], Arrays]:
        """Metadata and arrays of the agent's file."""
        metadata = {
            "family": self.family,
            "config": self._config.to_json(),
            "num_timesteps": self.num_timesteps,
            "num_episodes": self.num_episodes,
        }
        return metadata, to_arrays(self.model)

    @classmethod
    def from_config(
        cls, config: BaselineConfig, resources: Resources = DEFAULT_RESOURCES
    ) -> BaselineAgent:
        """See `BaseAgent`."""
        if resources.ray is not None or resources.timeout is not None:
            raise ConfigurationError(
                f"{config.agent} is a baseline of stable-baselines3, which runs in this process: "
                "neither on Ray nor with a timeout"
            )
        return cls(config, resources.lanes)._told(resources)

    def _told(self, resources: Resources) -> BaselineAgent:
        """Return the agent; a notice names resources that it makes no use of."""
        ignored = [
            f"{item.name} = {getattr(resources, item.name)}"
            for item in fields(resources)
            if item.name != "lanes" and getattr(resources, item.name) not in (None, 1)
        ]
        if ignored:
            log.warning(
                "%s is a baseline of stable-baselines3, which trains in this process: %s has no "
                "effect; n_envs is the number of its environments",
                self.name,
                " and ".join(ignored),
            )
        if resources.lanes == 1 and not self._only_one:
            log.warning(
                "%s trains in %d environments: where only one may exist, set n_envs = 1 as well",
                self.name,
                self._config.n_envs,
            )
        return self

    @classmethod
    def from_archive(
        cls,
        metadata: Mapping[str, Any],
        arrays: Arrays,
        resources: Resources = DEFAULT_RESOURCES,
        objects: Mapping[str, Any] = NO_OBJECTS,
    ) -> BaselineAgent:
        """See `BaseAgent`; the agent acts bit-identically; see the module on learning."""
        try:
            config = BaselineConfig.from_json(metadata["config"]).with_objects(objects)
            counts = metadata["num_timesteps"], metadata["num_episodes"]
        except KeyError as error:
            raise FileFormatError(f"the file lacks {error}") from error
        for count in counts:
            if type(count) is not int or not 0 <= count < 2**63:
                raise FileFormatError(f"the file has a count of {count!r}, expected an integer ≥ 0")
        agent = cls(config, resources.lanes)
        try:
            agent._restore(*counts, arrays)
        except (KeyError, RuntimeError, ValueError) as error:  # torch's and numpy's, of shapes
            agent.close()
            raise FileFormatError(f"the file does not fit its configuration: {error}") from error
        return agent._told(resources)

    def _restore(self, num_timesteps: int, num_episodes: int, arrays: Arrays) -> None:
        restore(self.model, arrays)
        self.model.num_timesteps, self._episodes = num_timesteps, num_episodes
        with self._alone():  # else it would play the episodes of its beginning again
            self.model.set_random_seed(self._seed(num_timesteps))
            if self.model.use_sde:  # its noise was drawn with the spread of a new policy
                self.model.policy.reset_noise()

    def as_saved(self, path: str | Path) -> BaselineAgent:
        """See `Agent`."""
        self._release()
        agent = type(self).load(path, lanes=self._lanes, env=self.task)
        self._saved.append(agent)
        return agent

    def _return_to(self, path: Path) -> None:
        metadata, arrays = read_agent(path, self.family)
        self._restore(metadata["num_timesteps"], metadata["num_episodes"], arrays)

    def close(self) -> None:
        """Free environments."""
        for agent in self._saved:
            agent.close()
        close_env(self.model.get_env())
        if self._runner is not None:
            self._runner.close()
