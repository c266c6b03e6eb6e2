"""Measure the cost of rollouts beyond one machine, and model 1,000 cores.

It prints five tables: env steps per second of one process, of worker processes and of Ray actors;
the bytes that a generation sends; generations of sleeping environments on more actors than cores,
compared with the simulation; simulated generations on 1,000 cores; and the time to send or to make
candidates.

    python benchmarks/scaling.py --figure docs/images/scaling.png
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import burning  # noqa: F401  (registers the environment)
import cloudpickle
import numpy as np
from scaling_model import SLOW, Costs, Simulated, generation, play, rounds

from zorl.common.streams import Streams
from zorl.envs import Task, make_task
from zorl.optimizers.registry import METHODS
from zorl.policies.mlp import MlpPolicy
from zorl.policies.normalization import Normalizer
from zorl.policies.observations import ObservationEncoder
from zorl.policies.spaces import ActionDecoder
from zorl.rollout.batch import EpisodeBatch, EpisodeResults
from zorl.rollout.local.gymnasium_runner import GymnasiumRunner
from zorl.rollout.local.serial import SerialBackend
from zorl.rollout.origin import CandidateOrigin, fingerprint
from zorl.rollout.processes.backend import ProcessBackend
from zorl.rollout.ray.actor import Broadcast
from zorl.rollout.ray.backend import RayBackend

ASLEEP = "burning:bench/Burning-v0"
CLUSTERS = (1, 4, 16, 64, 256, 1000, 4096)
POPULATIONS = (100, 1000, 10_000)
DIMS = (51, 10_000, 1_000_000)


@contextmanager
def closing(backend: Any) -> Iterator[Any]:
    """Yield a backend, and close it at the end."""
    try:
        yield backend
    finally:
        backend.close()


def make(task: Task, lanes: int = 16) -> tuple[GymnasiumRunner, Normalizer]:
    """Return a runner with the 8-unit network, and a normalizer that learns."""
    env = task.make()
    encoder = ObservationEncoder.for_space(env.observation_space)
    policy = MlpPolicy(encoder.size, ActionDecoder.for_space(env.action_space), (8,))
    env.close()
    return (
        GymnasiumRunner(task, policy, lanes=lanes),
        Normalizer.create("running", encoder.low, encoder.high),
    )


def batch_of(
    runner: GymnasiumRunner, normalizer: Normalizer, candidates: int, episodes: int, g: int = 0
) -> EpisodeBatch:
    """Return a generation of ARS, as the search makes it."""
    optimizer = METHODS["ars"](m=candidates // 2, top=candidates // 4)
    policy: Any = runner.policy
    origin = CandidateOrigin(
        optimizer, optimizer.init(policy.init(Streams(0).init())), Streams(0), g
    )
    return EpisodeBatch(origin.thetas(), Streams(0).episodes(g, episodes), normalizer, origin)


def throughput(repeats: int, smoke: bool) -> dict[str, float]:
    """Print env steps per second of three backends; return those of one process."""
    cases = [("MountainCar-v0", make_task("MountainCar-v0"), 64, 5)]
    cases += [("HalfCheetah-v5", make_task("HalfCheetah-v5"), 32, 1)]
    for micro in (100, 1000):
        options = {"seconds": micro * 1e-6, "busy": True, "shortest": 20, "longest": 60}
        cases.append((f"busy, {micro} µs a step", make_task(ASLEEP, env_kwargs=options), 64, 1))
    if smoke:
        cases = [("MountainCar-v0", cases[0][1], 8, 2)]
    print("| environment | one process, steps/s | 2 processes, times that | 2 Ray actors |")
    print("|---|---|---|---|")
    speeds = {}
    for name, task, candidates, episodes in cases:
        runner, normalizer = make(task)
        batch = batch_of(runner, normalizer, candidates, episodes)
        with (
            closing(SerialBackend(runner)) as one,
            closing(ProcessBackend(make(task)[0], 2)) as two,
            closing(RayBackend(make(task)[0], 2)) as far,
        ):
            backends = (one, two, far)
            results = [bits(backend.run(batch)) for backend in backends]  # also the warm-up
            assert results[0] == results[1] == results[2], "the backends disagree"
            rows = []
            for _ in range(repeats):
                rows.append([seconds_of(partial(backend.run, batch)) for backend in backends])
            steps = int(one.run(batch).lengths.sum())
        seconds = np.array(rows)
        speeds[name] = float(steps / np.median(seconds[:, 0]))
        gains = seconds[:, :1] / seconds[:, 1:]
        cells = [f"{np.median(g):.2f} ({g.min():.2f}–{g.max():.2f})" for g in gains.T]
        print(f"| {name} | {speeds[name]:,.0f} | {cells[0]} | {cells[1]} |", flush=True)
    return speeds


def bits(episodes: EpisodeResults) -> list[bytes]:
    """Return all results as bytes, for comparison."""
    return [values.tobytes() for values in vars(episodes).values()]


def seconds_of(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def median(function: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of a call."""
    return float(np.median([seconds_of(function) for _ in range(repeats)]))


