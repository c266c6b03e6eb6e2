"""Node perturbation: an evolution strategy whose useless noise is integrated out.

Give every candidate one example, and perturb the weights of each layer by a Gaussian matrix E. The
candidate's loss depends on E only through E h, with h the layer's input: one number per unit, not
one per weight. So the evolution strategy's estimate (f(θ + E) − f(θ)) E / σ² can be replaced by its
conditional mean given E h, (f(θ + E) − f(θ)) E h hᵀ / (σ² ‖h‖²). This estimate is also unbiased
(Rao–Blackwell), and its variance grows with the number of units instead of weights: 394 instead of
235,146 for 784-256-128-10. E h is drawn directly, as noise s·u on the units' inputs. This is node
perturbation (Widrow and Lehr 1990; Flower and Jabri 1993; Fiete and Seung 2006, Phys. Rev. Lett.
97, 048104). It takes forward passes only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zorl.common.errors import ConfigurationError
from zorl.common.types import Vector, frozen
from zorl.common.validation import at_least, positive
from zorl.networks.classifier import MlpClassifier
from zorl.networks.noise import in_threads, summed
from zorl.optimizers.base import Asked, checked_returns, start_vector
from zorl.optimizers.step_rules import StepRule, StepState, check_step_rule

if TYPE_CHECKING:
    import torch

_EXAMPLES = 128  # examples of a part that one CPU thread computes


@dataclass(frozen=True)
class NodeState:
    """State of a node perturbation.

    Attributes:
        theta: the incumbent (d,).
        t: number of updates.
        memory: state of the step rule.
    """

    theta: Vector
    t: int
    memory: StepState


@dataclass(frozen=True)
class NodePerturbation:
    """θ ← θ + step(mean of (f(x, θ + noise) − f(x, θ)) / radius · u hᵀ over examples x).

    A generation draws `examples` examples. It evaluates each once without noise, and m times with
    noise radius · u on the inputs of all units at once, with u standard normal. Units that are off
    for an example are not perturbed, because the loss does not respond to them. In terms of
    weights, a layer's noise has the standard deviation radius / ‖(h, 1)‖.

    This is an optimizer like any other, for an evaluator of structured candidates:
    `FunctionEvaluator(NodePerturbation.objective, minimise=True, batched=True, structured=True)`.
    Each evaluation is of a single example. Gates are not possible, because two candidates with
    different examples cannot be compared.

    Args:
        network: the network to train.
        images: the examples (n, inputs), as a numpy array or torch tensor.
        labels: their classes (n,).
        step_rule: turns the gradient estimate into a step.
        radius: s, the standard deviation of the noise on a unit's input.
        examples: number of examples per generation, drawn with replacement.
        m: number of perturbations of each example.
        augment: changes the images (b, inputs) each time they are drawn, with a torch generator;
            for example `zorl.networks.augmentation.RandomShifts`.
    """

    network: MlpClassifier
    images: Any = field(repr=False, compare=False)
    labels: Any = field(repr=False, compare=False)
    step_rule: StepRule
    radius: float = 0.01
    examples: int = 128
    m: int = 8
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None

    def __post_init__(self) -> None:
        check_step_rule("step_rule", self.step_rule)
        positive("radius", self.radius)
        at_least("examples", self.examples, 1)
        at_least("the number of perturbations m", self.m, 1)
        if len(self.images) != len(self.labels) or not len(self.images):
            raise ConfigurationError(
                f"images and labels must have the same length > 0, got {len(self.images)} and "
                f"{len(self.labels)}"
            )

    @cached_property
    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and labels on the network's device."""
        return self.network.batch(self.images, self.labels)

    def init(self, theta: ArrayLike) -> NodeState:
        """Return the state at a starting point (d,)."""
        start = start_vector(theta)
        self.network.tensors(start)  # raises if theta belongs to another network
        return NodeState(start, 0, self.step_rule.init(start.size))

    def ask(self, state: NodeState, rng: np.random.Generator) -> Asked:
        """Return candidates: all examples without noise, then with their first noise, and so on."""
        chosen = rng.integers(len(self.images), size=self.examples)
        seed = int(rng.integers(1 << 62))
        candidates = NodeCandidates(self, state.theta, frozen(chosen), seed)
        return Asked(candidates, state.t, sigma=self.radius)

    def tell(self, state: NodeState, asked: Asked, returns: ArrayLike) -> NodeState:
        """Return the next state from one return per candidate (n,); higher is better."""
        values = checked_returns(state, asked, returns)
        candidates = asked.candidates
        if not isinstance(candidates, NodeCandidates):
            raise ConfigurationError("tell needs the candidates that ask returned, as they are")
        own, perturbed = values[: self.examples], values[self.examples :].reshape(self.m, -1)
        weights = (perturbed - own) / (self.radius * perturbed.size)
        if not weights.any():
            return NodeState(state.theta, state.t + 1, state.memory)
        step, rule_state = self.step_rule.step(state.memory, candidates.combine(weights), state.t)
        return NodeState(frozen(state.theta + step), state.t + 1, rule_state)

    @staticmethod
    def objective(candidates: Any) -> NDArray[np.float64]:
        """Return the cross-entropy (n,) of every candidate on its example."""
        if not isinstance(candidates, NodeCandidates):
            raise ConfigurationError(
                "node perturbation can evaluate only the candidates that it asked for, because "
                "each has a different example; use it without a gate"
            )
        return candidates.losses


