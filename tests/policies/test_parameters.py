"""zorl.policies.parameters: a module's tensors as one vector with a named layout, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.policies.parameters import Entry, Layout


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1, bias=False))


def test_a_layout_names_every_tensor_in_torchs_order() -> None:
    layout = Layout.of(network())
    assert layout.entries == (
        Entry("0.weight", (3, 2), 0),
        Entry("0.bias", (3,), 6),
        Entry("1.weight", (3,), 9),
        Entry("1.bias", (3,), 12),
        Entry("2.weight", (1, 3), 15),
    )
    assert layout.dim == 18
    module: Any = network()
    vector = nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    np.testing.assert_array_equal(layout.flatten(module), vector)
    assert layout.flatten(module).dtype == np.float64


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_there_and_back_are_copies(kind: Any) -> None:
    module: Any = network()
    layout = Layout.of(module)
    theta = layout.flatten(module).astype(kind)
    before = theta.copy()
    tensors = layout.unflatten(theta)
    assert [(name, values.shape) for name, values in tensors.items()] == [
        (entry.name, entry.shape) for entry in layout.entries
    ]
    for name, values in tensors.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, module.get_parameter(name).detach().numpy())
        values += 1
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_array_equal(layout.flatten(module), before)
    theta += 1
    np.testing.assert_array_equal(layout.flatten(module), before)


def test_load_writes_into_the_module_and_keeps_no_view() -> None:
    module: Any = network()
    layout = Layout.of(module)
    theta = np.arange(18.0)
    layout.load(module, theta)
    theta[:] = -1
    np.testing.assert_array_equal(layout.flatten(module), np.arange(18.0))
    assert module[0].weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert module[2].weight.tolist() == [[15, 16, 17]]


def test_tied_weights_count_once_and_stay_tied() -> None:
    module = Tied()
    layout = Layout.of(module)
    assert [entry.name for entry in layout.entries] == ["first.weight", "first.bias"]
    assert layout.dim == 12
    layout.load(module, np.arange(12.0))
    assert module.second.weight is module.first.weight
    assert module.second.weight.flatten().tolist() == list(range(9))


def test_frozen_parameters_are_not_searched() -> None:
    module: Any = network()
    module[0].weight.requires_grad_(False)
    layout = Layout.of(module)
    assert layout.entries[0].name == "0.bias"
    assert layout.dim == 12
    module.requires_grad_(False)
    with pytest.raises(ConfigurationError, match="no parameters to search; are all of them frozen"):
        Layout.of(module)


def test_buffers_are_searched_when_asked() -> None:
    module: Any = network()
    layout = Layout.of(module, ["1.running_mean"])
    assert layout.entries[-1] == Entry("1.running_mean", (3,), 18)
    theta = layout.flatten(module)
    assert theta[18:].tolist() == [0, 0, 0]
    theta[18:] = [1, 2, 3]
    layout.load(module, theta)
    assert module[1].running_mean.tolist() == [1, 2, 3]
    with pytest.raises(UnknownNameError, match=r"did you mean '1\.running_mean'"):
        Layout.of(module, ["1.runing_mean"])
    with pytest.raises(ConfigurationError, match=r"1.num_batches_tracked is torch.int64"):
        Layout.of(module, ["1.num_batches_tracked"])


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"0.weight is torch.float64.*call .float\(\)"):
        Layout.of(network().double())


@pytest.mark.parametrize(
    ("theta", "words"),
    [
        (np.zeros(17), r"18 floats, got float64 of shape \(17,\)"),
        (np.zeros((1, 18)), r"18 floats, got float64 of shape \(1, 18\)"),
        (np.zeros(18, np.int64), "18 floats, got int64"),
        (np.full(18, np.nan), "no finite numbers in float32"),
        (np.full(18, 1e39), "no finite numbers in float32"),
    ],
)
def test_a_theta_that_does_not_fit_is_refused(theta: Any, words: str) -> None:
    module: Any = network()
    layout = Layout.of(module)
    before = layout.flatten(module)
    for call in (layout.unflatten, lambda theta: layout.load(module, theta)):
        with pytest.raises(ConfigurationError, match=words):
            call(theta)
    np.testing.assert_array_equal(layout.flatten(module), before)


def test_a_module_of_another_layout_is_refused() -> None:
    layout = Layout.of(network())
    other = nn.Sequential(nn.Linear(2, 4))
    with pytest.raises(ConfigurationError, match=r"0.weight must have shape \(3, 2\), found shape"):
        layout.flatten(other)
    with pytest.raises(ConfigurationError, match=r"0.weight must .* found nothing"):
        layout.load(nn.Linear(2, 3), np.zeros(18))
