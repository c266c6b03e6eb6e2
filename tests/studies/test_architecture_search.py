"""What the page on architecture search rests on: widths, the clip, equal budgets, the noise."""

from __future__ import annotations

import numpy as np
import pytest
from toy_data import real_data

from zorl.optimizers import spsa
from zorl.studies.architecture_noise import components, shared
from zorl.studies.architecture_search import METHODS, climb, judge, search, stretched
from zorl.studies.wine_network import parameters, split, train, units


@pytest.mark.parametrize(
    ("x", "widths"), [(0.1, (131, 131, 51)), (0.5, (528, 528, 256)), (0.8, (825, 825, 410))]
)
def test_the_map_gives_the_published_starts(x: float, widths: tuple[int, ...]) -> None:
    assert units(np.full(3, x), quarter=False) == widths


def test_a_quarter_of_the_widths_and_at_least_one_unit() -> None:
    assert units(np.full(3, 0.8)) == (206, 206, 102)
    assert units(np.zeros(3)) == (8, 8, 1)
    assert units(np.ones(3), quarter=False) == (1024, 1024, 513)


def test_parameters_are_those_of_the_network_that_is_trained() -> None:
    assert parameters((3, 2, 1)) == (11 + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 1 + (1 + 1) * 6
    assert parameters(()) == 12 * 6


def test_split_parts_are_apart_and_standardised_by_the_training_part() -> None:
    (x, y), (v, _), (t, right) = split(3, real_data())
    assert (len(x), len(v), len(t)) == (959, 320, 320)
    np.testing.assert_allclose(x.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(dim=0, correction=0), 1, atol=1e-5)
    assert abs(float(t.mean(dim=0).abs().max())) > 1e-3
    assert int(y.min()) >= 0 and int(right.max()) <= 5


def test_a_training_gives_the_same_bits_twice_and_learns() -> None:
    first = train((16, 16, 8), 0, 1, real_data(), epochs=6, rate=0.01)
    assert first == train((16, 16, 8), 0, 1, real_data(), epochs=6, rate=0.01)
    assert first != train((16, 16, 8), 0, 2, real_data(), epochs=6, rate=0.01)
    assert first[0] < 1.15 < np.log(6) and first[2] > 0.5


def test_the_best_epoch_counts_not_the_last() -> None:
    few, many = (train((64, 64, 32), 0, 1, real_data(), epochs=n, rate=0.01) for n in (8, 30))
    assert many[0] <= few[0]  # the same first eight epochs


def test_the_clipped_update_is_the_published_one() -> None:
    rng = np.random.default_rng(5)
    target = np.array([2.0, -1.0, 0.4])
    seen: list[np.ndarray] = []

    def loss(x: np.ndarray) -> float:
        seen.append(x)
        return float(((x - target) ** 2).sum())

    end, path = climb(spsa(0.5, 0.1, m=2), np.array([0.95, 0.05, 0.5]), 3, rng, loss)
    x, hand = np.array([0.95, 0.05, 0.5]), np.random.default_rng(5)
    for number in range(3):
        deltas = spsa(0.5, 0.1, m=2).ask(spsa(0.5, 0.1, m=2).init(x), hand).directions
        estimate = np.mean([
            (loss(np.clip(x + 0.1 * d, 0, 1)) - loss(np.clip(x - 0.1 * d, 0, 1))) / 0.2 * d
            for d in np.asarray(deltas)
        ], axis=0)  # fmt: skip
        x = np.clip(x - 0.5 * estimate, 0, 1)
        np.testing.assert_allclose(path[number][1:], x, atol=1e-12)
    np.testing.assert_allclose(end, x, atol=1e-12)
    assert end[0] == 1 and end[1] == 0
    assert all((each >= 0).all() and (each <= 1).all() for each in seen)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_as_often_and_stays_in_the_box(method: str) -> None:
    end = search(method, 0, 8, real_data(), epochs=1)
    assert end["trainings"] == 8
    assert all(0 <= x <= 1 for x in end["x"])


def test_a_search_and_its_judgement_give_the_same_bits_twice() -> None:
    first = search("CMA-ES", 1, 8, real_data(), epochs=1)
    assert first == search("CMA-ES", 1, 8, real_data(), epochs=1)
    assert first["x"] != search("CMA-ES", 2, 8, real_data(), epochs=1)["x"]
    assert judge(first["x"], 0, 2, real_data(), 1) == judge(first["x"], 0, 2, real_data(), 1)


def test_stretched_keeps_the_ends_and_grows() -> None:
    np.testing.assert_allclose(stretched(np.array([0.0, 0.5, 1.0])), [0, 0.25, 1], atol=1e-12)


def test_components_find_the_parts_of_a_layout() -> None:
    rng = np.random.default_rng(0)
    a, s, i = 60, 60, 5
    values = (0.3 * rng.normal(size=(a, 1, 1)) + 0.5 * rng.normal(size=(1, s, 1))
              + 0.2 * rng.normal(size=(a, s, 1)) + 0.4 * rng.normal(size=(a, s, i)))  # fmt: skip
    # 60 draws give a standard deviation to 1/√118 = 9 %; what is left is √(0.2² + 0.4²).
    np.testing.assert_allclose(components(values), [0.3, 0.5, 0.447], rtol=0.25)
    assert components(values)[2] == pytest.approx(0.447, rel=0.02)
    assert abs(shared(values)) < 0.02
    common = rng.normal(size=(1, s, i))
    assert shared(values + common) == pytest.approx(1 / 1.16, abs=0.1)
