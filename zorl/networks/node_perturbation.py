"""Node perturbation: evolution strategies whose noise is integrated out wherever it cannot show.

Give every candidate one example of its own, and perturb the weights of each layer by a Gaussian
matrix E. The candidate's loss depends on E only through E h, with h the layer's input: one number a
unit, not one a weight. So the evolution strategy's estimate (f(θ + E) − f(θ)) E / σ² may be
replaced by its conditional mean given E h, (f(θ + E) − f(θ)) E h hᵀ / (σ² ‖h‖²). That is as
unbiased (Rao–Blackwell), and its variance grows with the number of units instead of weights: 394
instead of 235,146 for 784-256-128-10. E h is drawn directly, as noise s·u on the units' inputs,
which makes it node perturbation (Widrow and Lehr 1990; Flower and Jabri 1993; Fiete and Seung 2006,
Phys. Rev. Lett. 97, 048104). It takes forward passes only.
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

_EXAMPLES = 128  # of a part that one thread works on, on a CPU


@dataclass(frozen=True)
class NodeState:
    """State of a node perturbation.

    Attributes:
        theta: (d,) the incumbent.
        t: number of updates.
        memory: what the step rule remembers.
    """

    theta: Vector
    t: int
    memory: StepState


@dataclass(frozen=True)
class NodePerturbation:
    """θ ← θ + step(mean of (f(x, θ + noise) − f(x, θ)) / radius · u hᵀ over examples x).

    A generation draws `examples` of the data and evaluates each once without and m times with
    noise radius · u on the inputs of all units at once, u standard normal. Units that are off for
    an example are not perturbed: the loss does not respond to them. In terms of weights, a layer's
    noise has the standard deviation radius / ‖(h, 1)‖.

    An optimizer like any other, for an evaluator of structured candidates:
    `FunctionEvaluator(NodePerturbation.objective, minimise=True, batched=True, structured=True)`.
    Its evaluations are of single examples. There are no gates: two candidates cannot be compared
    on examples of their own.

    Args:
        network: what is trained.
        images: (n, inputs), the examples, as numpy or torch has them.
        labels: (n,) their classes.
        step_rule: turns the gradient estimate into a step.
        radius: s, the standard deviation of the noise on a unit's input.
        examples: drawn per generation, with replacement.
        m: perturbations of each example.
        augment: changes the images (b, inputs) each time they are drawn, by a generator of torch;
            for one, `zorl.networks.augmentation.RandomShifts`.
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
                f"images and labels must be as many, and some: got {len(self.images)} and "
                f"{len(self.labels)}"
            )

    @cached_property
    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels on the network's device."""
        return self.network.batch(self.images, self.labels)

    def init(self, theta: ArrayLike) -> NodeState:
        """The state at a starting point (d,)."""
        start = start_vector(theta)
        self.network.tensors(start)  # refuses another network's
        return NodeState(start, 0, self.step_rule.init(start.size))

    def ask(self, state: NodeState, rng: np.random.Generator) -> Asked:
        """The examples without noise, then each with its first noise, its second, and so on."""
        chosen = rng.integers(len(self.images), size=self.examples)
        seed = int(rng.integers(1 << 62))
        return Asked(NodeCandidates(self, state.theta, frozen(chosen), seed), state.t)

    def tell(self, state: NodeState, asked: Asked, returns: ArrayLike) -> NodeState:
        """The next state from one return per candidate (n,), higher better."""
        values = checked_returns(state, asked, returns)
        candidates = asked.candidates
        if not isinstance(candidates, NodeCandidates):
            raise ConfigurationError("tell needs the candidates that ask returned, as they are")
        own, perturbed = values[: self.examples], values[self.examples :].reshape(self.m, -1)
        weights = (perturbed - own) / (self.radius * perturbed.size)
        if not weights.any():
            return NodeState(state.theta, state.t + 1, state.memory)
        step, memory = self.step_rule.step(state.memory, candidates.combine(weights), state.t)
        return NodeState(frozen(state.theta + step), state.t + 1, memory)

    @staticmethod
    def objective(candidates: Any) -> NDArray[np.float64]:
        """(n,) the cross-entropy of every candidate on its example."""
        if not isinstance(candidates, NodeCandidates):
            raise ConfigurationError(
                "node perturbation evaluates the candidates that it asked for, which have "
                "examples of their own; use it without a gate"
            )
        return candidates.losses


@dataclass(frozen=True)
class NodeCandidates:
    """θ on examples, without and with noise on its units; see `Candidates`.

    Attributes:
        search: what asked.
        theta: (d,).
        chosen: (examples,) which ones of the data.
        seed: of the noise.
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
        """Refused: a candidate is no point in parameter space but noise that one example sees."""
        raise ConfigurationError(
            "candidates of a node perturbation are no vectors; evaluate them with "
            "FunctionEvaluator(NodePerturbation.objective, …, batched=True, structured=True)"
        )

    @cached_property
    def _parts(self) -> list[_Part]:
        """The forward passes, by parts of the examples; a function of the fields alone."""
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
        """(n,) cross-entropies, in the order of `NodePerturbation.ask`."""
        own = [part.own.cpu().numpy() for part in self._parts]
        noisy = [part.noisy.cpu().numpy() for part in self._parts]  # each (m, examples)
        both = np.concatenate([np.concatenate(own)[None], np.concatenate(noisy, axis=1)])
        return both.reshape(-1).astype(np.float64)

    def combine(self, weights: NDArray[np.float64]) -> Vector:
        """Σ wᵢ uᵢ hᵢᵀ, (d,), of the layers' weights and biases; weights (m, examples)."""
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
        own: (b,) losses without noise.
        noisy: (m, b) losses with it.
        inputs: of every layer: (b, in) of the first, (m · b, in) of the others.
        noise: (m, b, out) u of every layer.
    """

    own: torch.Tensor
    noisy: torch.Tensor
    inputs: Sequence[torch.Tensor]
    noise: Sequence[torch.Tensor]

    def combine(self, weights: torch.Tensor) -> list[torch.Tensor]:
        """Σ wᵢ uᵢ hᵢᵀ and Σ wᵢ uᵢ of every layer, for weights (m, b)."""
        total = []
        for h, u in zip(self.inputs, self.noise, strict=True):
            scaled = u * weights[:, :, None]
            # All noises of an example meet the same input in the first layer: one product for all.
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
