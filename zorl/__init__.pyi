from . import (
    agents as agents,
    cli as cli,
    common as common,
    comparison as comparison,
    envs as envs,
    export as export,
    networks as networks,
    optimizers as optimizers,
    policies as policies,
    recorders as recorders,
    rollout as rollout,
    runs as runs,
    search as search,
    studies as studies,
    testing as testing,
)
from .agents.agent import Agent as Agent
from .agents.base import (
    BaseAgent as BaseAgent,
    register_family as register_family,
)
from .agents.plan import TrainingPlan as TrainingPlan
from .agents.registry import (
    list_agents as list_agents,
    load_agent as load_agent,
    make_agent as make_agent,
)
from .agents.resuming import resume as resume
from .agents.training import train as train
from .common.errors import (
    ConfigurationError as ConfigurationError,
    DivergedError as DivergedError,
    EnvironmentFailure as EnvironmentFailure,
    FileFormatError as FileFormatError,
    NonFiniteRewardError as NonFiniteRewardError,
    RunFolderError as RunFolderError,
    UnknownNameError as UnknownNameError,
    UnsupportedSpaceError as UnsupportedSpaceError,
    ZorlError as ZorlError,
)
from .common.streams import Streams as Streams
from .comparison.spec import Comparison as Comparison
from .envs.from_env import task_of as task_of
from .envs.task import Task as Task, make_task as make_task
from .envs.twins.base import register_twin as register_twin
from .envs.wrappers.registry import register_wrapper as register_wrapper
from .optimizers.registry import register_method as register_method
from .policies.mlp import LinearPolicy as LinearPolicy, MlpPolicy as MlpPolicy
from .policies.module import ModulePolicy as ModulePolicy
from .recorders.registry import register_recorder as register_recorder
from .rollout.backend import Resources as Resources, register_backend as register_backend
from .rollout.evaluation import FunctionEvaluator as FunctionEvaluator
from .runs.folder import RunFolder as RunFolder
from .runs.result import HeldOut as HeldOut, RunResult as RunResult
from .search.gates import register_gate as register_gate
from .search.loop import Search as Search
from .search.minibatch import MinibatchObjective as MinibatchObjective
from .search.optimize import maximize as maximize, minimize as minimize

__version__: str
