"""Architecture search on Wine Quality (a report of 2025): SPSA over the widths of a network."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zorl.data import wine_quality
from zorl.optimizers import CMAES, Bounded, spsa
from zorl.plot_style import COLORS
from zorl.stats import Array, bootstrap, iqm, paired_difference
from zorl.study import Study

EPOCHS, RATE, BATCH, CLASSES = 10, 3e-3, 128, 6
STARTS = {"small": 0.1, "middle": 0.5, "large": 0.8}
PUBLISHED = {"small": (131, 131, 51), "middle": (528, 528, 256), "large": (825, 825, 410)}
TRAININGS = 40


def units(x: Array, quarter: bool = True) -> tuple[int, ...]:
    """The report's widths of x ∈ [0, 1]³, 32 + 992x twice and 513x, or a quarter of them."""
    widths = np.array([32 + 992 * x[0], 32 + 992 * x[1], 513 * x[2]])
    return tuple(max(1, int(width)) for width in (widths / 4 if quarter else widths))


def parameters(widths: tuple[int, ...]) -> int:
    """Weights and biases."""
    sizes = (11, *widths, CLASSES)
    return sum((size + 1) * out for size, out in pairwise(sizes))


@lru_cache(maxsize=64)
def split(seed: int, data: Path | None) -> tuple[Any, ...]:
    """Standardised features and classes of 959 red wines to train, 320 to validate, 320 to test."""
    import torch

    features, quality = wine_quality("red", data)
    order = np.random.default_rng(seed).permutation(len(features))
    parts = np.split(order, [959, 1279])
    mean, std = features[parts[0]].mean(axis=0), features[parts[0]].std(axis=0)
    x = torch.tensor((features - mean) / std, dtype=torch.float32)
    y = torch.tensor(quality - 3)
    return tuple((x[part], y[part]) for part in map(torch.tensor, parts))


