from . import (
    agents as agents,
    cli as cli,
    common as common,
    comparison as comparison,
    envs as envs,
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
from .agents.base import (
    Agent as Agent,
    BaseAgent as BaseAgent,
    register_family as register_family,
)
from .agents.plan import TrainingPlan as TrainingPlan
from .agents.registry import (
    list_agents as list_agents,
    load_agent as load_agent,
    make_agent as make_agent,
)
from .agents.training import resume as resume, train as train
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
from .policies.mlp import LinearPolicy as LinearPolicy, MlpPolicy as MlpPolicy
from .policies.module import ModulePolicy as ModulePolicy
from .rollout.evaluation import FunctionEvaluator as FunctionEvaluator
from .runs.folder import RunFolder as RunFolder
from .runs.result import HeldOut as HeldOut, RunResult as RunResult
from .search.loop import Search as Search
from .search.minibatch import MinibatchObjective as MinibatchObjective
from .search.optimize import maximize as maximize, minimize as minimize

__version__: str
