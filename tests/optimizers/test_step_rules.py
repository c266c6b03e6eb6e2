"""Step rules against torch's optimizers and against Spall's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zorl.common.errors import ConfigurationError
from zorl.optimizers import SGD, Adam, Annealed, Clipped, ClipUp, GainSequence

GRADIENTS = np.random.default_rng(0).normal(size=(60, 4)) * [1e-6, 1, 30, 1e4]
GRADIENTS[20:30, 1] = 0.0


def steps_of(rule, gradients=GRADIENTS):
    """Every step of a rule on a sequence of gradients."""
    state, steps = rule.init(gradients.shape[1]), []
    for t, gradient in enumerate(gradients):
        step, state = rule.step(state, gradient, t)
        steps.append(step)
    return np.array(steps)


def torch_steps(make, gradients=GRADIENTS):
    parameter = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer, steps = make([parameter]), []
    for gradient in gradients:
        before = parameter.detach().clone()
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        steps.append((parameter.detach() - before).numpy())
    return np.array(steps)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.01},
        {"learning_rate": 0.3, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3},
        {"learning_rate": 1.0, "beta1": 0.0, "beta2": 0.0},
    ],
    ids=["default", "other", "no memory"],
)
def test_adam_is_torchs_with_maximize(options):
    rule = Adam(**options)
    steps = torch_steps(
        lambda parameters: torch.optim.Adam(
            parameters, rule.learning_rate, (rule.beta1, rule.beta2), rule.epsilon, maximize=True
        )
    )
    # The theta of torch that the steps were read from carries rounding of about 1e-13.
    np.testing.assert_allclose(steps_of(rule), steps, rtol=1e-9, atol=1e-12)


def test_adams_first_step_is_the_learning_rate_uphill_whatever_the_scale():
    step, _ = Adam(0.25).step(Adam(0.25).init(3), np.array([1e-3, -5.0, 0.0]), 0)
    np.testing.assert_allclose(step, [0.25, -0.25, 0.0], rtol=2e-5)


def test_adam_goes_by_the_count_of_updates_that_it_is_told():
    rule, gradient = Adam(1.0, beta1=0.5, beta2=0.75), np.array([2.0])
    state = rule.init(1)
    first, second = 0.5 * 2, 0.25 * 4
    expected = (first / (1 - 0.5**4)) / (np.sqrt(second / (1 - 0.75**4)) + 1e-8)
    assert rule.step(state, gradient, 3)[0][0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.5])
def test_sgd_is_torchs_with_maximize(momentum):
    steps = torch_steps(
        lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=momentum, maximize=True)
    )
    np.testing.assert_allclose(steps_of(SGD(0.1, momentum)), steps, rtol=1e-9, atol=1e-10)


def test_plain_sgd_is_the_gradient_times_the_learning_rate():
    np.testing.assert_array_equal(steps_of(SGD(0.125)), 0.125 * GRADIENTS)


def test_the_heavy_ball_by_hand():
    steps = steps_of(SGD(0.1, momentum=0.5), np.array([[8.0], [0.0], [4.0]]))
    np.testing.assert_allclose(steps.ravel(), [0.8, 0.4, 0.6], rtol=1e-15)


@pytest.mark.parametrize(
    ("rule", "gains"),
    [
        (GainSequence(0.5), [0.5, 0.5 / 2**0.602, 0.5 / 3**0.602]),
        (GainSequence(2.0, stability=10.0), [2 / 11**0.602, 2 / 12**0.602, 2 / 13**0.602]),
        (GainSequence(1.0, stability=1.0, alpha=1.0), [1 / 2, 1 / 3, 1 / 4]),
    ],
    ids=["default", "stability", "alpha"],
)
def test_gains_are_spalls(rule, gains):
    steps = steps_of(rule, np.tile([3.0, -1.0], (3, 1)))
    np.testing.assert_allclose(steps, np.outer(gains, [3, -1]), rtol=1e-14)


RULES = [
    SGD(0.1), SGD(0.1, momentum=0.9), GainSequence(0.1), Adam(0.1), Annealed(Adam(0.1), 50, 0.5)
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_are_pure(rule):
    state = rule.init(4)
    for t in range(3):
        gradient = GRADIENTS[t].copy()
        gradient.setflags(write=False)
        copies = state.first.copy(), state.second.copy()
        step, after = rule.step(state, gradient, t)
        again, _ = rule.step(state, gradient, t)
        np.testing.assert_array_equal(step, again)
        np.testing.assert_array_equal(state.first, copies[0])
        np.testing.assert_array_equal(state.second, copies[1])
        assert not np.shares_memory(step, gradient)
        state = after
        for memory in (state.first, state.second):
            assert not memory.flags.writeable
            assert not np.shares_memory(step, memory)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_zero_gradient_at_the_start_is_a_zero_step(rule):
    step, _ = rule.step(rule.init(4), np.zeros(4), 0)
    np.testing.assert_array_equal(step, np.zeros(4))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_ascends(rule):
    step, _ = rule.step(rule.init(4), GRADIENTS[0], 0)
    np.testing.assert_array_equal(np.sign(step), np.sign(GRADIENTS[0]))


BAD_POSITIVE = [0.0, -1.0, np.nan, np.inf]


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        *((SGD, {"learning_rate": bad}) for bad in BAD_POSITIVE),
        *((SGD, {"learning_rate": 1.0, "momentum": bad}) for bad in (1.0, -0.1, np.nan, "a")),
        (ClipUp, {"learning_rate": 1.0, "momentum": "a"}),
        (SGD, {"learning_rate": "a"}),
        *((GainSequence, {"a": bad}) for bad in BAD_POSITIVE),
        *((GainSequence, {"a": 1.0, "alpha": bad}) for bad in BAD_POSITIVE),
        *((GainSequence, {"a": 1.0, "stability": bad}) for bad in (-1.0, np.nan, np.inf)),
        *((Adam, {"learning_rate": bad}) for bad in BAD_POSITIVE),
        *((Adam, {"learning_rate": 1.0, "epsilon": bad}) for bad in BAD_POSITIVE),
        *((Adam, {"learning_rate": 1.0, "beta1": bad}) for bad in (1.0, -0.1, np.nan)),
        *((Adam, {"learning_rate": 1.0, "beta2": bad}) for bad in (1.0, -0.1, np.nan, [0.5])),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(rule, options):
    name = list(options)[-1]
    with pytest.raises(ConfigurationError, match=f"{name} .*must be .*got"):
        rule(**options)


# -- ClipUp, clipping, Nesterov ------------------------------------------------------------------


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.9, True), (0.1, True)])
def test_momentum_is_torchs(momentum, nesterov):
    rule = SGD(0.01, momentum, nesterov)
    steps = torch_steps(
        lambda parameters: torch.optim.SGD(
            parameters, 0.01, momentum, nesterov=nesterov, maximize=True
        )
    )
    np.testing.assert_allclose(steps_of(rule), steps, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "max_speed": 0.11}, {"momentum": 0.0}])
def test_clipup_is_algorithm_2(options):
    rule = ClipUp(0.1, **options)
    limit = options.get("max_speed", 0.2)
    velocity, expected = np.zeros(4), []
    for gradient in GRADIENTS:
        velocity = options.get("momentum", 0.9) * velocity + 0.1 * gradient / np.sqrt(
            (gradient**2).sum()
        )
        if np.sqrt((velocity**2).sum()) > limit:
            velocity = limit * velocity / np.sqrt((velocity**2).sum())
        expected.append(velocity)
    np.testing.assert_allclose(steps_of(rule), expected, rtol=1e-12)


def test_clipup_sees_no_scale_and_survives_no_gradient():
    np.testing.assert_allclose(
        steps_of(ClipUp(0.1), GRADIENTS * 1e9), steps_of(ClipUp(0.1)), rtol=1e-12
    )
    steps = steps_of(ClipUp(0.1), np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(steps, [[0.06, 0.08], [0.054, 0.072]], rtol=1e-12)


def test_clipped_steps_keep_their_direction_and_the_rules_memory():
    free, short = steps_of(Adam(1.0)), steps_of(Clipped(Adam(1.0), 0.7))
    lengths = np.linalg.norm(free, axis=1)
    assert (lengths > 0.7).any() and (lengths < 0.7).any()
    expected = free * np.minimum(1, 0.7 / lengths)[:, None]
    np.testing.assert_allclose(short, expected, rtol=1e-12)


def test_annealed_steps_shrink_to_nothing_and_leave_the_rules_memory_alone():
    free, annealed = steps_of(Adam(1.0)), steps_of(Annealed(Adam(1.0), 40, hold=0.25))
    factors = np.array([1.0] * 11 + [(40 - t) / 30 for t in range(11, 40)] + [0.0] * 20)
    np.testing.assert_allclose(annealed, free * factors[:, None], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annealed(SGD(0.1), 0), "updates must be an integer ≥ 1"),
        (lambda: Annealed(SGD(0.1), 5, hold=1.0), "hold must be a number in"),
        (lambda: Annealed(0.1, 5), "rule must be a step rule"),
        (lambda: ClipUp(0.0), "learning_rate must be"),
        (lambda: ClipUp(0.1, momentum=1.0), "momentum must be"),
        (lambda: ClipUp(0.1, max_speed=-1.0), "max_speed must be"),
        (lambda: Clipped(SGD(0.1), 0.0), "max_norm must be"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: SGD(0.1, 0.9, nesterov="no"), "nesterov must be True or False, got 'no'"),
        (lambda: Clipped(0.1, 1.0), r"rule must be a step rule such as SGD\(0.1\), got 0.1"),
        (lambda: Clipped(SGD, 1.0), "rule must be a step rule .*got <class"),
    ],
)
def test_rules_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()
