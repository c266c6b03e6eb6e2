"""Effect of a network's size on red wine, compared with the noise of splits, starts and rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.plotting import COLORS
from zorl.common.stats import Array, bootstrap, paired_difference
from zorl.studies.base import Study
from zorl.studies.wine_network import parameters, train, units

FLAT = 0.1  # the variance decomposition uses the architectures from this x on
AXES = {"first": 0, "second": 1, "third": 2}


def noise(
    point: float, splits: int, inits: int, quarter: bool, data: Path | None = None
) -> list[Any]:
    """Return [validation loss, test loss, accuracy] for (splits, inits) at x = point."""
    widths = units(np.full(3, point), quarter)
    return [[train(widths, s, i, data) for i in range(inits)] for s in range(splits)]


def plain(
    widths: list[int],
    rate: float,
    epochs: int,
    splits: int,
    inits: int,
    data: Path | None = None,
) -> list[Any]:
    """Like `noise`, for any widths, learning rate and number of epochs."""
    sizes = tuple(widths)
    return [[train(sizes, s, i, data, epochs, rate) for i in range(inits)] for s in range(splits)]


def components(values: Array) -> list[float]:
    """Split the variance of values (architectures, splits, inits); return standard deviations.

    This is the two-way layout with random effects: architectures, splits, and the residual of a
    single training, which is their interaction and the initialisation (and the order of the
    mini-batches). Negative variances count as 0.
    """
    a, s, i = values.shape
    means = values.mean(axis=2)
    within = values.var(axis=2, ddof=1).mean()
    rest = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + means.mean()
    cross = (rest**2).sum() / ((a - 1) * (s - 1))  # interaction + within / i
    architecture = max(means.mean(axis=1).var(ddof=1) - cross / s, 0)
    splits = max(means.mean(axis=0).var(ddof=1) - cross / a, 0)
    return [float(np.sqrt(v)) for v in (architecture, splits, within + max(cross - within / i, 0))]


def shared(values: Array) -> float:
    """Return the correlation of two architectures' residuals at equal seeds, over all pairs."""
    rest = (values - values.mean(axis=2, keepdims=True)).reshape(len(values), -1)
    return float(np.corrcoef(rest)[np.triu_indices(len(values), 1)].mean())


