"""Train an agent: the same as `zorl train`, over the public API, to read, run and copy.

python scripts/train.py --agent cma-es --env MountainCar-v0 --seed 1
"""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import closing

from zorl.agents import agent_of, run_config, train
from zorl.cli.arguments import config_from, plan_from, resources_from, run_folder, train_parser
from zorl.cli.main import guarded
from zorl.common.output import if_readable
from zorl.common.stop_signals import StopSignals
from zorl.recorders import standard_recorders
from zorl.rollout import Resources
from zorl.runs.report import summary, terminal_width


def main(args: Namespace) -> int:
    """Train as the options say; 0 if the run came to its end."""
    config = config_from(args)  # what decides the result: agent, task, settings, seed
    plan = plan_from(args)  # how it is conducted: budget, validation, final estimate
    with closing(agent_of(config, Resources(**resources_from(args)))) as agent:
        folder = run_folder(args, config, run_config(agent, plan))

        # Recorders consume what the training loop yields; add your own to the list.
        recorders = standard_recorders(
            args.quiet, args.tensorboard, args.video_budget, args.recorders
        )
        with StopSignals() as signals:  # Ctrl-C stops at the next generation
            result = train(agent, plan, folder, recorders, stop=signals)
    with if_readable(sys.stdout):  # all is saved, also where the terminal is gone
        print(summary(result, folder.path, terminal_width()))
    return 0 if result.finished else 128 + int(signals.received or 0)


if __name__ == "__main__":
    sys.exit(guarded(main, train_parser().parse_args()))
