"""Networks of other files to start a search from: zorl's, stable-baselines3's, torch's.

No file runs code here. Of an SB3 zip the weights are read by torch (`weights_only`) and the rest
from its JSON; a VecNormalize pickle is read by `zorl.agents.plain_pickle`.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.agents.plain_pickle import read_pickle
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.types import Vector
from zorl.export.snapshot import Snapshot
from zorl.policies.mlp import MlpPolicy, is_mlp
from zorl.policies.normalization import Moments, Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder
from zorl.search.loop import Search
from zorl.search.records import SearchState

Layers = list[tuple[NDArray[Any], "NDArray[Any] | None"]]
_ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "Sigmoid": "sigmoid", "SiLU": "silu"}


@dataclass(frozen=True)
class Start:
    """A network to start from, and what makes a search's policy the same function.

    Attributes:
        source: what it is, for messages.
        layers: weights (out, in) and biases (out,), the input side first; none of a policy that
            is not zorl's own network without memory.
        fields: of `SearchConfig`, by name.
        clips: whether Box actions are the outputs, clipped; else they are scaled to the bounds.
        theta: (d,) the parameters of a policy that zorl saved.
        normalizer: of such a policy.
        moments: of observations, by which they are normalised.
        clip: largest absolute value of a normalised observation.
    """

    source: str
    layers: Layers = field(default_factory=list)
    fields: Mapping[str, Any] = field(default_factory=dict)
    clips: bool = False
    theta: Vector | None = None
    normalizer: Normalizer | None = None
    moments: Moments | None = None
    clip: float = 10.0

    def flat(self, decoder: ActionDecoder, bias: bool) -> Vector:
        """(d,) the layers' numbers in the order of `MlpPolicy`.

        Args:
            decoder: of the search. It scales outputs to the bounds of a Box; where the file's
                outputs are actions as they are, the last layer undoes that.
            bias: whether the search's layers have biases.
        """
        layers = [(w.astype(float), None if b is None else b.astype(float)) for w, b in self.layers]
        if self.clips and decoder.kind == "box":
            half, middle, _, _ = decoder.range
            weight, last = layers[-1]
            last = np.zeros(len(weight)) if last is None else last
            layers[-1] = (weight / half[:, None], (last - middle) / half)
        parts = []
        for weight, own in layers:
            parts.append(weight.ravel())
            if bias:
                parts.append(np.zeros(len(weight)) if own is None else own)
            elif own is not None and own.any():
                raise ConfigurationError(f"{self.source} has biases, and the agent has bias=False")
        return np.concatenate(parts)

    def normalizer_for(self, fresh: Normalizer) -> Normalizer:
        """The normalizer of the start, for an agent that begins with a fresh one."""
        found = self.normalizer
        if self.moments is not None:
            found = Normalizer("running", self.moments, fresh.low, fresh.high, self.clip)
        if found is None:
            if "normalize" in self.fields and fresh.active:
                raise ConfigurationError(
                    f"{self.source} takes observations as they are, and normalize={fresh.mode} "
                    "would make another function of it: leave normalize away"
                )
            return fresh
        if found.mode != fresh.mode or found.low.shape != fresh.low.shape:
            raise ConfigurationError(
                f"{self.source} normalises {found.low.size} features ({found.mode}), the agent "
                f"{fresh.low.size} ({fresh.mode}): leave normalize away"
            )
        return found


def begin(config: Any, search: Search, policy: Any, fresh: Normalizer) -> SearchState:
    """The state of a search that begins with the network in a file.

    Args:
        config: of the search; `init` and `init_stats` name the files.
        search: what is to begin.
        policy: its policy.
        fresh: its normalizer, which has seen nothing.

    Raises:
        ConfigurationError: the network or its normalisation does not fit.
    """
    start = read_start(config.init, config.init_stats)
    return search.init(start_theta(start, policy), start.normalizer_for(fresh))


def start_theta(start: Start, policy: Any) -> Vector:
    """(d,) the parameters of a search's policy that make it the start's function.

    Raises:
        ConfigurationError: the two networks have different shapes; both are named.
    """
    if is_mlp(policy) and [weight.shape for weight, _ in start.layers] == policy.layers:
        return start.flat(policy.decoder, policy.bias)
    if start.theta is not None and start.theta.size == policy.dim and not is_mlp(policy):
        return start.theta
    if start.layers and hasattr(policy, "module"):
        return _of_module(start, policy)
    theirs = _sizes([weight.shape for weight, _ in start.layers]) if start.layers else "of its own"
    own = _sizes(policy.layers) if is_mlp(policy) else f"a {type(policy).__name__}"
    raise ConfigurationError(
        f"the network of {start.source} does not fit: it is {theirs}, and the agent's is {own} "
        f"({policy.dim} parameters); the first number is of features, the last of outputs; leave "
        "hidden, activation and policy away to take those of the file, and see whether the tasks "
        "have the same spaces"
    )


def _of_module(start: Start, policy: Any) -> Vector:
    """(d,) for a torch module, layer by layer; their names need not be the same."""
    tensors = [t for w, b in start.layers for t in ([w] if b is None else [w, b])]
    shapes = [tensor.shape for tensor in tensors]
    own = [entry.shape for entry in policy.layout.entries]
    if shapes != own:
        raise ConfigurationError(
            f"the network of {start.source} does not fit {policy.name}: its tensors have the "
            f"shapes {shapes}, those of the policy {own}"
        )
    return np.concatenate([tensor.astype(float).ravel() for tensor in tensors])


def _sizes(shapes: list[Any]) -> str:
    return "-".join(str(size) for size in (shapes[0][1], *(shape[0] for shape in shapes)))


@lru_cache(maxsize=2)  # a configuration and its agent read the same file
def read_start(path: str, stats: str | None = None) -> Start:
    """The network in a file.

    Args:
        path: a file of zorl's, a zip of SB3's, or a state_dict as .safetensors or of torch.save.
        stats: a pickle that VecNormalize saved, beside a zip of SB3's.

    Raises:
        ConfigurationError: the file is none of these, or holds a network of another kind.
        FileFormatError: it is corrupt.
    """
    file = Path(path)
    if not file.exists():
        raise ConfigurationError(f"init: there is no file {path}")
    try:
        start = _read(file)
    except (KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise FileFormatError(f"{path}: cannot be read as a network ({error})") from error
    if stats is None:
        return start
    if start.normalizer is not None or start.moments is not None:
        raise ConfigurationError(f"{path} has observation statistics; init_stats is not needed")
    moments, clip = statistics_of(Path(stats))
    fields = {**start.fields, "normalize": "running"}
    return replace(start, fields=fields, moments=moments, clip=clip)


def _read(file: Path) -> Start:
    if file.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return _of_state_dict(load_file(file), str(file))
    if not zipfile.is_zipfile(file):
        raise ConfigurationError(
            f"init: {file} is no file of zorl's, no zip of stable-baselines3's, no .safetensors "
            "and no state_dict of torch.save"
        )
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if "policy.pth" in names:
            data = json.loads(archive.read("data"))
            return of_sb3(_torch_load(archive.read("policy.pth")), _kwargs(data), str(file), data)
    if any(name.endswith("/data.pkl") for name in names):
        return _of_state_dict(_torch_load(file.read_bytes()), str(file))
    return _of_zorl(file)


def _torch_load(data: bytes) -> dict[str, NDArray[Any]]:
    import pickle

    import torch

    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {str(name): tensor.detach().numpy() for name, tensor in found.items()}
    except (pickle.UnpicklingError, AttributeError) as error:
        raise ConfigurationError(
            "init: the file holds more than a state_dict of tensors, which could run code: write "
            f"it with torch.save(module.state_dict(), path) ({error})"
        ) from error


def _kwargs(data: Mapping[str, Any]) -> dict[str, str]:
    """SB3's policy_kwargs as text: its file has it beside what only pickle could read."""
    found = data.get("policy_kwargs") or {}
    return {name: str(value) for name, value in found.items() if not name.startswith(":")}


