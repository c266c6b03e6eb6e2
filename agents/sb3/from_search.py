"""A policy of zorl's as the actor of a model of stable-baselines3, which goes on learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from zorl.agents.sb3.training import make_training_env
from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.envs import Task
from zorl.export.snapshot import Snapshot

ALGORITHMS = {"ppo": PPO, "a2c": A2C}
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
}


class Normalised(BaseFeaturesExtractor):
    """Features that are normalised by fixed statistics, as a search's were.

    Args:
        observation_space: of the task.
        center: (o,) is subtracted.
        factor: (o,) is multiplied.
        clip: largest absolute value.
    """

    def __init__(
        self, observation_space: Any, center: list[float], factor: list[float], clip: float
    ) -> None:
        super().__init__(observation_space, len(center))
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64))
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float64))
        self._clip = clip

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(n, o) normalised features, single precision."""
        values: Any = observations.flatten(1).double()
        scaled: torch.Tensor = ((values - self.center) * self.factor).clamp(-self._clip, self._clip)
        return scaled.float()


def to_sb3(snapshot: Snapshot, task: Task, algorithm: str, options: Mapping[str, Any]) -> Any:
    """A model whose deterministic actions are those of a policy.

    Args:
        snapshot: the policy.
        task: what the model is to learn.
        algorithm: "ppo" or "a2c".
        options: arguments of its class, as learning_rate.

    Raises:
        UnknownNameError: another algorithm.
        ConfigurationError: a policy that the algorithm's actor cannot be.
    """
    if algorithm not in ALGORITHMS:
        raise UnknownNameError("algorithm that a policy can become", algorithm, ALGORITHMS)
    policy, encoder, decoder = snapshot.mlp, snapshot.encoder, snapshot.decoder
    lacking = {
        "squash": policy.squash,
        "bias=False": not policy.bias,
        "pixels as observations": encoder.kind == "pixels",
        "actions that do not begin at 0": any(decoder.start),
    }
    if any(lacking.values()):
        named = ", ".join(name for name, there in lacking.items() if there)
        raise ConfigurationError(f"the policy has {named}, which no actor of {algorithm}'s has")
    affine = snapshot.affine() or (np.zeros(encoder.size), np.ones(encoder.size), np.inf)
    network = {
        "net_arch": {"pi": [*policy.hidden], "vf": [64, 64]},
        "activation_fn": _ACTIVATIONS[policy.activation],
        "features_extractor_class": Normalised,
        "features_extractor_kwargs": {
            "center": affine[0].tolist(),
            "factor": affine[1].tolist(),
            "clip": float(affine[2]),
        },
    }
    given = {**options}
    given["policy_kwargs"] = {**network, **given.pop("policy_kwargs", {})}
    given = {"device": "cpu", **given}
    env = make_training_env(task, given.pop("n_envs", 1), False, given.get("gamma", 0.99))
    model = ALGORITHMS[algorithm]("MlpPolicy", env, **given)
    actor: Any = model.policy
    linear = [part for part in actor.mlp_extractor.policy_net if isinstance(part, nn.Linear)]
    with torch.no_grad():
        parts = [*linear, actor.action_net]
        for part, (weight, bias) in zip(parts, snapshot.layers(), strict=True):
            if part is actor.action_net and decoder.kind == "box":  # its outputs are the actions
                half, middle, _, _ = decoder.range
                weight, bias = weight * half, bias * half + middle
            part.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.T)))
            part.bias.copy_(torch.from_numpy(np.asarray(bias)))
    return model
