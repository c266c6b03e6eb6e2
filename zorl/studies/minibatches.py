"""Evolution strategies with mini-batches (2026): one batch for all, or one batch each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl import FunctionEvaluator, MinibatchObjective, Search, Streams
from zorl.common.plotting import COLORS
from zorl.common.stats import Array, bootstrap, paired_difference
from zorl.optimizers import SGD, Adam, CentredRanks, GradientSearch, Raw, Standardised
from zorl.search import Budget
from zorl.studies.base import Study
from zorl.studies.data import mnist

ROWS, DIM, RADIUS = 400, 20, 1e-3
BATCHES = ("shared", "pair", "candidate")


class Logistic:
    """Logistic regression on synthetic data, with exact losses and slopes of every example."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((ROWS, DIM))
        self.y = np.where(rng.random(ROWS) < 0.5, 1.0, -1.0)
        self.theta = rng.normal(0, 0.3, DIM)
        margins = self.y * (self.x @ self.theta)
        self.losses = np.logaddexp(0, -margins)
        slopes = -(self.y / (1 + np.exp(margins)))[:, None] * self.x
        self.slope = slopes.mean(axis=0)
        self.scatter = float(((slopes - self.slope) ** 2).sum(axis=1).mean())  # tr Σ

    @staticmethod
    def loss(thetas: Array, x: Array, y: Array) -> Array:
        """Return losses (n,) of thetas (n, d) on one batch (b, d), or on a batch each (n, b, d)."""
        margins = thetas @ x.T if x.ndim == 2 else np.einsum("nd,nbd->nb", thetas, x)
        return np.asarray(np.logaddexp(0, -y * margins).mean(axis=1))

    def theory(self, batches: str, scheme: str, batch: int, m: int) -> float:
        """Return E‖ĝ − g‖² of m Gaussian directions with raw weights, for a small radius σ.

        A mean over B of n rows without replacement has s = 1/B · (n − B)/(n − 1) of a row's
        variance. With Σ_B = sΣ and v_B = s · var(f):
        shared:    (d + 1)/m · (‖g‖² + tr Σ_B) + tr Σ_B
        pair:      (d + 1)/m · (‖g‖² + tr Σ_B) + tr Σ_B / m
        candidate: (d + 1)/m · (‖g‖² + tr Σ_B / 2) + tr Σ_B / 2m + d v_B / (2 σ² m)
        The one-sided scheme without a baseline adds d E[f_B²] / (σ² m) to the shared form or, with
        a batch for each candidate, to that of the pair.
        """
        left = (ROWS - batch) / (ROWS - 1) / batch
        slope, scatter = float(self.slope @ self.slope), left * self.scatter
        value, spread = float(self.losses.mean()), left * float(self.losses.var())
        if scheme == "one-sided":
            kind = "shared" if batches == "shared" else "pair"
            offset = DIM * (value**2 + spread) / (RADIUS**2 * m)
            return self.theory(kind, "antithetic", batch, m) + offset
        if batches == "candidate":
            noise = DIM * spread / (2 * RADIUS**2 * m)
            return (DIM + 1) / m * (slope + scatter / 2) + scatter / (2 * m) + noise
        common = scatter / (m if batches == "pair" else 1)
        return (DIM + 1) / m * (slope + scatter) + common


def errors(batches: str, scheme: str, batch: int, m: int, draws: int) -> list[float]:
    """Return the mean of ‖ĝ − g‖² over draws, its standard error, and the theoretical value."""
    model = Logistic()
    objective = MinibatchObjective((model.x, model.y), model.loss, batch, batches)
    search = GradientSearch(SGD(1.0), RADIUS, m, scheme=scheme, weights=Raw())
    state = search.init(model.theta)
    found = []
    for draw in range(draws):
        asked = search.ask(state, np.random.default_rng((draw, 1)))
        returns = -objective(asked.thetas, draw)
        found.append(np.sum((search.gradient(state, asked, returns) + model.slope) ** 2))
    error = np.std(found, ddof=1) / np.sqrt(draws)
    return [float(np.mean(found)), float(error), model.theory(batches, scheme, batch, m)]


