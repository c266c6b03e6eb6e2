from . import (
    errors as errors,
    options as options,
    plotting as plotting,
    references as references,
    stats as stats,
    storage as storage,
    streams as streams,
    validation as validation,
)
from .errors import (
    ConfigurationError as ConfigurationError,
    DivergedError as DivergedError,
    EnvironmentFailure as EnvironmentFailure,
    FileFormatError as FileFormatError,
    Interrupted as Interrupted,
    NonFiniteRewardError as NonFiniteRewardError,
    RunFolderError as RunFolderError,
    UnknownNameError as UnknownNameError,
    UnsupportedSpaceError as UnsupportedSpaceError,
    ZorlError as ZorlError,
)
from .options import Options as Options, resolve_options as resolve_options
from .stop_signals import StopSignals as StopSignals
from .streams import (
    Purpose as Purpose,
    Seeds as Seeds,
    Streams as Streams,
    held_out_seeds as held_out_seeds,
)
from .types import Matrix as Matrix, Stop as Stop, Vector as Vector, frozen as frozen
