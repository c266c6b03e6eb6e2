"""Training by backpropagation, the yardstick for searches on the same network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from zorl.common.streams import Streams
from zorl.common.types import Vector
from zorl.common.validation import at_least
from zorl.networks.classifier import MlpClassifier
from zorl.optimizers.base import start_vector
from zorl.optimizers.step_rules import StepRule


def gradient(network: MlpClassifier, theta: ArrayLike, images: object, labels: object) -> Vector:
    """Return the gradient (d,) of the mean cross-entropy at θ (d,), by backpropagation."""
    import torch
    from torch.nn.functional import cross_entropy

    pixels, digits = network.batch(images, labels)
    tensors = [tensor.requires_grad_() for tensor in network.tensors(np.array(theta, np.float32))]
    h = pixels
    for layer in range(0, len(tensors), 2):
        h = torch.addmm(tensors[layer + 1], h if layer == 0 else h.relu(), tensors[layer].T)
    parts = torch.autograd.grad(cross_entropy(h, digits), tensors)
    flat = torch.cat([part.reshape(-1) for part in parts])
    return flat.cpu().numpy().astype(np.float64)


def train_by_backpropagation(
    network: MlpClassifier,
    images: Any,
    labels: Any,
    step_rule: StepRule,
    batch_size: int,
    iterations: int,
    streams: Streams,
    measure: Callable[[Vector], Mapping[str, float]],
    points: int = 50,
    augment: Callable[[Any, Any], Any] | None = None,
) -> list[dict[str, float]]:
    """Train from `network.init`; return a curve like `zorl.search.checkpointed.long_search`.

    A gradient counts as one evaluation of its mini-batch. `augment` is as in `NodePerturbation`.
    """
    import torch

    at_least("iterations", iterations, 1)
    theta = start_vector(network.init(streams.init()))
    memory = step_rule.init(theta.size)
    curve: list[dict[str, float]] = []
    cpu = wall = 0.0

    def point(done: int) -> None:
        times = {"cpu_seconds": cpu, "seconds": wall}
        curve.append({"generation": done, "evaluations": done, **times, **measure(theta)})

    point(0)
    for t in range(iterations):
        began_cpu, began = time.process_time(), time.perf_counter()
        chosen = streams.search(t).integers(len(images), size=batch_size)
        batch = images[chosen]
        if augment is not None:
            generator = torch.Generator(network.device)
            generator.manual_seed(int(streams.search(t).integers(1 << 62)))
            batch = augment(network.batch(batch, ())[0], generator)
        slope = gradient(network, theta, batch, labels[chosen])
        step, memory = step_rule.step(memory, -slope, t)
        theta = theta + step
        cpu += time.process_time() - began_cpu
        wall += time.perf_counter() - began
        if (t + 1) * points // iterations > t * points // iterations:
            point(t + 1)
    return curve
