"""`check_optimizer`: the contract of `zorl.optimizers.base.Optimizer`, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.validation import at_least, positive
from zorl.optimizers.base import Optimizer, missing_methods
from zorl.testing.contract import RULES
from zorl.testing.progress import INVARIANCES, Case
from zorl.testing.rules import Breach, run_rules


def check_optimizer(
    make_or_optimizer: Optimizer[Any] | Callable[[], Optimizer[Any]],
    *,
    dim: int = 5,
    invariances: Collection[str] = (),
    skip: Collection[str] = (),
    budget: int = 4000,
    distance: float = 1.0,
    progress: float = 0.5,
    generations: int = 10,
    seed: int = 0,
) -> None:
    """Check that an optimizer keeps the contract of `zorl.optimizers.Optimizer`.

    The rules, by name: "values" (types, shapes, read-only arrays), "purity", "randomness",
    "determinism", "t", "resume", "refusals", "non-finite", "flat" and "ascent", then one for each
    declared invariance:

    - "monotone": told g(f) with an increasing g, the search is the same, bit for bit;
    - "affine": told a·f + b with a > 0, the same to rounding; "scale" is a·f, "offset" is f + b;
    - "translation": started at x + s on f(x − s), the same to rounding, moved by s;
    - "rotation": as good on a rotated, ill-conditioned quadratic as on the axis-parallel one, over
      12 searches of each, within four standard errors. That tells methods whose distribution learns
      a scale for each coordinate from those that do not; a smaller preference for the axes escapes
      it, such as that of ±1 directions (spsa) or of Adam on noisy estimates (openai-es).

    Example:
        >>> from zorl.optimizers import CMAES
        >>> check_optimizer(CMAES(), dim=3, invariances=("monotone", "translation"))

    Args:
        make_or_optimizer: the optimizer, or what makes one when called without arguments.
        dim: d of the problems, at least 2.
        invariances: names out of `INVARIANCES` that the method is declared to have.
        skip: rules not to check, for methods that document an exception.
        budget: evaluations of one search in "ascent" and "flat".
        distance: how far the start is from the optimum in every coordinate; choose it so that the
            method's step lengths fit.
        progress: the share of the squared distance to the optimum that must be gone, in (0, 1);
            on a linear function, the share of the distance that must be climbed.
        generations: of the searches in "resume", which go on from half-way; let a search with
            restarts have some.
        seed: of all random numbers of the check.

    Raises:
        AssertionError: a rule is broken; the message says which, what was found and expected.
        ConfigurationError: an argument of the check itself is out of range.
    """
    optimizer = _made(make_or_optimizer)
    for name in invariances:
        if name not in INVARIANCES:
            raise UnknownNameError("invariance", name, INVARIANCES)
    case = _case(optimizer, dim, seed, budget, distance, progress, generations)
    rules = RULES | {name: INVARIANCES[name] for name in invariances}
    run_rules(type(optimizer).__name__, rules, case, skip)


def detect_invariances(
    make_or_optimizer: Optimizer[Any] | Callable[[], Optimizer[Any]],
    *,
    dim: int = 5,
    seed: int = 0,
) -> tuple[str, ...]:
    """The invariances that hold in a few searches: evidence for a declaration, not a proof."""
    case = _case(_made(make_or_optimizer), dim, seed)
    found = []
    for name, rule in INVARIANCES.items():
        try:
            rule(case)
        except (Breach, ConfigurationError):  # a box, for one, does not move with the problem
            continue
        found.append(name)
    return tuple(found)


def _made(given: Any) -> Optimizer[Any]:
    optimizer = given() if isinstance(given, type) or not hasattr(given, "init") else given
    missing = missing_methods(optimizer)
    if missing:
        raise AssertionError(
            f"{type(optimizer).__name__} is no optimizer: it has no method {', '.join(missing)}"
        )
    return optimizer  # type: ignore[no-any-return]


def _case(
    optimizer: Optimizer[Any],
    dim: int,
    seed: int,
    budget: int = 4000,
    distance: float = 1.0,
    progress: float = 0.5,
    generations: int = 10,
) -> Case:
    at_least("dim", dim, 2)
    at_least("budget", budget, 1)
    at_least("generations", generations, 2)
    positive("distance", distance)
    if not 0 < progress < 1:
        raise ConfigurationError(f"progress must be in (0, 1), got {progress!r}")
    return Case(optimizer, dim, seed, budget, distance, progress, generations)
