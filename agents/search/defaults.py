"""zorl's own settings of the search agents, for any task.

The defaults are for networks whose inputs are normalised: parameters of a MLP start within ±1,
and a perturbation must be large enough to change what the policy does. They were chosen on
MountainCar-v0, and checked on CartPole-v1, Acrobot-v1, Pendulum-v1 and MountainCarContinuous-v0,
by validation episodes of seeds from 100 on; no held-out seed was looked at. Agents with raw
differences (spsa, two-point, mpge) carry the scale of the returns in their learning rate: theirs
is right for returns of around a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Episodes per candidate that follow the noise. CMA-ES does better with two, always: see
# docs/mountain_car.md; the others have not been compared yet.
_NOISE = {"episodes": 2, "max_episodes": 50}

# Fields of `SearchConfig` and arguments of the recipe, by agent.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "cma-es": {"sigma0": 1.0, "episodes": 2},
    "sep-cma-es": {"sigma0": 1.0, **_NOISE},
    "lm-ma-es": {"sigma0": 1.0, **_NOISE},
    "ipop-cma-es": {"sigma0": 1.0, **_NOISE},
    "bipop-cma-es": {"sigma0": 1.0, **_NOISE},
    "lra-cma-es": {"sigma0": 1.0, **_NOISE},
    "xnes": {"sigma0": 1.0, **_NOISE},
    "snes": {"sigma0": 1.0, **_NOISE},
    "cem": {"sigma0": 1.0, "popsize": 20, **_NOISE},
    "pgpe": {"learning_rate": 0.5, "sigma": 1.0, "m": 8, **_NOISE},
    "ars": {"learning_rate": 0.3, "radius": 0.3, "m": 8, "top": 4, **_NOISE},
    "openai-es": {"learning_rate": 0.3, "sigma": 1.0, "m": 8, **_NOISE},
    "es": {"learning_rate": 0.1, "sigma": 0.3, "m": 8, **_NOISE},
    "spsa": {"learning_rate": 0.01, "radius": 0.3, "m": 8, **_NOISE},
    "two-point": {"learning_rate": 0.01, "radius": 0.3, "m": 8, **_NOISE},
    "mpge": {"learning_rate": 0.01, "radius": 0.3, "m": 8, **_NOISE},
    "guided-es": {"learning_rate": 0.01, "sigma": 0.3, "m": 8, **_NOISE},
    # As published: of estimates that are ∇f/d, and of steps that do not shrink.
    "mpge-average": {"learning_rate": 0.25, "radius": 1.0, "m": 8, **_NOISE},
    "two-point-unit": {"learning_rate": 0.25, "radius": 1.0, "m": 8, **_NOISE},
    "sigma-r-forward": {"learning_rate": 0.3, "radius": 0.3, "m": 8, "top": 4, **_NOISE},
    "es-normalised": {"learning_rate": 0.1, "sigma": 0.3, "m": 8, **_NOISE},
    "random-search": {"radius": 1.0, "popsize": 16, "episodes": 5},
}
