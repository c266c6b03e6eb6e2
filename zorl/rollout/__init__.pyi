from .backend import Backend as Backend
from .batch import (
    EnvRunner as EnvRunner,
    EpisodeBatch as EpisodeBatch,
    EpisodeResults as EpisodeResults,
)
from .evaluation import (
    Evaluation as Evaluation,
    Evaluator as Evaluator,
    FunctionEvaluator as FunctionEvaluator,
)
from .evaluator import RolloutEvaluator as RolloutEvaluator
from .failures import FailedEpisode as FailedEpisode, FailureRule as FailureRule
from .local.gymnasium_runner import GymnasiumRunner as GymnasiumRunner
from .local.serial import SerialBackend as SerialBackend
from .processes.backend import ProcessBackend as ProcessBackend
from .vector.runner import VectorRunner as VectorRunner