@dataclass(frozen=True)
class NodeCandidates:
    """θ on examples, without and with noise on its units; see `Candidates`.

    Attributes:
        search: the optimizer that asked.
        theta: the incumbent (d,).
        chosen: indices (examples,) into the data.
        seed: seed of the noise.
    """

    search: NodePerturbation
    theta: Vector
    chosen: NDArray[np.int64]
    seed: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d), with n = examples · (1 + m)."""
        return len(self.chosen) * (1 + self.search.m), self.theta.size

    def dense(self) -> NoReturn:
        """Raise: a candidate is not a point in parameter space, but noise on one example."""
        raise ConfigurationError(
            "candidates of a node perturbation are not vectors; evaluate them with "
            "FunctionEvaluator(NodePerturbation.objective, …, batched=True, structured=True)"
        )

    @cached_property
    def _parts(self) -> list[_Part]:
        """Compute the forward passes by parts of the examples; depends only on the fields."""
        tensors = self.search.network.tensors(self.theta)
        cpu = self.search.network.device == "cpu"
        size = _EXAMPLES if cpu else len(self.chosen)
        starts = range(0, len(self.chosen), size)

        def part(start: int) -> _Part:
            rows = self.chosen[start : start + size]
            seed = int(np.random.SeedSequence((self.seed, start)).generate_state(1, np.uint64)[0])
            return _play(self.search, tensors, rows, seed >> 1)

        return list(in_threads(part, starts, self.search.network.threads))

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Return the cross-entropies (n,), in the order of `NodePerturbation.ask`."""
        own = [part.own.cpu().numpy() for part in self._parts]
        noisy = [part.noisy.cpu().numpy() for part in self._parts]  # each (m, examples)
        both = np.concatenate([np.concatenate(own)[None], np.concatenate(noisy, axis=1)])
        return both.reshape(-1).astype(np.float64)

    def combine(self, weights: NDArray[np.float64]) -> Vector:
        """Return Σ wᵢ uᵢ hᵢᵀ (d,) of all layers' weights and biases, for weights (m, examples)."""
        import torch

        every = torch.as_tensor(weights.astype(np.float32), device=self.search.network.device)
        pieces = torch.split(every, [part.own.shape[0] for part in self._parts], dim=1)
        pairs = list(zip(self._parts, pieces, strict=True))
        threads = self.search.network.threads
        return summed(in_threads(lambda pair: pair[0].combine(pair[1]), pairs, threads))


@dataclass(frozen=True)
class _Part:
    """Forward passes of b examples, m of each with noise.

    Attributes:
        own: losses (b,) without noise.
        noisy: losses (m, b) with noise.
        inputs: inputs of every layer: (b, in) for the first, (m · b, in) for the others.
        noise: u (m, b, out) of every layer.
    """

    own: torch.Tensor
    noisy: torch.Tensor
    inputs: Sequence[torch.Tensor]
    noise: Sequence[torch.Tensor]

    def combine(self, weights: torch.Tensor) -> list[torch.Tensor]:
        """Return Σ wᵢ uᵢ hᵢᵀ and Σ wᵢ uᵢ of every layer, for weights (m, b)."""
        total = []
        for h, u in zip(self.inputs, self.noise, strict=True):
            scaled = u * weights[:, :, None]
            # In the first layer all noises of an example share the same input: one product for all.
            rows = scaled.sum(0) if len(h) == u.shape[1] else scaled.flatten(0, 1)
            total += [rows.T @ h, rows.sum(0)]
        return total


def _play(
    search: NodePerturbation, tensors: Sequence[torch.Tensor], rows: NDArray[np.int64], seed: int
) -> _Part:
    import torch
    from torch.nn.functional import cross_entropy

    images, labels = search.data
    chosen = torch.tensor(rows, device=images.device)
    x, digits = images[chosen], labels[chosen]
    generator = torch.Generator(images.device)
    generator.manual_seed(seed)
    if search.augment is not None:
        x = search.augment(x, generator)
    layers = list(zip(tensors[::2], tensors[1::2], strict=True))
    h, inputs, noise = x, [], []
    own = x
    for layer, (weights, bias) in enumerate(layers):
        last = layer == len(layers) - 1
        z = torch.addmm(bias, h, weights.T)
        own = z if layer == 0 else torch.addmm(bias, own, weights.T)
        u = torch.empty((search.m, len(x), z.shape[1]), device=images.device)
        u.normal_(generator=generator)
        if not last:
            u *= (z > 0).view(-1, len(x), z.shape[1])
        inputs.append(h)
        noise.append(u)
        h = torch.add(z.view(-1, len(x), z.shape[1]), u, alpha=search.radius).flatten(0, 1)
        if not last:
            own, h = own.relu(), h.relu_()
    noisy = cross_entropy(h, digits.repeat(search.m), reduction="none")
    return _Part(
        cross_entropy(own, digits, reduction="none"), noisy.view(search.m, -1), inputs, noise
    )
