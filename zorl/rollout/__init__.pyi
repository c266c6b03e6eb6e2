from .backend import Backend as Backend
from .batch import Episodes as Episodes, Runner as Runner, Work as Work
from .evaluation import (
    Evaluation as Evaluation,
    Evaluator as Evaluator,
    FunctionEvaluator as FunctionEvaluator,
)
from .evaluator import RolloutEvaluator as RolloutEvaluator
from .failures import FailedEpisode as FailedEpisode, FailureRule as FailureRule
from .local.gymnasium_runner import EpisodeRunner as EpisodeRunner
from .local.serial import Serial as Serial
from .processes.backend import Processes as Processes
from .vector.runner import VectorRunner as VectorRunner