def traffic(repeats: int) -> None:
    """Print the bytes of a generation: broadcast, and as the network interface counts them."""
    runner, normalizer = make(make_task("CartPole-v1"))
    print("| candidates | parameters | as rows | broadcast | per candidate | on the wire, each |")
    print("|---|---|---|---|---|---|")
    for candidates, hidden in ((64, 8), (512, 8), (512, 64)):
        env = runner.task.make()
        decoder = ActionDecoder.for_space(env.action_space)
        env.close()
        runner = GymnasiumRunner(runner.task, MlpPolicy(4, decoder, (hidden, hidden)))
        batches = [batch_of(runner, normalizer, candidates, 1, g) for g in range(repeats)]
        size = len(cloudpickle.dumps(Broadcast.of(batches[0], 1)))
        with closing(RayBackend(runner, 2)) as backend:
            backend.run(batches[0])
            idle, began = loopback(), time.perf_counter()
            time.sleep(2)
            noise = (loopback() - idle) / (time.perf_counter() - began)
            idle, began = loopback(), time.perf_counter()
            for batch in batches:
                backend.run(batch)
            sent = loopback() - idle - noise * (time.perf_counter() - began)
        print(
            f"| {candidates} | {batches[0].thetas.shape[1]:,} | {batches[0].thetas.nbytes:,} "
            f"| {size:,} | {size / candidates:.1f} | {sent / repeats / candidates:,.0f} |",
            flush=True,
        )


