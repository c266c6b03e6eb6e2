"""Zeroth-order optimizers: pure numerics on numpy, frozen values, higher is better."""

from zorl.optimizers.base import Asked, Candidates, Directions, Optimizer
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.directions import Guide
from zorl.optimizers.gradient_search import GradientSearch, Perturbed
from zorl.optimizers.published import (
    es_normalised,
    mpge_average,
    sigma_r_forward,
    two_point_unit,
)
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.recipes import ars, es, guided_es, mpge, openai_es, two_point
from zorl.optimizers.registry import METHODS, recipe
from zorl.optimizers.spsa import calibrated_spsa, spsa
from zorl.optimizers.step_rules import SGD, Adam, Clipped, ClipUp, GainSequence
from zorl.optimizers.weights import CentredRanks, NormalisedReturns, Raw, SigmaR, Standardised

__all__ = [
    "CMAES",
    "METHODS",
    "SGD",
    "Adam",
    "Asked",
    "Candidates",
    "CentredRanks",
    "ClipUp",
    "Clipped",
    "Directions",
    "GainSequence",
    "GradientSearch",
    "Guide",
    "NormalisedReturns",
    "Optimizer",
    "Perturbed",
    "RandomSearch",
    "Raw",
    "SigmaR",
    "Standardised",
    "ars",
    "calibrated_spsa",
    "es",
    "es_normalised",
    "guided_es",
    "mpge",
    "mpge_average",
    "openai_es",
    "recipe",
    "sigma_r_forward",
    "spsa",
    "two_point",
    "two_point_unit",
]
