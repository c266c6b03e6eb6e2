"""Figures of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from toy_results import CARTPOLE, LABELS, PLAN, fake, mixed

from zorl.common.stats import iqm
from zorl.comparison import Comparison, figures, write_figures


def test_figures_show_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    save = figures._save
    monkeypatch.setattr(figures, "_save", lambda f, path: (drawn.append(f), save(f, path)))  # type: ignore[func-returns-value]
    compared, runs = mixed([None] * 5)
    files = write_figures(compared, runs, tmp_path)
    assert [file.name for file in files] == list(figures.FILES)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    steps, seconds, held_out = (figure.axes[0] for figure in drawn)
    labels = [text.get_text() for text in steps.get_legend().get_texts()]
    assert labels == ["ppo (3/5)", "ars"]  # as they end, from top to bottom; some runs are missing
    lines = {line.get_label(): line for line in steps.lines}
    ars, ppo = lines["ars"].get_ydata(), lines["ppo (3/5)"].get_ydata()
    assert ars[0] == 9
    assert ars[-1] == pytest.approx(iqm([10, 29, 30, 60, 100]))
    assert ppo[-1] == pytest.approx(140 / 3)
    x = lines["ars"].get_xdata()
    assert (x[0], x[-1]) == (0, 500)
    assert np.all(ars[x < 500] == 9)  # the last known value, not one between
    assert any(np.all(np.asarray(line.get_ydata()) == 30) for line in steps.lines)  # threshold
    # Seed 4 takes until 4.1 s: before that, finished runs count with the value they have kept.
    line = next(line for line in seconds.lines if line.get_label() == "ars")
    x, y = line.get_xdata(), line.get_ydata()
    assert x[-1] == pytest.approx(4.1)
    assert y[np.searchsorted(x, 3.5)] == pytest.approx(iqm([10, 29, 30, 60, 9]))
    dots = [group for group in held_out.collections if isinstance(group, PathCollection)]
    points = np.concatenate([group.get_offsets() for group in dots if group.get_alpha() == 0.5])
    assert sorted(points[:, 0]) == [10, 20, 29, 30, 50, 60, 70, 100]
    assert [label.get_text() for label in held_out.get_yticklabels()] == ["ars", "ppo (3/5)"]


def test_times_that_differ_much_are_drawn_on_a_logarithmic_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
    runs = [fake("ars", 0, 50.0), fake("ppo", 0, 40.0)]
    assert runs[1].result is not None
    runs[1].result.curve[-1]["seconds"] = 30.0
    write_figures(Comparison.create(CARTPOLE, LABELS, PLAN, [0]), runs, tmp_path)
    assert [figure.axes[0].get_xscale() for figure in drawn] == ["linear", "log", "linear"]
