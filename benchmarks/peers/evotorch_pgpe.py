"""EvoTorch's PGPE on GymNE (one episode at a time) or VecGymNE, locally or in two Ray actors."""

from __future__ import annotations

import logging

import ray
import torch
from evotorch.algorithms import PGPE
from evotorch.neuroevolution import GymNE, VecGymNE
from protocol import HIDDEN, Played, options, serve

PROBLEMS = {
    "gymne": (GymNE, 1),
    "gymne-2": (GymNE, 2),
    "vec": (VecGymNE, 1),
    "vec-2": (VecGymNE, 2),
}


def main() -> None:
    """Serve one variant."""
    told = options(PROBLEMS)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    kind, actors = PROBLEMS[told.variant]
    if actors > 1:  # otherwise EvoTorch starts Ray with a dashboard and on all networks
        ray.init(
            address="local",  # never join an existing cluster
            num_cpus=actors,
            include_dashboard=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )
    problem = kind(
        told.env,
        f"Linear(obs_length, {HIDDEN}) >> Tanh() >> Linear({HIDDEN}, act_length)",
        num_episodes=told.episodes,
        num_actors=actors if actors > 1 else None,
    )
    center = torch.tensor(told.center or [0.0] * problem.solution_length)
    searcher = PGPE(
        problem,
        popsize=told.candidates,
        center_learning_rate=1e-12,
        stdev_learning_rate=1e-12,
        stdev_init=told.spread,
        center_init=center,
        optimizer="sgd",
        distributed=False,
    )

    def counts() -> tuple[int, int]:
        status = problem.status
        return int(status["total_interaction_count"]), int(status["total_episode_count"])

    searcher.step()

    def play() -> Played:
        steps, episodes = counts()
        searcher.step()
        now_steps, now_episodes = counts()
        return Played(now_steps - steps, now_episodes - episodes, 1)

    serve(play, "evotorch", "torch", "ray", "gymnasium")


if __name__ == "__main__":
    main()