def _of_zorl(file: Path) -> Start:
    from zorl.agents.registry import load_agent

    agent: Any = load_agent(file)
    try:
        if agent.config["family"] == "sb3":
            return of_baseline(agent.model, str(file))
        names = ("hidden", "activation", "bias", "memory", "squash", "policy", "normalize")
        fields = {name: agent.config[name] for name in names}
        if fields["policy"] is not None:
            fields = {name: fields[name] for name in ("policy", "normalize")}
        theta, own = agent.state.theta, is_mlp(agent.policy)
        layers = agent.policy.unpack(theta[None]) if own else []
        return Start(
            str(file),
            [(weight[0], None if bias is None else bias[0]) for weight, bias in layers],
            fields,
            theta=theta,
            normalizer=agent.state.normalizer if agent.state.normalizer.active else None,
        )
    finally:
        agent.close()


def of_baseline(model: Any, source: str) -> Start:
    """The actor of a model of SB3's, with the statistics of its VecNormalize.

    Raises:
        ConfigurationError: see `of_sb3`.
    """
    tensors = {name: t.detach().numpy() for name, t in model.policy.state_dict().items()}
    kwargs = {name: str(value) for name, value in (model.policy_kwargs or {}).items()}
    about = {"dtype": str(model.observation_space.dtype)}
    start = of_sb3(tensors, kwargs, source, {"use_sde": model.use_sde, "observation_space": about})
    normalizer = model.get_vec_normalize_env()
    if normalizer is None or not normalizer.norm_obs:
        return start
    rms = normalizer.obs_rms
    moments = moments_of(rms.mean, rms.var, rms.count, normalizer.epsilon)
    fields = {**start.fields, "normalize": "running"}
    return replace(start, fields=fields, moments=moments, clip=float(normalizer.clip_obs))