def loopback() -> int:
    """Return the bytes sent so far through this machine's loopback interface."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    return 0


def measure_costs(repeats: int) -> Costs:
    """Measure the constants of the model on this machine."""
    import ray

    options = {"seconds": 0.0, "shortest": 1, "longest": 1}
    runner, normalizer = make(make_task(ASLEEP, env_kwargs=options))
    batch = batch_of(runner, normalizer, 8, 1)
    with closing(RayBackend(runner, 2)) as backend:
        while len(backend.actors) < 2:
            backend.run(batch)
        actors = backend.actors
        handle = actors[0]
        ref = ray.put(Broadcast.of(batch, 10**9))

        def one() -> None:
            ray.get(handle.run.remote(ref, 0, 1))

        def many() -> None:
            futures = [a.run.remote(ref, 0, 1) for _ in range(50) for a in actors]
            ray.get(futures)

        one()
        many()
        around = median(one, 50 * repeats)
        cpu = time.process_time()
        seconds = [seconds_of(many) for _ in range(2 * repeats)]
        driver = (time.process_time() - cpu) / len(seconds) / 100
        whole = median(lambda: backend.run(batch), 5 * repeats)
    episode = median(lambda: SerialBackend(runner).run(batch), 20)
    n, d = 200, 10_000
    optimizer = METHODS["ars"](m=n // 2, top=n // 4)
    state = optimizer.init(np.zeros(d))
    asked = optimizer.ask(state, Streams(0).search(0))
    rows = asked.thetas.astype(np.float32)
    returns = np.arange(float(n))
    return Costs(
        message=driver,
        latency=max(around - driver - episode / len(batch), 0.0),
        batch=max(whole - around - 2 * driver - episode, 0.0),
        ask=median(lambda: CandidateOrigin(optimizer, state, Streams(0), 0).thetas(), repeats)
        / n
        / d,
        fingerprint=median(lambda: fingerprint(rows), repeats) / n / d,
        tell=median(lambda: optimizer.tell(state, asked, returns), repeats) / n / d,
    )


def check(costs: Costs, actors: tuple[int, ...], repeats: int) -> None:
    """Compare measured generations of sleeping environments with their simulation."""
    print("| actors | episodes | seconds, measured | simulated | their ratio | efficiency |")
    print("|---|---|---|---|---|---|")
    options = {"seconds": 2e-3, "busy": False, "shortest": 5, "longest": 45}
    for count in actors:
        runner, normalizer = make(make_task(ASLEEP, env_kwargs=options), lanes=1)
        one = SerialBackend(make(runner.task, lanes=1)[0])
        batch = batch_of(runner, normalizer, 32, 5)
        with closing(RayBackend(runner, count)) as backend:
            while len(backend.actors) < count:
                results = backend.run(batch)
            first = EpisodeBatch(batch.thetas[:2], batch.seeds, batch.normalizer)
            pairs = []
            for _ in range(repeats):
                alone = seconds_of(partial(one.run, first)) / results.lengths[: len(first)].sum()
                pairs.append((seconds_of(partial(backend.run, batch)), alone))
        measured, step = map(float, np.median(pairs, axis=0))
        asleep = results.lengths * step
        ideal = float(asleep.sum()) / count
        simulated = costs.batch + play(asleep, [1.0] * count, costs)[0]
        print(
            f"| {count} | {len(batch)} | {measured:.3f} | {simulated:.3f} "
            f"| {measured / simulated:.2f} | {ideal / measured:.2f} |",
            flush=True,
        )


def episodes_of(env_id: str, candidates: int, rng: np.random.Generator) -> Any:
    """Return lengths (k,): MountainCar five episodes a candidate, some solved; HalfCheetah one."""
    if env_id == "HalfCheetah-v5":
        return np.full(candidates, 1000)
    return rng.integers(90, 201, size=5 * candidates)


def predict(
    speeds: dict[str, float], costs: Costs, clusters: tuple[int, ...]
) -> dict[tuple[str, int, int, int], Simulated | None]:
    """Simulate every case."""
    found = {}
    for env_id in ("MountainCar-v0", "HalfCheetah-v5"):
        for candidates in POPULATIONS:
            lengths = episodes_of(env_id, candidates, np.random.default_rng(0))
            for dim in DIMS:
                for cores in clusters:
                    found[env_id, candidates, dim, cores] = generation(
                        lengths, candidates, dim, speeds[env_id], cores, costs
                    )
    return found


def print_predictions(found: dict[tuple[str, int, int, int], Simulated | None], cores: int) -> None:
    """Print the table of one cluster size."""
    print(f"| environment | candidates | parameters | one core, s | {cores} cores, s | efficiency "
          "| what costs most |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for (env_id, candidates, dim, at), result in found.items():
        if at != cores:
            continue
        one = found[env_id, candidates, dim, 1]
        if result is None or one is None:
            cells = "– | – | – | the driver's memory"
        else:
            cells = f"{one.seconds:,.1f} | {result.seconds:,.3f} | {result.efficiency:.2f} "
            cells += f"| {result.limit}"
        print(f"| {env_id} | {candidates:,} | {dim:,} | {cells} |")


def print_sending(costs: Costs) -> None:
    """Print the seconds to send 10⁷ numbers over several networks, and to regenerate them."""
    print("| machines | made again, s | sent, 1 Gbit/s | 10 Gbit/s | 100 Gbit/s |")
    print("|---|---|---|---|---|")
    for machines in (2, 32, 128):
        again = 1e7 * (costs.ask + 2 * costs.fingerprint) / SLOW
        sent = [rounds(machines) * 4e7 / (gigabits * 1.25e8) for gigabits in (1, 10, 100)]
        print(f"| {machines} | {again:.2f} | " + " | ".join(f"{s:.3f}" for s in sent) + " |")


def draw(found: dict[tuple[str, int, int, int], Simulated | None], path: Path) -> None:
    """Draw efficiency over cores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    colors = dict(zip(POPULATIONS, ("#0072B2", "#D55E00", "#009E73"), strict=True))
    styles = dict(zip(DIMS, ("-", "--", ":"), strict=True))
    names = ("MountainCar-v0", "HalfCheetah-v5")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, env_id in zip(panels, names, strict=True):
        for candidates, color in colors.items():
            for dim, style in styles.items():
                cells = {
                    cores: result.efficiency
                    for (name, n, d, cores), result in found.items()
                    if (name, n, d) == (env_id, candidates, dim) and result is not None
                }
                label = f"{candidates:,} candidates" if dim == DIMS[0] else None
                panel.plot(list(cells), list(cells.values()), style, color=color, label=label)
        panel.set_xscale("log")
        panel.set_title(env_id, loc="left", fontweight="bold")
        panel.set_xlabel("cores")
        panel.grid(color="#E5E5E5")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("efficiency")
    panels[0].set_ylim(0, 1.02)
    for dim, style in styles.items():
        panels[0].plot([], [], style, color="#595959", label=f"{dim:,} parameters")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--figure", type=Path, help="draw efficiency over cores into this file")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to check that it runs")
    args = parser.parse_args()
    import ray

    repeats, actors = args.repeats, tuple(args.actors)
    clusters: tuple[int, ...] = CLUSTERS
    if args.smoke:
        repeats, actors, clusters = 1, (2,), (1, 64)
    # One Ray instance for everything, with room for more actors than cores.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", num_cpus=max(actors) + 4, include_dashboard=False, log_to_driver=False,
             logging_level="ERROR", _system_config={"worker_niceness": 0})  # fmt: skip
    found = [f"{name} {metadata.version(name)}" for name in ("ray", "numpy", "gymnasium")]
    print(f"Python {platform.python_version()}, {', '.join(found)}, {os.cpu_count()} cores\n")
    speeds = throughput(repeats, args.smoke)
    if not args.smoke:
        print()
        traffic(20)
    costs = measure_costs(repeats)
    print("\nCosts:", ", ".join(f"{k} {v:.3g} s" for k, v in vars(costs).items()), "\n")
    check(costs, actors, repeats)
    ray.shutdown()
    speeds.setdefault("HalfCheetah-v5", 25_000.0)  # for the small sizes only
    simulated = predict(speeds, costs, clusters)
    print()
    print_predictions(simulated, 64 if args.smoke else 1000)
    print()
    print_sending(costs)
    if args.figure:
        draw(simulated, args.figure)


if __name__ == "__main__":
    main()
