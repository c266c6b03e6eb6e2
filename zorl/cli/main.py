"""The command line: zorl train | resume | evaluate | compare | watch | replay | study | list."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import zorl
from zorl.cli.arguments import (
    Parser,
    compare_parser,
    config_from,
    count,
    display_options,
    named_values,
    plan_from,
    resources_from,
    task_from,
    train_parser,
    workers_options,
)
from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError, ZorlError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 good, 1 failed, 2 bad input, 128 + signal."""
    # Matrices are small here: threads would wait for each other. Takes effect because numpy is not
    # imported yet; whoever sets the variable has the last word.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = command_parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        return _complain(UnknownNameError("command", arguments[0], COMMANDS))
    args = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(args, "command", None)
    if command is None:
        parser.print_help()
        return 2
    return guarded(command, args)


def guarded(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command; what goes wrong outside of zorl becomes one message and an exit status."""
    try:
        return command(args)
    except ZorlError as error:
        return _complain(error)
    except BrokenPipeError:  # whoever read the output, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # no permission, no space, no such folder
        return _complain(ZorlError(error))
    except KeyboardInterrupt:
        print("zorl: interrupted", file=sys.stderr)
        return 130


def _complain(error: ZorlError) -> int:
    if isinstance(error, EnvironmentFailure) and error.trace:  # the environment's own
        print(error.trace, file=sys.stderr, end="")
    print(f"zorl: error: {error}", file=sys.stderr)
    return 2 if isinstance(error, ConfigurationError) else 1


def command_parser() -> argparse.ArgumentParser:
    """The options of every command."""
    parser = Parser(prog="zorl", description="Policy search without gradients, on Gymnasium.")
    parser.add_argument("--version", action="version", version=f"zorl {zorl.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def add(name: str, text: str, command: Callable[..., int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, parser=sub)
        return sub

    train_parser(add("train", "Train an agent on a task.", train_command))

    sub = add("resume", "Go on with an interrupted run, to the same bits.", resume_command)
    sub.add_argument("folder", type=Path, metavar="RUN")
    workers_options(sub)
    display_options(sub)

    sub = add("evaluate", "Estimate a saved policy on held-out episodes.", evaluate_command)
    sub.add_argument("path", type=Path, metavar="RUN", help="a run folder or an agent's file")
    sub.add_argument("--episodes", type=count, default=100)
    sub.add_argument("--json", action="store_true", help="print the whole result as JSON")

    compare_parser(add("compare", "Train several agents and compare them.", compare_command))

    sub = add("watch", "Replay a policy in a window, or write a GIF or MP4.", watch_command)
    sub.add_argument(
        "path",
        type=Path,
        metavar="RUN",
        nargs="?",
        help="a run folder or an agent's file (default: the latest under runs/)",
    )
    sub.add_argument("--out", type=Path, help="a .gif or .mp4 file instead of a window")
    sub.add_argument("--episodes", type=count, default=1)
    sub.add_argument("--seed", type=int, help="another one than the run's")

    sub = add("replay", "Play an episode that failed again, to see why.", replay_command)
    sub.add_argument("path", type=Path, metavar="FILE", help="as the error named it")
    sub.add_argument("--steps", action="store_true", help="print every step before it is made")

    sub = add("study", "Reproduce a published experiment.", study_command)
    sub.add_argument("name", nargs="?", metavar="NAME", help="of the study; none: list them")
    sub.add_argument("--smoke", action="store_true", help="in seconds, to see that it works")
    sub.add_argument("--out", type=Path, help="folder of the results (default: study-results/NAME)")
    sub.add_argument("--data", type=Path, help="folder of the data sets (default: $ZORL_DATA)")
    sub.add_argument("--jobs", type=count, default=1, help="cells computed at a time")
    sub.add_argument("--fresh", action="store_true", help="compute again what is there already")
    named_values(sub, "--set", "options", "an option of the study, as seeds=50; repeatable")

    sub = add("list", "List agents, gates and wrappers.", list_command)
    return parser


def recorders_for(args: argparse.Namespace) -> list[Any]:
    """The recorders that the display options ask for."""
    from zorl.recorders.standard import standard_recorders

    return standard_recorders(args.quiet, args.tensorboard, args.video_budget, args.recorders)


def train_command(args: argparse.Namespace) -> int:
    """`zorl train`."""
    from zorl.agents.registry import agent_of
    from zorl.agents.search.backend_choice import Resources
    from zorl.agents.training import run_config, train
    from zorl.common.stop_signals import StopSignals
    from zorl.runs.folder import RunFolder, run_name

    config, plan = config_from(args), plan_from(args)
    path = args.run or Path("runs") / run_name(config.task.env_id, config.agent, config.seed)
    recorders = recorders_for(args)  # refuses bad options before there is a folder
    agent = agent_of(config, Resources(**resources_from(args)))
    try:
        folder = RunFolder.create(path, run_config(agent, plan))
        with StopSignals() as signals:
            result = train(agent, plan, folder, recorders, stop=signals)
    finally:
        agent.close()
    return report(result, folder, signals)


def resume_command(args: argparse.Namespace) -> int:
    """`zorl resume`."""
    from zorl.agents.training import resume
    from zorl.common.stop_signals import StopSignals
    from zorl.runs.folder import RunFolder

    folder = RunFolder.open(args.folder)
    with StopSignals() as signals:
        recorders = recorders_for(args)
        result = resume(folder, recorders, stop=signals, **resources_from(args))
    return report(result, folder, signals)


def report(result: Any, folder: Any, signals: Any) -> int:
    """Print the summary of a run; the exit status is 0, or 128 + the signal that stopped it."""
    from zorl.runs.summary import summary

    print(summary(result, folder.path))
    return 0 if result.finished else 128 + int(signals.received or 0)


def _load(path: Path) -> Any:
    from zorl.agents.registry import load_agent
    from zorl.runs.folder import RunFolder

    return load_agent(RunFolder.open(path).policy_file() if path.is_dir() else path)


def evaluate_command(args: argparse.Namespace) -> int:
    """`zorl evaluate`."""
    from zorl.common.streams import held_out_seeds
    from zorl.runs.result import HeldOut
    from zorl.runs.summary import held_out_lines

    with closing(_load(args.path)) as agent:
        task, seeds = agent.task, held_out_seeds(args.episodes)
        held_out = HeldOut.from_evaluation(agent.evaluate(seeds))
    if args.json:
        print(json.dumps(held_out.to_json(), indent=2))
    else:
        print("\n".join(held_out_lines(held_out, task.shaped, task.success != "none")))
    return 0


def compare_command(args: argparse.Namespace) -> int:
    """`zorl compare`."""
    from zorl.cli.compare import compare_from

    return compare_from(args, task_from(args), plan_from(args))


def watch_command(args: argparse.Namespace) -> int:
    """`zorl watch`."""
    from zorl.runs.folder import latest_run
    from zorl.runs.watch import watch

    path = latest_run(Path("runs")) if args.path is None else args.path
    with closing(_load(path)) as agent:
        seed = agent.seed if args.seed is None else args.seed
        for episode in watch(agent, agent.task, seed, args.episodes, out=args.out):
            print(episode)
    if args.out is not None:
        print(f"written to {args.out}")
    return 0


def replay_command(args: argparse.Namespace) -> int:
    """`zorl replay`; the exit status is 1 if the episode failed again, 0 if it did not."""
    import faulthandler

    from zorl.runs.replay import load_episode, replay

    if sys.__stderr__ is not None:  # the traceback of an environment that ends this process
        faulthandler.enable(sys.__stderr__)
    saved = load_episode(args.path)
    episode = saved.episode
    print(f"{saved.task.env_id}, seed {episode.seed}; then: {episode.reason}")
    # Of a crash nothing could be told afterwards.
    show = (lambda moment: print(moment, flush=True)) if args.steps or episode.crashed else None
    result = replay(args.path, show)
    if result.error is None:
        print(f"it came to its end after {result.last.step} steps: {result.episode_return:g}")
        return 0
    print(f"failed at {result.last}")
    print(result.trace, end="")
    print(f"failed again: {result.error}")
    return 1


def study_command(args: argparse.Namespace) -> int:
    """`zorl study`; the exit status is 128 + the signal where one stopped it."""
    from zorl.common.options import parse_options
    from zorl.common.stop_signals import StopSignals
    from zorl.studies.base import Stopped, list_studies, run_study

    if args.name is None:
        for name, text in list_studies().items():
            print(f"{name:22} {text}")
        return 0
    options = parse_options(args.options)
    with StopSignals() as signals:
        try:
            path = run_study(
                args.name, args.out, args.smoke, args.data, args.jobs, args.fresh, options, signals
            )
        except Stopped as stopped:
            print(f"zorl: {stopped}", file=sys.stderr)
            return 128 + int(signals.received or 0)
    print(f"tables, figures and logs: {path}")
    return 0


def list_command(args: argparse.Namespace) -> int:
    """`zorl list`."""
    from zorl.agents.registry import list_agents
    from zorl.envs import WRAPPERS
    from zorl.search.gates import GATES

    for title, entries in (
        ("agents", list_agents()),
        ("gates", GATES.summaries()),
        ("wrappers", {name: _first_line(wrapper) for name, wrapper in WRAPPERS.items()}),
    ):
        print(f"{title}:")
        for name, text in entries.items():
            print(f"  {name:22} {text}")
    return 0


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


COMMANDS = ("train", "resume", "evaluate", "compare", "watch", "replay", "study", "list")

if __name__ == "__main__":
    sys.exit(main())
