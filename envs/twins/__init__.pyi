from .base import (
    CompiledEnv as CompiledEnv,
    CompiledReward as CompiledReward,
    Twin as Twin,
    find_twin as find_twin,
    register_reward_twin as register_reward_twin,
    register_twin as register_twin,
)
from .classic_control import (
    Acrobot as Acrobot,
    CartPole as CartPole,
    Momentum as Momentum,
    MountainCar as MountainCar,
    MountainCarContinuous as MountainCarContinuous,
    Pendulum as Pendulum,
)
