from .environment import (
    MujocoTaskEnv as MujocoTaskEnv,
    environment_of as environment_of,
    register_mujoco as register_mujoco,
)
from .task import CompiledMujoco as CompiledMujoco
