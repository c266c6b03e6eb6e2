"""Zeroth-order optimizers: pure numerics on numpy, frozen values, higher is better."""

from zorl.optimizers.averaging import Averaged
from zorl.optimizers.base import Asked, Candidates, Directions, Optimizer
from zorl.optimizers.bounds import Bounded
from zorl.optimizers.cem import CEM
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.directions import Guide
from zorl.optimizers.gradient_search import GradientSearch, Perturbed
from zorl.optimizers.lm_ma_es import LMMAES
from zorl.optimizers.lra import LearningRateAdaptation, lra_cma_es
from zorl.optimizers.natural import SNES, XNES
from zorl.optimizers.pgpe import PGPE, pgpe
from zorl.optimizers.published import (
    es_normalised,
    mpge_average,
    sigma_r_forward,
    two_point_unit,
)
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.recipes import (
    ars,
    es,
    guided_es,
    mpge,
    openai_es,
    sep_cma_es,
    two_point,
)
from zorl.optimizers.registry import METHODS, recipe
from zorl.optimizers.restarts import Restarts, bipop_cma_es, ipop_cma_es
from zorl.optimizers.spsa import calibrated_spsa, spsa
from zorl.optimizers.step_rules import SGD, Adam, Annealed, Clipped, ClipUp, GainSequence
from zorl.optimizers.weights import CentredRanks, NormalisedReturns, Raw, SigmaR, Standardised

__all__ = [
    "CEM",
    "CMAES",
    "LMMAES",
    "METHODS",
    "PGPE",
    "SGD",
    "SNES",
    "XNES",
    "Adam",
    "Annealed",
    "Asked",
    "Averaged",
    "Bounded",
    "Candidates",
    "CentredRanks",
    "ClipUp",
    "Clipped",
    "Directions",
    "GainSequence",
    "GradientSearch",
    "Guide",
    "LearningRateAdaptation",
    "NormalisedReturns",
    "Optimizer",
    "Perturbed",
    "RandomSearch",
    "Raw",
    "Restarts",
    "SigmaR",
    "Standardised",
    "ars",
    "bipop_cma_es",
    "calibrated_spsa",
    "es",
    "es_normalised",
    "guided_es",
    "ipop_cma_es",
    "lra_cma_es",
    "mpge",
    "mpge_average",
    "openai_es",
    "pgpe",
    "recipe",
    "sep_cma_es",
    "sigma_r_forward",
    "spsa",
    "two_point",
    "two_point_unit",
]