def softmax_loss(thetas: Array, images: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Return cross-entropies (n,) of linear classifiers (n, 7850), on one batch or a batch each."""
    weights = thetas.astype(np.float32).reshape(len(thetas), 785, 10)
    rows = images if images.ndim == 3 else np.broadcast_to(images, (len(thetas), *images.shape))
    if images.ndim == 2:  # one product for all
        flat = images @ weights[:, :784].transpose(1, 0, 2).reshape(784, -1)
        logits = flat.reshape(len(images), -1, 10).transpose(1, 0, 2) + weights[:, 784:]
    else:
        logits = rows @ weights[:, :784] + weights[:, 784:]
    logits -= logits.max(axis=2, keepdims=True)
    chosen = np.broadcast_to(labels, logits.shape[:2])[..., None]
    right = np.take_along_axis(logits, chosen, axis=2)[..., 0]
    return np.asarray((np.log(np.exp(logits).sum(axis=2)) - right).mean(axis=1))


def learn(
    batches: str, scheme: str, weights: str, batch: int, generations: int, seed: int,
    data: Path | None,
) -> list[float]:  # fmt: skip
    """Return the test accuracy along a search with 50 evaluations a generation."""
    images = mnist(data)
    rules: dict[str, Any] = {
        "raw": Raw(), "z-score": Standardised(), "ranks": CentredRanks()
    }  # fmt: skip
    m = 25 if scheme == "antithetic" else 50
    objective = MinibatchObjective(
        (images.train_images, images.train_labels), softmax_loss, batch, batches
    )
    evaluator = FunctionEvaluator(objective, minimise=True, batched=True, seeded=True)
    search = Search(
        GradientSearch(Adam(0.01), 0.02, m, scheme=scheme, weights=rules[weights]),
        evaluator,
        Streams(seed),
    )
    curve = []
    start = search.init(np.zeros(7850))
    for generation in search.run(start, until=Budget(generations=generations)):
        t = generation.index
        if (t + 1) * 20 // generations > t * 20 // generations:
            theta = generation.state.theta.astype(np.float32).reshape(785, 10)
            guess = (images.test_images @ theta[:784] + theta[784]).argmax(axis=1)
            curve.append(float((guess == images.test_labels).mean()))
    return curve


MODES = [  # batches, scheme, weights
    ("shared", "antithetic", "raw"),
    ("pair", "antithetic", "raw"),
    ("candidate", "antithetic", "raw"),
    ("shared", "antithetic", "ranks"),
    ("pair", "antithetic", "ranks"),
    ("shared", "one-sided", "raw"),
    ("shared", "one-sided", "z-score"),
    ("candidate", "one-sided", "z-score"),
]


def run(study: Study, draws: int = 4_000, generations: int = 400, seeds: int = 4) -> None:
    """Compare the variance with its closed form, and measure its effect on MNIST.

    Args:
        study: where tables, figures and cells go.
        draws: number of gradient estimates behind each variance.
        generations: number of generations of a training run.
        seeds: number of training runs of each kind.
    """
    draws, generations = study.pick(draws, 20), study.pick(generations, 2)
    kinds = [(batches, "antithetic") for batches in BATCHES]
    kinds += [("shared", "forward"), ("shared", "one-sided"), ("candidate", "one-sided")]
    grid = [(b, 16) for b in (1, 5, 20, 100, 400)] + [(20, m) for m in (2, 4, 64, 256)]
    grid = study.pick(grid, [(1, 16), (20, 16), (20, 2)])
    cells: list[dict[str, Any]] = [
        {"batches": batches, "scheme": scheme, "batch": b, "m": m, "draws": draws}
        for batches, scheme in kinds for b, m in grid
    ]  # fmt: skip
    found = study.map(errors, cells)
    rows = [
        [
            c["scheme"],
            c["batches"],
            c["batch"],
            c["m"],
            mean,
            theory,
            f"{(mean - theory) / error:+.1f}",
        ]
        for c, (mean, error, theory) in zip(cells, found, strict=True)
    ]
    columns = ["scheme", "batch for", "B", "m", "measured", "closed form", "z"]
    study.table("variance", columns, rows)
    with study.figure("variance", 1, 2, (4.6, 3.6)) as (_, axes):
        for axis, name, label in ((axes[0, 0], "batch", "batch size B (m = 16)"),
                                  (axes[0, 1], "m", "directions m (B = 20)")):  # fmt: skip
            for color, (batches, scheme) in zip(COLORS, kinds, strict=False):
                part = sorted(
                    (c[name], mean, theory)
                    for c, (mean, _, theory) in zip(cells, found, strict=True)
                    if (c["batches"], c["scheme"]) == (batches, scheme)
                    and (c["m"] == 16 if name == "batch" else c["batch"] == 20)
                )
                x, measured, closed = zip(*part, strict=True)
                hollow = "none" if scheme == "forward" or batches == "shared" else color
                axis.loglog(x, measured, "o", color=color, markerfacecolor=hollow, markersize=6)
                style = "--" if scheme == "forward" else "-"
                axis.loglog(x, closed, style, color=color, label=f"{scheme}, {batches}")
            axis.set(xlabel=label, ylabel="E‖ĝ − g‖²")
        axes[0, 0].legend(fontsize=7)

    cells = [
        {"batches": batches, "scheme": scheme, "weights": weights, "batch": b,
         "generations": generations, "seed": seed}
        for b in (5, 50) for batches, scheme, weights in MODES
        for seed in range(study.pick(seeds, 1))
    ]  # fmt: skip
    curves: dict[Any, list[list[float]]] = {}
    for c, curve in zip(cells, study.map(learn, cells), strict=True):
        key = c["batch"], c["batches"], c["scheme"], c["weights"]
        curves.setdefault(key, []).append(curve)
    rows = []
    for (b, *mode), runs in curves.items():
        last = [run[-1] for run in runs]
        reference = [run[-1] for run in curves[(b, *MODES[0])]]
        rows.append(
            [*mode, b, f"{bootstrap(last):.3f}", f"{paired_difference(last, reference):+.3f}"]
        )
    columns = ["batch for", "scheme", "weights", "B", "accuracy", "less that of shared pairs, raw"]
    study.table("accuracy", columns, rows)
    with study.figure("accuracy", 1, 2, (4.6, 3.6)) as (_, axes):
        for axis, b in zip(axes[0], (5, 50), strict=True):
            for number, mode in enumerate(MODES):
                mean = np.mean(curves[(b, *mode)], axis=0)
                spent = np.linspace(generations / 20, generations, len(mean)) * 50 / 1000
                style = "-" if mode[1] == "antithetic" else "--"
                axis.plot(spent, mean, style, color=(COLORS * 2)[number], label=", ".join(mode))
            axis.set(
                title=f"B = {b}",
                xlabel="thousand evaluations of a mini-batch",
                ylabel="test accuracy",
            )
        axes[0, 1].legend(fontsize=6, loc=(0.42, 0.2))
