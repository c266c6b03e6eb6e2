"""What zorl can be trained on: tasks, reward shaping and the native return beside it."""

if __name__ != "zorl.envs":
    raise ImportError("this folder is the package zorl.envs; import that")

from zorl.envs.compiled import (
    CompiledEnv,
    CompiledReward,
    Twin,
    find_twin,
    register_reward_twin,
    register_twin,
)
from zorl.envs.from_env import task_of
from zorl.envs.mountain_car import MomentumReward
from zorl.envs.native import NativeReturn, native_recorder
from zorl.envs.options import Options
from zorl.envs.registry import find_spec
from zorl.envs.spaces import check_spaces
from zorl.envs.task import Success, Task, make_task
from zorl.envs.wrappers import WRAPPERS, find_wrapper, parse_wrapper

__all__ = [
    "WRAPPERS",
    "CompiledEnv",
    "CompiledReward",
    "MomentumReward",
    "NativeReturn",
    "Options",
    "Success",
    "Task",
    "Twin",
    "check_spaces",
    "find_spec",
    "find_twin",
    "find_wrapper",
    "make_task",
    "native_recorder",
    "parse_wrapper",
    "register_reward_twin",
    "register_twin",
    "task_of",
]