def train(widths: tuple[int, ...], split_seed: int, init: int, data: Path | None) -> list[float]:
    """Validation loss at the best of its epochs, and test loss and accuracy there."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    (x, y), validation, test = split(split_seed, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init)
        sizes = (11, *widths, CLASSES)
        layers: list[nn.Module] = []
        for size, out in pairwise(sizes):
            layers += [nn.Linear(size, out), nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        adam = torch.optim.Adam(net.parameters(), lr=RATE)
        best: list[float] = [np.inf, np.inf, 0.0]
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
                adam.zero_grad()
                cross_entropy(net(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.no_grad():
                loss = float(cross_entropy(net(validation[0]), validation[1]))
                if loss < best[0]:
                    guess = net(test[0])
                    right = float((guess.argmax(1) == test[1]).float().mean())
                    best = [loss, float(cross_entropy(guess, test[1])), right]
    return best


def search(method: str, seed: int, trainings: int, data: Path | None) -> dict[str, Any]:
    """The architecture that a method ends with, and the validation losses on its way."""
    losses: list[float] = []

    def validate(x: Array, init: int | None = None) -> float:
        losses.append(train(units(x), seed, len(losses) if init is None else init, data)[0])
        return losses[-1]

    rng = np.random.default_rng((seed, 17))
    name, _, kind = method.partition(" ")
    path: list[Any] = []
    chosen: Any
    values: Any
    if name == "SPSA":
        label, step = kind.split(", ") if ", " in kind else (kind, "")
        optimizer = spsa(0.02 if step else 0.2, 0.1, m=2)
        state = optimizer.init(np.full(3, STARTS[label]))
        while len(losses) + 4 <= trainings:
            asked = optimizer.ask(state, rng)
            values = [validate(np.clip(x, 0, 1)) for x in asked.thetas]
            state = optimizer.tell(state, asked, -np.array(values))
            state = optimizer.init(np.clip(state.theta, 0, 1))  # the published clip
            path.append([float(np.mean(values)), *state.theta])
        chosen = state.theta
    elif name == "CMA-ES":
        bounded = Bounded(CMAES(0.25, popsize=8), 0.0, 1.0)
        swarm = bounded.init(np.full(3, 0.5))
        while len(losses) + 8 <= trainings:
            asked = bounded.ask(swarm, rng)
            swarm = bounded.tell(swarm, asked, [-validate(x) for x in asked.thetas])
        chosen = swarm.theta
    else:
        points = rng.random((trainings, 3))
        if name == "grid":
            axes = np.meshgrid(*[np.linspace(0, 1, k) for k in (4, 3, 3)], indexing="ij")
            points = np.stack(axes, axis=-1).reshape(-1, 3)[:trainings]
        if kind:  # of the log of the widths, and the best four measured again, twice
            points = (np.exp(points * np.log(9)) - 1) / 8
            first = points[: max(4, trainings - 8)]
            values = np.array([validate(x, 0) for x in first])
            top = np.argsort(values)[:4]
            again = [values[i] + validate(first[i], 1) + validate(first[i], 2) for i in top]
            chosen = first[top[int(np.argmin(again))]]
        else:
            chosen = points[int(np.argmin([validate(x) for x in points]))]
    return {"x": np.asarray(chosen).tolist(), "trainings": len(losses), "path": path}


def judge(x: list[float], seed: int, fresh: int, data: Path | None) -> Any:
    """Mean test loss and accuracy of an architecture, trained anew on other splits and starts."""
    ends = [train(units(np.array(x)), 1000 + k, 5000 + seed + k, data)[1:] for k in range(fresh)]
    return np.mean(ends, axis=0).tolist()


def noise(point: float, splits: int, inits: int, data: Path | None, quarter: bool) -> list[Any]:
    """(splits, inits) of [validation loss, test loss, accuracy] at x = (point, point, point)."""
    widths = units(np.full(3, point), quarter)
    return [[train(widths, s, i, data) for i in range(inits)] for s in range(splits)]


METHODS = ["SPSA small", "SPSA middle", "SPSA large", "SPSA middle, small step", "CMA-ES", "grid",
           "random", "random halving"]  # fmt: skip


def run(study: Study, seeds: int = 10, fresh: int = 10) -> None:
    """The noise first; then every method at equal numbers of trainings, judged anew."""
    splits, inits = study.pick((8, 5), (2, 2))
    points = study.pick([0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5])
    plans = [(point, True) for point in points] + [
        (x, False) for x in study.pick([0.1, 0.5, 0.8], [])
    ]
    cells: list[dict[str, Any]] = [
        {"point": p, "splits": splits if q else 4, "inits": inits if q else 2, "quarter": q}
        for p, q in plans
    ]  # fmt: skip
    found = [np.array(values) for values in study.map(noise, cells)]
    rows = []
    for (point, quarter), values in zip(plans, found, strict=True):
        widths = units(np.full(3, point), quarter)
        count, accuracy = parameters(widths), values[..., 2].mean()
        rows.append([str(widths), count, f"{bootstrap(values[..., 2].mean(axis=1)):.3f}",
                     f"{bootstrap(values[..., 0].mean(axis=1)):.3f}",
                     1000 * accuracy / count])  # fmt: skip
    study.table("sizes", ["widths", "parameters", "test accuracy", "validation loss",
                "accuracy per 1,000 parameters"], rows)  # fmt: skip
    table = np.array(found[: len(points)])[2:] if not study.smoke else np.array(found)
    rows = [[name, *components(table[..., i])] for i, name in enumerate(("validation loss",
            "test loss", "test accuracy"))]  # fmt: skip
    study.table("noise", ["standard deviation of", "architectures", "splits", "what is left of a "
                "training"], rows)  # fmt: skip

    budget, count = study.pick((TRAININGS, seeds), (8, 1))
    cells = [{"method": m, "seed": s, "trainings": budget} for m in METHODS for s in range(count)]
    ends = study.map(search, cells)
    judged = study.map(judge, [
        {"x": end["x"], "seed": 100 * i, "fresh": study.pick(fresh, 1)}
        for i, end in enumerate(ends)
    ])  # fmt: skip
    scores = np.array(judged).reshape(len(METHODS), count, 2)
    reference = scores[METHODS.index("random")]
    rows = []
    for number, method in enumerate(METHODS):
        mine = [end for end, cell in zip(ends, cells, strict=True) if cell["method"] == method]
        size = np.median([parameters(units(np.array(end["x"]))) for end in mine])
        loss, accuracy = scores[number].T
        rows.append([method, max(end["trainings"] for end in mine), int(size),
                     f"{bootstrap(accuracy):.4f}", iqm(accuracy),
                     f"{paired_difference(accuracy, reference[:, 1]):+.4f}",
                     f"{paired_difference(loss, reference[:, 0]):+.4f}"])  # fmt: skip
    study.table("methods", ["method", "trainings", "parameters (median)", "test accuracy", "IQM",
                "accuracy − random's", "loss − random's"], rows)  # fmt: skip
    picture(study, cells, ends, found, plans)


def components(values: Array) -> list[float]:
    """Standard deviations of a (architectures, splits, inits) layout's parts, negative ones 0."""
    a, s, i = values.shape
    means = values.mean(axis=2)
    left = values.var(axis=2, ddof=1).mean()
    rest = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + means.mean()
    cross = (rest**2).sum() / ((a - 1) * (s - 1))
    architecture = max(means.mean(axis=1).var(ddof=1) - cross / s, 0)
    splits = max(means.mean(axis=0).var(ddof=1) - cross / a, 0)
    return [float(np.sqrt(v)) for v in (architecture, splits, left + max(cross - left / i, 0))]


def picture(
    study: Study, cells: list[Any], ends: list[Any], found: list[Array], plans: list[Any]
) -> None:
    """Losses across iterations, and accuracy against size."""
    with study.figure("search", 1, 2, (4.6, 3.6)) as (_, axes):
        for color, method in zip(COLORS, METHODS[:4], strict=False):
            paths = [end["path"] for end, cell in zip(ends, cells, strict=True)
                     if cell["method"] == method]  # fmt: skip
            means = np.array(paths)[:, :, 0]
            axes[0, 0].plot(means.T, color=color, alpha=0.25, linewidth=0.8)
            axes[0, 0].plot(means.mean(axis=0), color=color, label=method)
        axes[0, 0].set(xlabel="iteration (4 trainings)", ylabel="validation loss", title="SPSA")
        axes[0, 0].legend(fontsize=7)
        for quarter, color in ((True, COLORS[0]), (False, COLORS[1])):
            part = [(parameters(units(np.full(3, p), q)), v[..., 2]) for (p, q), v
                    in zip(plans, found, strict=True) if q == quarter]  # fmt: skip
            for size, accuracy in part:
                axes[0, 1].semilogx([size] * accuracy.size, accuracy.ravel(), ".", color=color,
                                    alpha=0.3)  # fmt: skip
                axes[0, 1].semilogx(size, accuracy.mean(), "o", color=color)
        axes[0, 1].set(xlabel="parameters", ylabel="test accuracy", title="one dot a training")
