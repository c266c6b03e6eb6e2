"""Zeroth-order optimizers: pure numerics on numpy, frozen values, higher is better."""

from zorl.optimizers.base import Asked, Optimizer
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.gradient_search import GradientSearch
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.recipes import ars, es, mpge, openai_es, spsa, two_point
from zorl.optimizers.step_rules import SGD, Adam, GainSequence
from zorl.optimizers.weights import CentredRanks, Raw, SigmaR, Standardised

__all__ = [
    "CMAES",
    "SGD",
    "Adam",
    "Asked",
    "CentredRanks",
    "GainSequence",
    "GradientSearch",
    "Optimizer",
    "RandomSearch",
    "Raw",
    "SigmaR",
    "Standardised",
    "ars",
    "es",
    "mpge",
    "openai_es",
    "spsa",
    "two_point",
]