def _of_state_dict(tensors: Mapping[str, NDArray[Any]], source: str) -> Start:
    """Matrices, each followed by its bias or not, in the order of the numbers in their names."""
    names = sorted(tensors, key=lambda text: [int(n) for n in re.findall(r"\d+", text)])
    matrices = [name for name in names if tensors[name].ndim == 2]
    layers: Layers = [
        (tensors[name], tensors.get(f"{name.removesuffix('weight')}bias")) for name in matrices
    ]
    used = sum(1 if bias is None else 2 for _, bias in layers)
    if not layers or used != len(tensors):
        raise ConfigurationError(
            f"init: {source} is no stack of linear layers, named as 0.weight, 0.bias, 2.weight, …: "
            f"{', '.join(f'{name} {tensor.shape}' for name, tensor in tensors.items())}"
        )
    hidden = tuple(weight.shape[0] for weight, _ in layers[:-1])
    bias = any(bias is not None for _, bias in layers)
    return Start(source, layers, {"hidden": hidden, "bias": bias, "normalize": "off"})


def of_sb3(
    tensors: Mapping[str, NDArray[Any]],
    kwargs: Mapping[str, str],
    source: str,
    data: Mapping[str, Any],
) -> Start:
    """The actor of PPO, A2C, DQN, SAC or TD3.

    Args:
        tensors: of the policy's state_dict, by name.
        kwargs: the policy's arguments as text; activation_fn and squash_output count.
        source: for messages.
        data: of the file: `use_sde`.

    Raises:
        ConfigurationError: a network that is no stack of linear layers behind flat observations.
    """
    default, clips, squash = "ReLU", False, True
    if "action_net.weight" in tensors:
        body, head, default = "mlp_extractor.policy_net.", "action_net.", "Tanh"
        squash = kwargs.get("squash_output") == "True"
        clips = not squash
    elif "q_net.q_net.0.weight" in tensors:
        body, head, squash = "q_net.q_net.", "", False
    elif "actor.latent_pi.0.weight" in tensors or "actor.mu.weight" in tensors:
        body, head = "actor.latent_pi.", "actor.mu."
    else:
        body, head = "actor.mu.", ""
    text = kwargs.get("activation_fn", default)
    activation = re.findall(r"\w+", text)[-1] if text != "None" else default
    acting = [n for n in tensors if n.startswith((body, head or body))]
    indices = sorted({int(n[len(body) :].split(".")[0]) for n in acting if n.startswith(body)})
    names = [f"{body}{index}." for index in indices] + ([head] if head else [])
    extractor = [n for n in tensors if "features_extractor" in n]
    known = all(f"{n}weight" in tensors for n in names) and names
    if extractor or not known or activation not in _ACTIVATIONS:
        found = extractor[:1] or ([f"the activation {activation}"] if known else [*tensors])
        raise ConfigurationError(
            f"init: {source}: its policy is no stack of linear layers that zorl's network could "
            f"be: it has {', '.join(found)}; give the network itself, as policy=module"
        )
    if (data.get("observation_space") or {}).get("dtype") == "uint8":
        raise ConfigurationError(f"init: {source}: it does not scale pixels as zorl does")
    layers: Layers = [(tensors[f"{n}weight"], tensors.get(f"{n}bias")) for n in names]
    fields = {
        "hidden": tuple(weight.shape[0] for weight, _ in layers[:-1]),
        "activation": _ACTIVATIONS[activation],
        "bias": True,
        "squash": squash,
        "normalize": "off",
    }
    if squash and data.get("use_sde") and body == "actor.latent_pi.":
        raise ConfigurationError(f"init: {source}: SAC with gSDE clips its mean, as no policy here")
    return Start(source, layers, fields, clips)


