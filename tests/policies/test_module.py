"""Any torch module as a policy: the module's own outputs, row for row, whoever is beside it."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
import toy_networks
from policy_toys import raw_outputs
from torch import nn

import zorl
from zorl.agents.plan import TrainingPlan
from zorl.agents.registry import config_from_json, make_config
from zorl.common.errors import ConfigurationError
from zorl.policies.mlp import MlpPolicy
from zorl.policies.module import ModulePolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner

FEATURES = 6


def policy_of(name: Any) -> Any:
    return ModulePolicy(getattr(toy_networks, name), FEATURES, raw_outputs(3))


def batch(policy: Any, rows: Any, seed: Any = 0) -> Any:
    rng = np.random.default_rng(seed)
    start = policy.init(np.random.default_rng(1))
    thetas = (start + 0.3 * rng.normal(size=(rows, policy.dim))).astype(np.float32)
    return thetas, rng.normal(size=(rows, FEATURES))


@pytest.mark.parametrize("name", toy_networks.NETWORKS)
def test_outputs_are_those_of_the_module_with_the_rows_parameters(name: Any) -> None:
    policy = policy_of(name)
    thetas, x = batch(policy, 5)
    module = policy._make(0).eval()
    for theta, row, outputs in zip(thetas, x, policy.forward(thetas, x), strict=True):
        policy.layout.load(module, theta)
        with torch.no_grad():
            expected = module(torch.from_numpy(row[None]).float())[0].numpy()
        np.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(policy.act(thetas, x), policy.forward(thetas, x))


@pytest.mark.parametrize("name", toy_networks.NETWORKS)
def test_the_bits_of_a_row_depend_on_nothing_but_the_row(name: Any) -> None:
    policy = policy_of(name)
    assert policy.block == (1 if name == "recurrent" else 32)
    thetas, x = batch(policy, 70)
    alone = np.concatenate([policy.forward(thetas[[i]], x[[i]]) for i in range(70)])
    assert len(np.unique(alone, axis=0)) == 70
    bound = policy.bind(thetas)
    for n in (1, 2, 31, 32, 33, 70):
        np.testing.assert_array_equal(bound(n, x[:n], None), alone[:n])
        np.testing.assert_array_equal(policy.forward(thetas[:n], x[:n]), alone[:n])
    order = np.random.default_rng(3).permutation(70)
    np.testing.assert_array_equal(policy.forward(thetas[order], x[order]), alone[order])
    huge = thetas.copy()
    huge[1::2] *= 1e30  # what overflows beside it, too
    np.testing.assert_array_equal(policy.bind(huge)(70, x, None)[::2], alone[::2])


def test_bind_reads_rows_that_were_replaced_between_calls() -> None:
    policy = policy_of("perceptron")
    lanes, x = batch(policy, 3)
    actor = policy.bind(lanes)
    before = actor(3, x, None)
    kept = before.copy()
    lanes[1] += 1
    after = actor(3, x, None)
    np.testing.assert_array_equal(before, kept)
    assert (after != before).any(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(after, policy.forward(lanes, x))


def test_tied_weights_are_searched_once_and_used_twice() -> None:
    policy = policy_of("tied")
    assert [entry.name for entry in policy.layout.entries] == [
        "first.weight",
        "first.bias",
        "middle.weight",
        "last.weight",
        "last.bias",
    ]
    thetas, x = batch(policy, 1)
    weights = policy.layout.unflatten(thetas[0])
    hidden = np.tanh(weights["first.weight"] @ x[0] + weights["first.bias"])
    for _ in range(2):
        hidden = np.tanh(weights["middle.weight"] @ hidden)
    expected = weights["last.weight"] @ hidden + weights["last.bias"]
    np.testing.assert_allclose(policy.forward(thetas, x)[0], expected, rtol=1e-5)


def test_buffers_are_used_as_they_are_and_left_alone() -> None:
    module: Any = toy_networks.normalised(FEATURES, 3)
    module[1].running_mean += 5
    module.train()
    policy: Any = ModulePolicy(module, FEATURES, raw_outputs(3))
    thetas, x = batch(policy, 4)
    before = policy.forward(thetas, x)
    np.testing.assert_array_equal(policy.forward(thetas, x), before)
    assert policy.module[1].running_mean.tolist() == module[1].running_mean.tolist() == [5.0] * 8
    assert module.training  # the caller's own is not touched
    searched = ModulePolicy(module, FEATURES, raw_outputs(3), buffers=("1.running_mean",))
    assert searched.dim == policy.dim + 8
    more = np.concatenate([thetas, np.full((4, 8), 5, np.float32)], axis=1)
    np.testing.assert_allclose(searched.forward(more, x), before, rtol=1e-6)
    more[:, -8:] = 0
    assert (searched.forward(more, x) != before).any()


def test_a_factory_starts_from_its_own_initialisation_seeded() -> None:
    policy = policy_of("perceptron")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (policy.init(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is the caller's
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert np.abs(one[: 8 * FEATURES]).max() <= 1 / np.sqrt(FEATURES)
    assert one.dtype == np.float64


def test_a_module_starts_from_its_own_parameters() -> None:
    module = toy_networks.perceptron(FEATURES, 3)
    policy = ModulePolicy(module, FEATURES, raw_outputs(3))
    start = policy.init(np.random.default_rng(0))
    vector = nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    np.testing.assert_array_equal(start, vector)
    start += 1
    np.testing.assert_array_equal(policy.init(np.random.default_rng(0)), vector)


def test_torch_keeps_its_number_of_threads() -> None:
    before = torch.get_num_threads()
    seen = []

    class Spy(nn.Linear):
        def forward(self, x: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().forward(x)

    torch.set_num_threads(3)
    try:
        policy = ModulePolicy(Spy(FEATURES, 3), FEATURES, raw_outputs(3))
        policy.forward(*batch(policy, 2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


@pytest.mark.parametrize("copier", [pickle, cloudpickle], ids=lambda module: module.__name__)
def test_a_policy_travels_to_workers(copier: Any) -> None:
    policy = policy_of("perceptron")
    copy = copier.loads(copier.dumps(policy))
    thetas, x = batch(policy, 3)
    np.testing.assert_array_equal(copy.forward(thetas, x), policy.forward(thetas, x))
    assert copy.block == policy.block


class Random(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x) + torch.rand(1)


class Counting(nn.Linear):
    """Sees the count in its outputs from the thousandth call on."""

    calls: torch.Tensor

    def __init__(self, features: Any, outputs: Any) -> None:
        super().__init__(features, outputs)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return super().forward(x) + (self.calls > 1000)


class Wide(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x)[0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda i, o: nn.Linear(i, o + 1), r"return a tensor of shape \(1, 3\) .* got \(1, 4\)"),
        (lambda i, o: Wide(i, o), r"return a tensor of shape \(1, 3\) .* got \(3,\)"),
        (lambda i, o: nn.Linear(i + 1, o), r"Linear failed on features of shape \(1, 6\)"),
        (lambda i, o: Random(i, o), "other outputs for the same features"),
        (lambda i, o: Counting(i, o), "Counting changes its buffer calls when it is called"),
        (lambda i, o: nn.Linear(i, o).double(), "torch.float64"),
        (lambda i, o: nn.Flatten(), "no parameters to search"),
        (lambda i, o: 7, "factory returned int"),
        (lambda i: None, "factory raised TypeError for 6 features and 3 outputs"),
    ],
)
def test_what_is_no_policy_is_refused(source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ModulePolicy(source, FEATURES, raw_outputs(3))


def test_arguments_of_another_shape_are_refused() -> None:
    policy = policy_of("perceptron")
    thetas, x = batch(policy, 3)
    with pytest.raises(ConfigurationError, match=r"observations must have shape \(n, 6\)"):
        policy.act(thetas, x[:, 1:])
    with pytest.raises(ConfigurationError, match=r"thetas must be \(n, 83\) with n = 3 or 1"):
        policy.act(thetas[:2], x)
    with pytest.raises(ConfigurationError, match=r"thetas must be float32 of shape \(n, 83\)"):
        policy.bind(thetas.astype(np.float64))
    assert policy.act(thetas[:0], x[:0]).shape == (0, 3)


def test_a_module_that_vmap_cannot_run_says_so(caplog: pytest.LogCaptureFixture) -> None:
    policy_of("recurrent")
    assert "GRU" in caplog.text or "runs row by row: torch.func.vmap raised" in caplog.text


def test_rollouts_of_the_same_network_agree_with_zorls_own() -> None:
    task = zorl.make_task("CartPole-v1")
    env = task.make()
    decoder = ActionDecoder.for_space(env.action_space)
    env.close()
    own = MlpPolicy(4, decoder, (8,))
    theirs = ModulePolicy(toy_networks.perceptron, 4, decoder)
    assert own.dim == theirs.dim
    thetas = np.random.default_rng(2).normal(size=(6, own.dim)).astype(np.float32)
    batch = EpisodeBatch(thetas, (3, 4, 5), Normalizer.create("off", np.zeros(4), np.zeros(4)))
    results = []
    for policy, lanes in ((own, 4), (theirs, 4), (theirs, 64)):
        out = EpisodeResults.empty(batch)
        GymnasiumRunner(task, policy, lanes).run(batch, range(len(batch)), out)
        results.append(out.returns.tolist())
    assert results[1] == results[2]
    assert results[0] == results[1]  # outputs differ by rounding, and no choice by that little
    assert len(set(results[0])) > 5


OPTIONS: dict[str, Any] = {"episodes": 1, "seed": 3}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_agent_is_trained_by_reference_saved_and_loaded(tmp_path: Path, workers: int) -> None:
    reference = "toy_networks:perceptron"
    agent: Any = zorl.make_agent(
        "openai-es", "CartPole-v1", policy=reference, workers=workers, **OPTIONS
    )
    assert agent.config["policy"] == reference
    assert config_from_json(agent.config).to_json() == {
        name: value for name, value in agent.config.items() if name != "family"
    }
    agent.learn(500)
    agent.save(tmp_path / "agent.zip")
    loaded: Any = zorl.load_agent(tmp_path / "agent.zip")
    x = np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_array_equal(loaded.predict(x)[0], agent.predict(x)[0])
    for one in (agent, loaded):
        one.learn(500)
        one.close()
    assert loaded.state.theta.tobytes() == agent.state.theta.tobytes()
    # A factory given as it is has that name too, and is the same agent.
    same: Any = zorl.make_agent(
        "openai-es", "CartPole-v1", policy=toy_networks.perceptron, **OPTIONS
    )
    assert same.config["policy"] == reference
    same.learn(agent.num_timesteps)
    same.close()
    assert same.state.theta.tobytes() == agent.state.theta.tobytes()


def test_a_module_without_a_name_is_needed_again_to_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = toy_networks.perceptron(4, 2)
    agent: Any = zorl.make_agent("openai-es", "CartPole-v1", policy=module, **OPTIONS)
    with caplog.at_level(logging.WARNING, "zorl"):
        agent.save(tmp_path / "agent.zip")
        agent.save(tmp_path / "agent.zip")
    assert caplog.text.count("load such a file with zorl.load_agent(path, policy=…)") == 1
    with pytest.raises(ConfigurationError, match="<Sequential> was given in Python and has no"):
        zorl.load_agent(tmp_path / "agent.zip")
    loaded: Any = zorl.load_agent(tmp_path / "agent.zip", policy=module)
    assert loaded.state.theta.tobytes() == agent.state.theta.tobytes()
    agent.close()
    loaded.close()


def test_a_network_without_a_name_is_trained_to_the_end() -> None:
    """Its best version is evaluated in the end, which no file could tell how to make."""
    agent: Any = zorl.make_agent("openai-es", "CartPole-v1", policy=lambda *size: nn.Linear(*size))
    plan = TrainingPlan(2000, validate_every=500, validate_episodes=2, held_out=3, select="best")
    try:
        result = zorl.train(agent, plan)
    finally:
        agent.close()
    assert result.finished
    assert result.held_out is not None and result.held_out.episodes == 3


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("toy_networks.perceptron", 'or "module:function" that names one, got \'toy_networks'),
        (7, "that names one, got 7"),
        ("no_such_module:f", "policy 'no_such_module:f': no module named 'no_such_module'"),
        ("toy_networks:no_such", "the module 'toy_networks' has no 'no_such'"),
    ],
)
def test_a_policy_that_names_nothing_is_refused(policy: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        zorl.make_agent("openai-es", "CartPole-v1", policy=policy)


@pytest.mark.parametrize("name", ["hidden", "activation", "bias"])
def test_zorls_own_network_is_not_described_beside_ones_own(name: str) -> None:
    values: dict[str, Any] = {"hidden": (8,), "activation": "relu", "bias": False}
    with pytest.raises(ConfigurationError, match=f"{name} is for zorl's own network"):
        make_config("ars", "CartPole-v1", policy="toy_networks:perceptron", **{name: values[name]})
