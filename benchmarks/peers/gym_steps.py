"""Raw `env.step` with actions that were drawn beforehand, in one process or two."""

from __future__ import annotations

import contextlib
import multiprocessing

import gymnasium as gym
from protocol import Played, options, serve

STEPS = 2_000


class Loop:
    """One environment, stepped and reset."""

    def __init__(self, env_id: str) -> None:
        self.env = gym.make(env_id)
        self.env.action_space.seed(0)
        self.actions = [self.env.action_space.sample() for _ in range(STEPS)]
        self.env.reset(seed=0)

    def play(self) -> Played:
        """Make one step for each action."""
        step, episodes = self.env.step, 0
        for action in self.actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                self.env.reset()
                episodes += 1
        return Played(STEPS, episodes, 0)


def work(pipe, env_id: str) -> None:
    """Run the second process, which plays on request."""
    loop = Loop(env_id)
    with contextlib.suppress(EOFError):
        while pipe.recv():
            pipe.send(loop.play())


def main() -> None:
    """Serve one variant."""
    told = options(("one", "two"))
    loop = Loop(told.env)
    if told.variant == "one":
        serve(loop.play, "gymnasium")
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=work, args=(theirs, told.env), daemon=True).start()

    def both() -> Played:
        ours.send(True)
        mine = loop.play()
        other = ours.recv()
        return Played(mine.env_steps + other.env_steps, mine.episodes + other.episodes, 0)

    serve(both, "gymnasium")


if __name__ == "__main__":
    main()
