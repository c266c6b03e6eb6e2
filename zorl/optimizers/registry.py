"""Methods by name, with options of JSON types: what agents, `zorl.minimize` and tests draw on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zorl.common.errors import UnknownNameError
from zorl.optimizers.base import Optimizer
from zorl.optimizers.cem import CEM
from zorl.optimizers.cma_es import CMAES
from zorl.optimizers.lm_ma_es import LMMAES
from zorl.optimizers.lra import lra_cma_es
from zorl.optimizers.natural import SNES, XNES
from zorl.optimizers.pgpe import pgpe
from zorl.optimizers.published import (
    es_normalised,
    mpge_average,
    sigma_r_forward,
    two_point_unit,
)
from zorl.optimizers.random_search import RandomSearch
from zorl.optimizers.recipes import ars, es, guided_es, mpge, openai_es, sep_cma_es, two_point
from zorl.optimizers.restarts import bipop_cma_es, ipop_cma_es
from zorl.optimizers.spsa import spsa

METHODS: dict[str, Callable[..., Optimizer[Any]]] = {
    "spsa": spsa,
    "mpge": mpge,
    "two-point": two_point,
    "es": es,
    "ars": ars,
    "openai-es": openai_es,
    "guided-es": guided_es,
    "cma-es": CMAES,
    "sep-cma-es": sep_cma_es,
    "lm-ma-es": LMMAES,
    "ipop-cma-es": ipop_cma_es,
    "bipop-cma-es": bipop_cma_es,
    "lra-cma-es": lra_cma_es,
    "xnes": XNES,
    "snes": SNES,
    "pgpe": pgpe,
    "cem": CEM,
    "random-search": RandomSearch,
    # As published, to reproduce reports; see `published`.
    "mpge-average": mpge_average,
    "two-point-unit": two_point_unit,
    "sigma-r-forward": sigma_r_forward,
    "es-normalised": es_normalised,
}


def recipe(method: str) -> Callable[..., Optimizer[Any]]:
    """What makes the optimizer registered under `method` from keyword options.

    Raises:
        UnknownNameError: no such method; the message suggests the nearest names.
    """
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    return METHODS[method]
