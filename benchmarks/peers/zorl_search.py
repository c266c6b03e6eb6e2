"""zorl: OpenAI-ES by `Search`, with the backend named by the variant and two processes or threads.

Observation statistics are off, as for the peers; `running` is the fast backend with them on.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from protocol import Played, options, serve

from zorl.agents.search.agent import SearchAgent
from zorl.agents.search.config import SearchConfig
from zorl.envs import make_task
from zorl.rollout.backend import Resources

BACKENDS = {
    "fast": "compiled-fast",
    "running": "compiled-fast",
    "exact": "compiled",
    "gymnasium": "gymnasium",
}


def main() -> None:
    """Serve one variant."""
    told = options(BACKENDS)
    config = SearchConfig(
        "openai-es",
        make_task(told.env),
        {"m": told.candidates // 2, "sigma": told.spread, "learning_rate": 1e-12},
        normalize="running" if told.variant == "running" else "off",
        episodes=told.episodes,
        backend=BACKENDS[told.variant],
    )
    agent = SearchAgent(config, Resources(2))
    center = told.center or np.zeros(agent.parameters)
    generations = agent.search.run(agent.search.init(center, agent.state.normalizer))

    def play() -> Played:
        """Play a few generations, enough that the dispatch costs nothing noticeable."""
        count = 4 if told.variant != "gymnasium" else 1
        steps = episodes = 0
        seconds = 0.0
        for generation in islice(generations, count):
            steps += generation.evaluation.env_steps
            episodes += generation.evaluation.episodes
            seconds += generation.timing.rollout
        if told.variant == "gymnasium":  # only rollouts take time
            seconds = 0.0
        return Played(steps, episodes, count, rollout_seconds=seconds)

    warm = 0
    while told.variant == "gymnasium" and warm < 100_000:
        warm += play().env_steps  # workers use compiled forward passes after a while
    try:
        serve(play, "zorl", "numpy", "gymnasium")
    finally:
        agent.close()


if __name__ == "__main__":
    main()
