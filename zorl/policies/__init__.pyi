from . import parameters as parameters, spaces as spaces
from .activations import ACTIVATIONS as ACTIVATIONS
from .mlp import LinearPolicy as LinearPolicy, MlpPolicy as MlpPolicy, Policy as Policy
from .module import ModulePolicy as ModulePolicy
from .normalization import Moments as Moments, Normalizer as Normalizer
from .observations import ObservationEncoder as ObservationEncoder
from .recurrent import RecurrentPolicy as RecurrentPolicy
from .spaces import ActionDecoder as ActionDecoder, check_spaces as check_spaces
