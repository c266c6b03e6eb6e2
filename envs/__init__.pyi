from .from_env import as_task as as_task, given_again as given_again, task_of as task_of
from .ids import find_spec as find_spec
from .mujoco.environment import register_mujoco as register_mujoco
from .mujoco.task import CompiledMujoco as CompiledMujoco
from .task import Success as Success, Task as Task, make_task as make_task
from .twins.base import (
    CompiledEnv as CompiledEnv,
    CompiledReward as CompiledReward,
    Twin as Twin,
    find_twin as find_twin,
    register_reward_twin as register_reward_twin,
    register_twin as register_twin,
)
from .wrappers.mask_observation import MaskObservation as MaskObservation
from .wrappers.momentum_reward import MomentumReward as MomentumReward
from .wrappers.native_return import NativeReturn as NativeReturn, native_recorder as native_recorder
from .wrappers.registry import (
    WRAPPERS as WRAPPERS,
    find_wrapper as find_wrapper,
    parse_wrapper as parse_wrapper,
    register_wrapper as register_wrapper,
)
