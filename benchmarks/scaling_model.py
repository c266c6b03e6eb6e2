"""A generation on a cluster, event by event: broadcast, regenerate, play, gather, tell.

The decisions are those of the backend: the simulation runs `Scheduler` itself.
Time is made of constants, which `benchmarks/scaling.py` measures, and of these assumptions: a
network of 10 Gbit/s, machines of 32 cores, cores of two speeds.
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
CORES = 32  # of a machine, assumed
SLOW = 1 / 1.7  # the speed of every other core: the two levels that cores of clouds were seen at
TICK = 0.1  # seconds between the driver's looks for late chunks
MEMORY = 64e9  # bytes of the driver's candidates, as asked (float64), their directions, and rows


@dataclass(frozen=True)
class Costs:
    """Seconds, measured.

    Attributes:
        message: of the driver, for sending a chunk and taking its answer.
        latency: beyond, from sending a chunk that takes no time to its answer.
        batch: of the driver, for a batch with next to no candidates.
        ask: per number of the candidates.
        fingerprint: per number of the candidates.
        tell: per number of the candidates.
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
    """Seconds from the first message to the last result, and how many messages were sent.

    Args:
        seconds: (k,) that the jobs take a core of speed 1.
        speeds: of the actors.
        costs: see `Costs`.
        prepare: seconds that an actor of speed 1 needs before its first job.
    """
    total = np.concatenate([[0.0], np.cumsum(seconds)])
    scheduler = Scheduler(len(seconds), len(speeds), float(seconds.mean() / np.mean(speeds)))
    driver = 0.0  # when the driver is free
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
    """Transfers, one after the other, until all have an object: who has it passes it on."""
    return math.ceil(math.log2(machines + 1))


@dataclass(frozen=True)
class Simulated:
    """A generation, simulated.

    Attributes:
        seconds: that it takes, ask and tell included.
        efficiency: of all cores: the time that the rollouts alone need on them, over `seconds`.
        limit: what takes most of the difference.
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
    """One generation.

    Args:
        lengths: (k,) env steps of the episodes.
        candidates: how many.
        dim: parameters of each.
        speed: env steps per second of a core of speed 1.
        cores: of the cluster, one actor each.
        costs: see `Costs`.

    Returns:
        None where the candidates do not fit into the driver's memory.
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
