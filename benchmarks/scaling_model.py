"""Simulate a generation on a cluster: broadcast, regenerate, play, gather, tell.

The simulation runs the backend's own `Scheduler`, so it makes the same decisions. Times come from
constants that `benchmarks/scaling.py` measures, and from these assumptions: a network of 10 Gbit/s,
machines with 32 cores, cores of two speeds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zorl.rollout.ray.actor import LARGEST
from zorl.rollout.ray.scheduler import Chunk, Scheduler

BANDWIDTH = 1.25e9  # bytes/s, assumed
CORES = 32  # cores of a machine, assumed
SLOW = 1 / 1.7  # speed of every second core: the two levels that were observed on cloud machines
TICK = 0.1  # seconds between the driver's checks for late chunks
MEMORY = 64e9  # bytes of the driver's candidates per number: as asked (float64), directions, rows


@dataclass(frozen=True)
class Costs:
    """Measured constants of the model, in seconds.

    Attributes:
        message: time of the driver to send a chunk and receive its answer.
        latency: additional time from sending a chunk without work to its answer.
        batch: time of the driver for a batch with almost no candidates.
        ask: time per number of the candidates.
        fingerprint: time per number of the candidates.
        tell: time per number of the candidates.
    """

    message: float
    latency: float
    batch: float
    ask: float
    fingerprint: float
    tell: float


def play(
    seconds: NDArray[np.float64], speeds: Sequence[float], costs: Costs, prepare: float = 0.0
) -> tuple[float, int]:
    """Return the seconds from the first message to the last result, and the number of messages.

    Args:
        seconds: durations (k,) of the jobs on a core of speed 1.
        speeds: speeds of the actors.
        costs: see `Costs`.
        prepare: seconds that an actor of speed 1 needs before its first job.
    """
    total = np.concatenate([[0.0], np.cumsum(seconds)])
    scheduler = Scheduler(len(seconds), len(speeds), float(seconds.mean() / np.mean(speeds)))
    driver = 0.0  # time at which the driver is free
    sent = 0
    fresh = [True] * len(speeds)
    idle = list(range(len(speeds)))[::-1]
    events: list[tuple[float, int, Any]] = [(TICK, -1, None)]

    def hand_out() -> None:
        nonlocal driver, sent
        while idle and (chunk := scheduler.next_chunk(driver)) is not None:
            actor = idle.pop()
            driver += costs.message / 2
            sent += 1
            work = float(total[chunk.jobs.stop] - total[chunk.jobs.start])
            busy = (work + prepare * fresh[actor]) / speeds[actor]
            fresh[actor] = False
            heapq.heappush(events, (driver + costs.latency + busy, actor, chunk))

    hand_out()
    while True:
        now, actor, chunk = heapq.heappop(events)
        driver = max(driver, now)
        if actor < 0:
            if idle:
                scheduler.reissue(driver)
            heapq.heappush(events, (driver + TICK, -1, None))
        else:
            assert isinstance(chunk, Chunk)
            driver += costs.message / 2
            scheduler.complete(chunk, driver)
            if scheduler.finished:
                return driver, sent
            idle.append(actor)
        hand_out()


def rounds(machines: int) -> int:
    """Return the rounds of transfers until all machines have an object; each owner passes it on."""
    return math.ceil(math.log2(machines + 1))


@dataclass(frozen=True)
class Simulated:
    """A simulated generation.

    Attributes:
        seconds: its duration, including ask and tell.
        efficiency: the time that the rollouts alone need on all cores, divided by `seconds`.
        limit: the largest part of the difference.
    """

    seconds: float
    efficiency: float
    limit: str


def generation(
    lengths: NDArray[np.int64],
    candidates: int,
    dim: int,
    speed: float,
    cores: int,
    costs: Costs,
) -> Simulated | None:
    """Simulate one generation.

    Args:
        lengths: env steps (k,) of the episodes.
        candidates: number of candidates.
        dim: parameters of each candidate.
        speed: env steps per second of a core of speed 1.
        cores: cores of the cluster, with one actor each.
        costs: see `Costs`.

    Returns:
        The simulated generation, or None if the candidates do not fit into the driver's memory.
    """
    numbers = candidates * dim
    if numbers * 20 > MEMORY:
        return None
    if dim * 8 < numbers * 4 <= LARGEST:
        sent, prepare = dim * 8, numbers * (costs.ask + costs.fingerprint)
        asking = numbers * (costs.ask + costs.fingerprint)
    else:
        sent, prepare = numbers * 4, 0.0
        asking = numbers * costs.ask
    broadcast = costs.batch + rounds(math.ceil(cores / CORES)) * sent / BANDWIDTH
    speeds = [1.0 if i % 2 else SLOW for i in range(cores)]
    seconds = lengths / speed
    rollouts, messages = play(seconds, speeds, costs, prepare)
    telling = numbers * costs.tell
    whole = asking + broadcast + rollouts + telling
    ideal = float(seconds.sum()) / sum(speeds)
    parts = {
        "ask and tell": asking + telling,
        "broadcast": broadcast,
        "regeneration": prepare / SLOW,
        "messages": messages * costs.message,
        "too few episodes": max(float(seconds.max()) / SLOW - ideal, 0.0),
        "rollouts": ideal,
    }
    return Simulated(whole, ideal / whole, max(parts, key=lambda name: parts[name]))
