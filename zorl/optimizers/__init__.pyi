from .averaging import Averaged as Averaged
from .base import (
    Asked as Asked,
    Candidates as Candidates,
    Directions as Directions,
    Optimizer as Optimizer,
)
from .bounds import Bounded as Bounded
from .cem import CEM as CEM
from .cma_es import CMAES as CMAES, sep_cma_es as sep_cma_es
from .directions import Guide as Guide
from .gradient_search import GradientSearch as GradientSearch, Perturbed as Perturbed
from .lm_ma_es import LMMAES as LMMAES
from .lra import LearningRateAdaptation as LearningRateAdaptation, lra_cma_es as lra_cma_es
from .nes import SNES as SNES, XNES as XNES
from .pgpe import PGPE as PGPE, pgpe as pgpe
from .random_search import RandomSearch as RandomSearch
from .recipes import (
    ars as ars,
    es as es,
    es_normalised as es_normalised,
    guided_es as guided_es,
    mpge as mpge,
    mpge_average as mpge_average,
    openai_es as openai_es,
    sigma_r_forward as sigma_r_forward,
    two_point as two_point,
    two_point_unit as two_point_unit,
)
from .registry import METHODS as METHODS, register_method as register_method
from .restarts import Restarts as Restarts, bipop_cma_es as bipop_cma_es, ipop_cma_es as ipop_cma_es
from .spsa import calibrated_spsa as calibrated_spsa, spsa as spsa
from .step_rules import (
    SGD as SGD,
    Adam as Adam,
    Annealed as Annealed,
    Clipped as Clipped,
    ClipUp as ClipUp,
    GainSequence as GainSequence,
)
from .weights import (
    CentredRanks as CentredRanks,
    NormalisedReturns as NormalisedReturns,
    Raw as Raw,
    SigmaR as SigmaR,
    Standardised as Standardised,
)