def moments_of(mean: Vector, variance: Vector, count: float, epsilon: float) -> Moments:
    """Moments whose standard deviation is VecNormalize's √(variance + ε)."""
    n = max(2, round(count))
    return Moments(n, mean.astype(float).ravel(), (variance.astype(float).ravel() + epsilon) * n)


def statistics_of(path: Path) -> tuple[Moments, float]:
    """The observation statistics in a pickle of VecNormalize, and its bound.

    Raises:
        ConfigurationError: it is no such file, or normalises no flat observations.
    """
    found = read_pickle(path)
    state = getattr(found, "state", None)
    rms = getattr(state.get("obs_rms"), "state", None) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(rms, dict) or "mean" not in rms:
        raise ConfigurationError(
            f"init_stats: {path} is no pickle of stable-baselines3's VecNormalize with statistics "
            "of one Box; vec_env.save(path) writes one"
        )
    if not state.get("norm_obs", True):
        raise ConfigurationError(f"init_stats: {path} does not normalise observations (norm_obs)")
    epsilon, clip = float(state.get("epsilon", 1e-8)), float(state.get("clip_obs", 10.0))
    mean, variance = np.asarray(rms["mean"], float), np.asarray(rms["var"], float)
    return moments_of(mean, variance, float(rms["count"]), epsilon), clip


def snapshot_of(
    start: Start, about: str, encoder: ObservationEncoder, decoder: ActionDecoder
) -> Snapshot:
    """What a baseline's actor is as a policy of zorl's, for `export`.

    Args:
        start: from `of_baseline`.
        about: what it is, in a line.
        encoder: of the task.
        decoder: of the task.
    """
    names = ("hidden", "activation", "bias", "squash")
    policy = MlpPolicy(encoder.size, decoder, **{name: start.fields[name] for name in names})
    fresh = Normalizer.create(start.fields["normalize"], encoder.low, encoder.high)
    normalizer = start.normalizer_for(fresh)
    return Snapshot(about, policy, start_theta(start, policy), normalizer, encoder)
