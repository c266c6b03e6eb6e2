"""The algorithms of stable-baselines3 that are baselines, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gymnasium import spaces

from zorl.common.errors import ConfigurationError
from zorl.common.references import import_for
from zorl.common.registry import Registry

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class Algorithm:
    """An algorithm with the interface of stable-baselines3's.

    Attributes:
        reference: its class, as "module:Class"; imported when an agent is made.
        actions: the kinds of action spaces that it can act in.
        acting: how the names of the parameters begin that a deterministic action depends on.
        scales: whether its actions are scaled to the bounds of a Box.
    """

    reference: ClassVar[str]
    actions: ClassVar[tuple[type[spaces.Space[Any]], ...]]
    acting: ClassVar[tuple[str, ...]]
    scales: ClassVar[bool] = False

    @classmethod
    def load(cls) -> type[BaseAlgorithm]:
        """The class itself.

        Raises:
            ConfigurationError: its library is not installed, or has no such class.
        """
        module, _, name = cls.reference.partition(":")
        library = import_for(module, f"the baseline {cls.__name__}")
        found: type[BaseAlgorithm] | None = getattr(library, name, None)
        if found is None:
            raise ConfigurationError(
                f"the baseline {cls.__name__}: {module} {getattr(library, '__version__', '')} has "
                f"no {name!r}; it may be too old"
            )
        return found


BASELINES: Registry[type[Algorithm]] = Registry("baseline")
register_baseline = BASELINES.register


class _ActorCritic(Algorithm):
    actions = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    acting = (
        "features_extractor.",
        "pi_features_extractor.",
        "mlp_extractor.policy_net.",
        "action_net.",
    )


@register_baseline("ppo")
class PPO(_ActorCritic):
    """Proximal policy optimization, of stable-baselines3."""

    reference = "stable_baselines3:PPO"


@register_baseline("a2c")
class A2C(_ActorCritic):
    """Advantage actor-critic, of stable-baselines3."""

    reference = "stable_baselines3:A2C"


@register_baseline("dqn")
class DQN(Algorithm):
    """Deep Q-learning, of stable-baselines3."""

    reference = "stable_baselines3:DQN"
    actions = (spaces.Discrete,)
    acting = ("q_net.",)


@register_baseline("sac")
class SAC(Algorithm):
    """Soft actor-critic, of stable-baselines3."""

    reference = "stable_baselines3:SAC"
    actions = (spaces.Box,)
    acting = ("actor.",)
    scales = True


@register_baseline("td3")
class TD3(Algorithm):
    """Twin delayed deep deterministic policy gradient, of stable-baselines3."""

    reference = "stable_baselines3:TD3"
    actions = (spaces.Box,)
    acting = ("actor.",)
    scales = True
