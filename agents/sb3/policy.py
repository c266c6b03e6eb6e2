"""A policy of SB3 as zorl counts it, runs it and writes it to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zorl.agents.sb3.algorithms import BASELINES
from zorl.common.storage import Arrays
from zorl.policies.mlp import Actor
from zorl.policies.observations import ObservationEncoder

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import nn


def acting_parameters(agent: str, policy: nn.Module) -> int:
    """Number of parameters that a deterministic action depends on.

    The actor of PPO, A2C, SAC and TD3 and the Q network of DQN; no critic, no target network, and
    not what sets the spread of the exploration.
    """
    return sum(
        parameter.numel()
        for name, parameter in policy.named_parameters()
        if name.startswith(BASELINES[agent].acting) and "log_std" not in name
    )


def to_arrays(model: BaseAlgorithm) -> Arrays:
    """Networks and normalisation statistics of a model, by name."""
    arrays = {
        f"policy.{name}": tensor.detach().numpy().copy()
        for name, tensor in model.policy.state_dict().items()
    }
    for name, moments in _statistics(model).items():
        for part in ("mean", "var", "count"):
            arrays[f"{name}.{part}"] = np.asarray(getattr(moments, part))
    return arrays


def restore(model: BaseAlgorithm, arrays: Arrays) -> None:
    """Put into a model what `to_arrays` took from one of the same configuration.

    Raises:
        KeyError, RuntimeError, ValueError: an array is missing or has another shape.
    """
    import torch

    weights = {
        name.removeprefix("policy."): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith("policy.")
    }
    model.policy.load_state_dict(weights)
    for name, moments in _statistics(model).items():
        for part in ("mean", "var"):
            shape = np.shape(getattr(moments, part))
            setattr(moments, part, arrays[f"{name}.{part}"].reshape(shape))
        moments.count = float(arrays[f"{name}.count"].item())


def _statistics(model: BaseAlgorithm) -> dict[str, Any]:
    """Running moments of SB3's VecNormalize, by name; none where nothing is normalised."""
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return {}
    return {"observations": normalizer.obs_rms, "returns": normalizer.ret_rms}


@dataclass(frozen=True)
class BaselinePolicy:
    """SB3's policy as the hot loop wants it; it has no parameters that could be varied."""

    predict: Callable[[Any], tuple[Any, Any]]
    encoder: ObservationEncoder

    def bind(self, thetas: NDArray[np.float32]) -> Actor:
        """See `zorl.rollout.local.step_batch.BatchPolicy`."""
        encoder, predict = self.encoder, self.predict

        def actor(n: int, features: NDArray[Any], uniforms: NDArray[Any] | None) -> Any:
            actions = predict(encoder.observations(features))[0]
            return actions.tolist() if actions.dtype.kind in "iu" and actions.ndim == 1 else actions

        return actor
