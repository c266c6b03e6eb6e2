from .backend import (
    BACKENDS as BACKENDS,
    Backend as Backend,
    BackendSetup as BackendSetup,
    Resources as Resources,
    register_backend as register_backend,
)
from .batch import EpisodeBatch as EpisodeBatch, EpisodeResults as EpisodeResults
from .compiled.backend import CompiledBackend as CompiledBackend
from .env_runner import EnvRunner as EnvRunner
from .evaluation import (
    Evaluation as Evaluation,
    Evaluator as Evaluator,
    FunctionEvaluator as FunctionEvaluator,
)
from .evaluator import RolloutEvaluator as RolloutEvaluator
from .failures import FailedEpisode as FailedEpisode, FailureRule as FailureRule
from .local.gymnasium_runner import GymnasiumRunner as GymnasiumRunner
from .local.serial import SerialBackend as SerialBackend
from .origin import CandidateOrigin as CandidateOrigin
from .processes.backend import ProcessBackend as ProcessBackend
from .ray.backend import RayBackend as RayBackend
from .vector.runner import VectorRunner as VectorRunner
