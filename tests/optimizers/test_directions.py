"""Directions: moments, orthogonal blocks, coordinates; guided and structured ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from zorl.common.errors import ConfigurationError
from zorl.optimizers import SGD, GradientSearch, Guide, Perturbed, guided_es, mpge
from zorl.optimizers.directions import DIRECTIONS, UNIT_DIRECTIONS, coordinate, orthogonal
from zorl.optimizers.weights import SCHEMES

Z = 4.5  # standard errors


def rng_of(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("dim", [1, 2, 11])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_have_zero_mean_and_identity_covariance(name, dim):
    rng, m = rng_of(), max(1, dim // 2)
    rows = np.concatenate([DIRECTIONS[name](rng, m, dim) for _ in range(8000 // m)])
    assert np.abs(rows.mean(axis=0)).max() < Z / np.sqrt(len(rows))
    products = rows[:, :, None] * rows[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(rows))
    assert (np.abs(products.mean(axis=0) - np.eye(dim)) <= Z * error + 1e-12).all()


@pytest.mark.parametrize("m", [1, 3, 7])
def test_directions_have_their_shapes(m):
    d = 7
    drawn = {name: sampler(rng_of(), m, d) for name, sampler in DIRECTIONS.items()}
    assert all(rows.shape == (m, d) and rows.dtype == np.float64 for rows in drawn.values())
    assert set(np.unique(drawn["rademacher"])) == {-1.0, 1.0}
    assert np.abs(drawn["uniform"]).max() <= np.sqrt(3)
    assert np.abs(DIRECTIONS["uniform"](rng_of(), 1000, 1)).max() > 0.99 * np.sqrt(3)
    np.testing.assert_allclose((drawn["sphere"] ** 2).sum(axis=1), np.full(m, d), rtol=1e-12)
    gram = drawn["orthogonal"] @ drawn["orthogonal"].T
    np.testing.assert_allclose(gram, d * np.eye(m), atol=1e-12)


def test_rows_of_all_other_directions_are_independent():
    for name in ("gaussian", "uniform", "rademacher", "sphere"):
        pairs = [DIRECTIONS[name](rng_of(seed), 2, 5) for seed in range(500)]
        assert np.std([a @ b for a, b in pairs]) == pytest.approx(np.sqrt(5), rel=0.2)


@pytest.mark.parametrize(("m", "dim"), [(3, 5), (5, 5), (8, 5), (12, 5), (3, 1)])
@pytest.mark.parametrize("draw", [orthogonal, coordinate])
def test_rows_are_orthogonal_within_blocks_of_d(draw, m, dim):
    rows = draw(rng_of(), m, dim)
    assert rows.shape == (m, dim)
    for start in range(0, m, dim):
        block = rows[start : start + dim]
        np.testing.assert_allclose(block @ block.T, dim * np.eye(len(block)), atol=1e-12)


def test_blocks_are_independent_of_one_another():
    products = [(rows := orthogonal(rng_of(seed), 10, 5))[0] @ rows[5] for seed in range(800)]
    assert abs(np.mean(products)) < Z * np.sqrt(5 / 800)
    assert np.std(products) == pytest.approx(np.sqrt(5), rel=0.1)  # two random rows of length √5


@pytest.mark.parametrize("m", [5, 10])
@pytest.mark.parametrize("draw", ["orthogonal", "coordinate"])
def test_whole_blocks_give_the_gradient_of_a_linear_function_exactly(draw, m):
    g = np.arange(1.0, 6.0)
    search = GradientSearch(SGD(1.0), 0.3, m, draw)
    state = search.init(np.zeros(5))
    asked = search.ask(state, rng_of())
    np.testing.assert_allclose(search.gradient(state, asked, asked.thetas @ g), g, rtol=1e-12)


def test_coordinates_are_all_drawn_before_one_comes_again_and_with_both_signs():
    rows = coordinate(rng_of(), 600, 6)
    axes = np.abs(rows).argmax(axis=1).reshape(-1, 6)
    assert (np.sort(axes, axis=1) == np.arange(6)).all()
    assert not (axes == axes[0]).all()
    signs = rows.sum(axis=1) / np.sqrt(6)
    assert set(np.round(signs, 12)) == {-1.0, 1.0} and abs(signs.sum()) < Z * np.sqrt(600)


@pytest.mark.parametrize("name", UNIT_DIRECTIONS)
def test_unit_directions_are_shorter_by_the_root_of_d(name):
    rows = UNIT_DIRECTIONS[name](rng_of(), 4, 9)
    full = DIRECTIONS[name.removeprefix("unit-")](rng_of(), 4, 9)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), np.ones(4), rtol=1e-12)
    np.testing.assert_allclose(rows * 3, full, rtol=1e-12)


# -- guided --------------------------------------------------------------------------------------


def test_guided_directions_have_the_stated_covariance():
    guide, d = Guide(memory=2, share=0.6), 6
    recent = guide.init(d)
    for gradient in (np.array([3.0, 0, 0, 0, 0, 0]), np.array([1.0, -2.0, 0, 0, 0, 0])):
        recent = guide.remember(recent, gradient)
    rows = guide.stretch(rng_of().standard_normal((40_000, d)), recent, rng_of(1))
    expected = np.eye(d) * 0.4
    expected[:2, :2] += 0.6 * d / 2 * np.eye(2)
    products = rows[:, :, None] * rows[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(rows))
    assert (np.abs(products.mean(axis=0) - expected) <= Z * error).all()
    assert np.trace(expected) == pytest.approx(d)  # as long as any other directions


def test_guided_directions_are_isotropic_before_the_first_estimate():
    guide = Guide()
    rows = rng_of().standard_normal((3, 5))
    assert guide.stretch(rows, guide.init(5), rng_of()) is rows
    assert guide.remember(guide.init(5), np.zeros(5)).sum() == 0  # no estimate from no signal


def test_estimates_that_repeat_span_what_they_span():
    guide, gradient = Guide(memory=3), np.array([0.0, 2.0, 0.0, 0.0])
    recent = guide.init(4)
    for scale in (1.0, 1e-9, 1e9):
        recent = guide.remember(recent, scale * gradient)
    basis = guide.basis(recent)
    assert basis.shape == (1, 4) and abs(basis[0, 1]) == pytest.approx(1)


def test_the_guide_keeps_the_last_estimates_in_the_state():
    search = GradientSearch(SGD(0.1), 0.1, 3, guide=Guide(2))
    state, seen = search.init(np.ones(4)), []
    for t in range(3):
        asked = search.ask(state, rng_of(t))
        returns = -(asked.thetas**2).sum(axis=1)
        seen.append(search.gradient(state, asked, returns))
        state = search.tell(state, asked, returns)
    units = [gradient / np.linalg.norm(gradient) for gradient in seen]
    np.testing.assert_allclose(state.recent, [units[2], units[1]], rtol=1e-12)
    assert not state.recent.flags.writeable


def test_guided_estimates_point_further_uphill_where_the_gradient_hardly_turns():
    slope = np.linspace(-1, 1, 60)

    def cosine(search):
        state, cosines = search.init(np.zeros(60)), []
        for t in range(100):
            asked = search.ask(state, rng_of(t))
            returns = asked.thetas @ slope
            gradient = search.gradient(state, asked, returns)
            cosines.append(gradient @ slope / np.linalg.norm(gradient) / np.linalg.norm(slope))
            state = search.tell(state, asked, returns)
        return np.mean(cosines[10:])

    guided, plain = guided_es(0.01, 0.1, m=8, memory=4), GradientSearch(SGD(0.01), 0.1, 8)
    assert cosine(guided) > 1.3 * cosine(plain)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Guide(memory=0), "must be an integer ≥ 1"),
        (lambda: Guide(memory="all"), "must be an integer ≥ 1, got 'all'"),
        (lambda: Guide(share=1.0), r"share must be a number in \[0, 1\), got 1.0"),
        (lambda: Guide(share="a"), r"share must be a number in \[0, 1\), got 'a'"),
        (
            lambda: GradientSearch(SGD(0.1), 0.1, guide=4),
            r"guide must be a Guide\(\) or None, got 4",
        ),
        (lambda: GradientSearch(SGD(0.1), 0.1, guide=Guide), "guide must be a Guide.*got <class"),
        (lambda: guided_es(memory=4).init([1.0, 2.0]), "memory = 4 .* more than d = 2"),
    ],
)
def test_guides_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 9])
def test_the_guide_keeps_four_estimates_or_as_many_as_there_are_dimensions(dim):
    search = guided_es(0.01, 0.1)
    assert search.guide.memory is None
    state, rng = search.init(np.ones(dim)), rng_of()
    assert state.recent.shape == (min(4, dim), dim)
    for _ in range(60):
        asked = search.ask(state, rng)
        state = search.tell(state, asked, -(asked.thetas**2).sum(axis=1))
    assert state.recent.shape == (min(4, dim), dim)
    assert np.linalg.norm(state.theta) < 0.8 * np.sqrt(dim)


def test_four_estimates_are_what_none_means():
    ends = []
    for guide in (Guide(), Guide(4)):
        search = GradientSearch(SGD(0.1), 0.1, 3, guide=guide)
        state = search.init(np.ones(6))
        for t in range(8):
            asked = search.ask(state, rng_of(t))
            state = search.tell(state, asked, -(asked.thetas**2).sum(axis=1))
        ends.append(state.theta)
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("directions", [*UNIT_DIRECTIONS, *UNIT_DIRECTIONS.values()])
def test_unit_directions_cannot_be_guided(directions):
    """Their own part would be d times smaller than the part along the estimates."""
    with pytest.raises(ConfigurationError, match='unit directions have 1: use "sphere"'):
        GradientSearch(SGD(0.1), 0.1, 2, directions, guide=Guide())
    assert GradientSearch(SGD(0.1), 0.1, 2, directions).guide is None


# -- structured: no (n, d) matrix ----------------------------------------------------------------


@dataclass(frozen=True)
class RankOne:
    """Rows vec(aᵢ bᵢᵀ) of a (p, q) weight matrix, kept as their factors."""

    a: np.ndarray  # (m, p)
    b: np.ndarray  # (m, q)

    @property
    def shape(self):
        return len(self.a), self.a.shape[1] * self.b.shape[1]

    def dense(self):
        return np.einsum("mp,mq->mpq", self.a, self.b).reshape(self.shape)

    def combine(self, weights):
        return ((self.a.T * weights) @ self.b).ravel()


def rank_one(rng, m, dim):
    p = int(np.sqrt(dim))
    return RankOne(rng.standard_normal((m, p)), rng.standard_normal((m, dim // p)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_structured_directions_search_as_dense_ones_without_a_matrix(scheme):
    structured = GradientSearch(SGD(0.1), 0.2, 5, rank_one, scheme)
    dense = GradientSearch(SGD(0.1), 0.2, 5, lambda *sizes: rank_one(*sizes).dense(), scheme)
    states = [search.init(np.linspace(-1, 1, 12)) for search in (structured, dense)]
    for t in range(3):
        asked = [
            search.ask(state, rng_of(t))
            for search, state in zip((structured, dense), states, strict=True)
        ]
        assert isinstance(asked[0].candidates, Perturbed)
        assert len(asked[0]) == len(asked[1]) == asked[0].candidates.shape[0]
        assert "thetas" not in vars(asked[0])  # no matrix was built so far
        returns = np.sin(np.arange(len(asked[0])) + t)
        states = [
            search.tell(state, each, returns)
            for search, state, each in zip((structured, dense), states, asked, strict=True)
        ]
        assert "thetas" not in vars(asked[0])
        np.testing.assert_allclose(asked[0].thetas, asked[1].thetas, rtol=1e-12)
        np.testing.assert_allclose(states[0].theta, states[1].theta, rtol=1e-12)
    assert not asked[0].thetas.flags.writeable


@pytest.mark.parametrize("scheme", SCHEMES)
def test_structured_candidates_of_another_number_are_refused(scheme):
    three, five = (GradientSearch(SGD(0.1), 0.2, m, rank_one, scheme) for m in (3, 5))
    state = three.init(np.ones(12))
    asked = five.ask(state, rng_of())
    with pytest.raises(ConfigurationError, match=r"shape \(5, 12\), but .* shape \(3, 12\)"):
        three.tell(state, asked, np.arange(float(len(asked))))


@pytest.mark.parametrize(
    ("draw", "found"),
    [
        (lambda rng, m, d: rng.standard_normal((m + 1, d)), r"\(4, 12\)"),
        (lambda rng, m, d: rng.standard_normal((d, m)), r"\(12, 3\)"),
        (lambda rng, m, d: rng.standard_normal(d), r"\(12,\)"),
        (lambda rng, m, d: rank_one(rng, m, d - 2), r"\(3, 9\)"),
        (lambda rng, m, d: [[0.0] * d] * m, "no array but a list"),
    ],
)
def test_directions_of_ones_own_must_have_the_shape_that_they_were_asked_for(draw, found):
    search = GradientSearch(SGD(0.1), 0.2, 3, draw)
    with pytest.raises(ConfigurationError, match=rf"\(m, d\) = \(3, 12\), got {found}"):
        search.ask(search.init(np.ones(12)), rng_of())


def test_structured_directions_need_no_room_for_the_matrix():
    """64 candidates of 9 million parameters would be 4.6 GB."""
    import tracemalloc

    search = GradientSearch(SGD(0.1), 0.2, 32, rank_one)
    state = search.init(np.zeros(3000 * 3000))
    tracemalloc.start()
    asked = search.ask(state, rng_of())
    search.tell(state, asked, np.arange(64.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(asked) == 64 and peak < 6 * state.theta.nbytes


def test_more_directions_than_dimensions_are_no_error():
    search = mpge(m=4)
    state = search.init(np.zeros(3))
    assert search.ask(state, rng_of()).thetas.shape == (8, 3)
