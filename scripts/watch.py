"""Replay a saved policy: the same as `zorl watch`, over the public API.

python scripts/watch.py runs/RUN --out car.gif
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from zorl.agents.registry import load_agent
from zorl.cli import guarded
from zorl.runs import RunFolder
from zorl.watch import watch


def main(args: Namespace) -> int:
    """Show the policy in a window, or write it to a file."""
    path = RunFolder.open(args.path).policy_file() if args.path.is_dir() else args.path
    agent = load_agent(path)
    for episode in watch(agent, agent.task, agent.config["seed"], args.episodes, out=args.out):
        print(episode)
    return 0


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="a run folder or an agent's file")
    parser.add_argument("--out", type=Path, help="a .gif or .mp4 file instead of a window")
    parser.add_argument("--episodes", type=int, default=1)
    sys.exit(guarded(main, parser.parse_args()))