def run(study: Study) -> None:
    """Measure sizes, the components of the noise, each axis of x, and learning rates."""
    splits, inits = study.pick((8, 5), (2, 2))
    points = study.pick([0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0], [0.1, 0.5])
    starts = study.pick([0.1, 0.5, 0.8], [])
    plans = [(p, True) for p in points] + [(p, False) for p in starts]
    found = dict(zip(plans, map(np.array, study.map(noise, [
        {"point": p, "splits": splits, "inits": inits if q else 2, "quarter": q}
        for p, q in plans
    ])), strict=True))  # fmt: skip
    rows = []
    for (point, quarter), values in found.items():
        widths = units(np.full(3, point), quarter)
        difference = "" if quarter else str(paired_difference(
            *(v[:, :2, 2].mean(axis=1) for v in (values, found[point, True]))))  # fmt: skip
        rows.append([point, str(widths), parameters(widths),
                     *(f"{bootstrap(values[..., i].mean(axis=1)):.3f}" for i in (2, 0)),
                     1000 * values[..., 2].mean() / parameters(widths), difference])  # fmt: skip
    study.table("sizes", ["x", "widths", "parameters", "test accuracy", "validation loss",
                "accuracy per 1,000 parameters", "accuracy − the quarter's"], rows)  # fmt: skip

    flat = np.array([found[p, True] for p in points if p >= FLAT])
    names = ("validation loss", "test loss", "test accuracy")
    study.table("noise", ["standard deviation of", "architectures", "splits", "what is left of a "
                "training", "correlation at equal seeds"],
                [[name, *components(flat[..., i]), shared(flat[..., i])]
                 for i, name in enumerate(names)])  # fmt: skip

    sides = [(name, end) for name in AXES for end in (0.0, 0.02, 0.05, 1.0)]
    shapes = [list(units(np.where(np.arange(3) == AXES[name], end, 0.5))) for name, end in sides]
    some = study.pick({"splits": 8, "inits": 3}, {"splits": 2, "inits": 1})
    results = study.map(plain, [{"widths": w, "rate": 3e-3, "epochs": study.pick(10, 1), **some}
                                for w in shapes], "axes")  # fmt: skip
    study.table("axes", ["layer", "x there, 0.5 elsewhere", "widths", "test accuracy"],
                [[*side, str(tuple(w)), accuracy(r)]
                 for side, w, r in zip(sides, shapes, results, strict=True)])  # fmt: skip

    rates, lengths = [1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1], study.pick([1, 10, 40], [1])
    nets = {"none (logistic regression)": [], "(132, 132, 64)": [132, 132, 64]}
    grid = [(name, e, r) for name in nets for e in lengths for r in rates]
    some = study.pick({"splits": 8, "inits": 1}, {"splits": 2, "inits": 1})
    cells = [{"widths": nets[name], "rate": r, "epochs": e, **some} for name, e, r in grid]
    texts = dict(zip(grid, map(accuracy, study.map(plain, cells, "rates")), strict=True))
    study.table("rates", ["hidden layers", "parameters", "epochs", *(f"rate {r:g}" for r in rates)],
                [[name, parameters(tuple(nets[name])), e, *(texts[name, e, r] for r in rates)]
                 for name in nets for e in lengths])  # fmt: skip
    small = [[], [2, 2, 2], [4, 4, 4], [8, 8, 8], [16, 16, 16], [32, 32, 12], [132, 132, 64]]
    some = study.pick({"splits": 8, "inits": 3}, {"splits": 2, "inits": 1})
    ends = study.map(plain, [{"widths": w, "rate": 1e-2, "epochs": study.pick(40, 1), **some}
                             for w in small], "small")  # fmt: skip
    means = np.array(ends)[..., 2].mean(axis=2)
    study.table("small", ["hidden layers", "parameters", "test accuracy", "accuracy − regression's",
                "accuracy per 1,000 parameters"],
                [[str(tuple(w)), parameters(tuple(w)), f"{bootstrap(mean):.3f}",
                  f"{paired_difference(mean, means[0]):+.3f}",
                  1000 * float(mean.mean()) / parameters(tuple(w))]
                 for w, mean in zip(small, means, strict=True)])  # fmt: skip
    picture(study, found)


def accuracy(result: Any) -> str:
    """Format the mean test accuracy over splits, with its interval."""
    return f"{bootstrap(np.array(result)[..., 2].mean(axis=1)):.3f}"


def picture(study: Study, found: dict[tuple[float, bool], Array]) -> None:
    """Draw accuracy and validation loss against size."""
    with study.figure("sizes", 1, 2, (4.6, 3.6)) as (_, axes):
        for panel, index, label in ((axes[0, 0], 2, "test accuracy"),
                                    (axes[0, 1], 0, "validation loss")):  # fmt: skip
            for quarter, color in ((True, COLORS[0]), (False, COLORS[1])):
                part = {parameters(units(np.full(3, p), q)): v[..., index]
                        for (p, q), v in found.items() if q == quarter}  # fmt: skip
                for size, values in part.items():
                    panel.semilogx([size] * values.size, values.ravel(), ".", color=color,
                                   alpha=0.25)  # fmt: skip
                panel.semilogx(list(part), [v.mean() for v in part.values()], "o-", color=color,
                               label="a quarter of the widths" if quarter else "published widths"
                               )  # fmt: skip
            panel.set(xlabel="parameters", ylabel=label)
        axes[0, 0].set_title("a dot a training, circles: means")
        axes[0, 0].legend(fontsize=8)
