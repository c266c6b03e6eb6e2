"""The command line, `zorl COMMAND`, with a function for each command."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import zorl
from zorl.cli import completion, meanings
from zorl.cli.arguments import (
    compare_parser,
    completion_parser,
    config_from,
    evaluate_parser,
    export_parser,
    list_parser,
    plan_from,
    replay_parser,
    resources_from,
    resume_parser,
    run_folder,
    study_parser,
    task_from,
    train_parser,
    watch_parser,
)
from zorl.cli.parser import Parser
from zorl.common.errors import ConfigurationError, EnvironmentFailure, UnknownNameError, ZorlError
from zorl.common.output import if_readable, open_closed_streams, silence, tell
from zorl.common.tracebacks import own_traceback


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 good, 1 failed, 2 bad input, 128 + signal."""
    # Matrices are small here: threads would wait for each other. Takes effect because numpy is not
    # imported yet; whoever sets the variable has the last word.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    open_closed_streams()
    if argv is None:
        if completion.is_asked():
            completion.complete(command_parser)
        argv = sys.argv[1:]
        for stream in (sys.stdout, sys.stderr):  # some of Windows have no signs for "–" and "≥"
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        sys.path.append(str(Path.cwd()))  # for "module:name", as with `python -m zorl`
    arguments = list(argv)
    parser = command_parser(arguments[0] if arguments else "")
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        if arguments[0] in meanings.COMMANDS:
            there = meanings.COMMANDS[arguments[0]]
            return _complain(
                ConfigurationError(f"unknown command {arguments[0]!r}; here that is `zorl {there}`")
            )
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
        silence(sys.stdout)
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:  # no permission, no space, no such folder
        return _complain(ZorlError(error))
    except KeyboardInterrupt:
        tell("zorl: interrupted")
        return 130


def _complain(error: ZorlError) -> int:
    if isinstance(error, EnvironmentFailure):
        cause = error.__cause__
        own = "" if cause is None or isinstance(cause, ZorlError) else own_traceback(cause)
        trace = error.trace or own
        if trace.startswith("Traceback"):  # else there is nothing of the environment's code in it
            tell(trace.removesuffix("\n"))
    tell(f"zorl: error: {error}")
    return 2 if isinstance(error, ConfigurationError) else 1


def command_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line.

    Args:
        only: fill in the options of this command alone: looking up those of all takes time.
    """
    parser = Parser(prog="zorl", description="Policy search without gradients, on Gymnasium.")
    parser.add_argument("--version", action="version", version=f"zorl {zorl.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, (text, command, options) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, parser=sub)
        if only in (None, name):
            options(sub)
    return parser


def recorders_for(args: argparse.Namespace) -> list[Any]:
    """The recorders that the display options ask for."""
    from zorl.recorders.standard import standard_recorders

    # An animation needs an environment beside that of the training.
    budget = 0.0 if args.lanes == 1 else args.video_budget
    return standard_recorders(args.quiet, args.tensorboard, budget, args.recorders)


def train_command(args: argparse.Namespace) -> int:
    """`zorl train`."""
    from zorl.agents.registry import agent_of
    from zorl.agents.training import run_config, train
    from zorl.common.stop_signals import StopSignals
    from zorl.rollout.backend import Resources

    config, plan = config_from(args), plan_from(args)
    recorders = recorders_for(args)  # refuses bad options before there is a folder
    agent = agent_of(config, Resources(**resources_from(args)))
    try:
        config_json = {**run_config(agent, plan), "recorders": args.recorders}
        folder = run_folder(args, config, config_json)
        with StopSignals() as signals:
            result = train(agent, plan, folder, recorders, stop=signals)
    finally:
        agent.close()
    return report(result, folder, signals)


def resume_command(args: argparse.Namespace) -> int:
    """`zorl resume`."""
    from zorl.agents.resuming import resume
    from zorl.common.references import named_by
    from zorl.common.stop_signals import StopSignals
    from zorl.runs.folder import RunFolder

    folder = RunFolder.open(args.folder)
    saved = folder.read_config().get("recorders", [])
    args.recorders = [*saved, *(text for text in args.recorders if text not in saved)]
    with StopSignals() as signals:
        with named_by(folder.path, args.trust):
            recorders = recorders_for(args)
        options = {
            "trust": args.trust,
            "total_timesteps": args.timesteps,
            **resources_from(args),
        }
        result = resume(folder, recorders, stop=signals, **options)
    return report(result, folder, signals)


def report(result: Any, folder: Any, signals: Any) -> int:
    """Print the summary of a run; the exit status is 0, or 128 + the signal that stopped it."""
    from zorl.runs.report import summary, terminal_width

    with if_readable(sys.stdout):
        print(summary(result, folder.path, terminal_width()))
    return 0 if result.finished else 128 + int(signals.received or 0)


def _load(path: Path, trust: bool | None, lanes: int | None) -> Any:
    from zorl.agents.registry import load_agent
    from zorl.runs.folder import RunFolder

    file = RunFolder.open(path).policy_file() if path.is_dir() else path
    return load_agent(file, trust=trust, lanes=lanes)


def evaluate_command(args: argparse.Namespace) -> int:
    """`zorl evaluate`."""
    from zorl.common.streams import held_out_seeds
    from zorl.runs.report import held_out_lines
    from zorl.runs.result import HeldOut

    with closing(_load(args.path, args.trust, args.lanes)) as agent:
        task, seeds = agent.task, held_out_seeds(args.episodes)
        held_out = HeldOut.from_evaluation(agent.evaluate(seeds))
    if args.json:
        print(json.dumps(held_out.to_json(), indent=2))
    else:
        print("\n".join(held_out_lines(held_out, task.shaped, task.success != "none")))
    return 0


def export_command(args: argparse.Namespace) -> int:
    """`zorl export`."""
    from zorl.export import FORMATS

    out = args.out
    if out is None:
        args.to = args.to or "c"
        suffix = FORMATS.resolve(args.to).suffix
        out = args.path / f"policy{suffix}" if args.path.is_dir() else args.path.with_suffix(suffix)
    with closing(_load(args.path, args.trust, lanes=1)) as agent:
        out = agent.export(out, args.to)
    print(f"{out}: {out.stat().st_size:,} bytes")
    return 0


def compare_command(args: argparse.Namespace) -> int:
    """`zorl compare`."""
    from zorl.cli.compare import compare_from

    return compare_from(args, task_from(args), plan_from(args))


def watch_command(args: argparse.Namespace) -> int:
    """`zorl watch`."""
    from zorl.runs.folder import latest_run
    from zorl.runs.playback import watch

    path = latest_run(Path("runs")) if args.path is None else args.path
    with closing(_load(path, args.trust, lanes=1)) as agent:  # the one that is shown
        seed = agent.seed if args.seed is None else args.seed
        for episode in watch(agent, agent.task, seed, args.episodes, out=args.out):
            print(episode)
    if args.out is not None:
        print(f"written to {args.out}")
    return 0


def replay_command(args: argparse.Namespace) -> int:
    """`zorl replay`; the exit status is 1 if the episode failed again, 0 if it did not."""
    import faulthandler

    from zorl.runs.failed_episodes import load_episode, replay

    if sys.__stderr__ is not None:  # the traceback of an environment that ends this process
        faulthandler.enable(sys.__stderr__)
    saved = load_episode(args.path, trust=args.trust)
    episode = saved.episode
    print(f"{saved.task.env_id}, seed {episode.seed}; then: {episode.reason}")
    # Of a crash nothing could be told afterwards.
    show = (lambda moment: print(moment, flush=True)) if args.steps or episode.crashed else None
    result = replay(args.path, show, trust=True)  # what it names is imported
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
            tell(f"zorl: {stopped}")
            return 128 + int(signals.received or 0)
    print(f"tables, figures and logs: {path}")
    return 0


def list_command(args: argparse.Namespace) -> int:
    """`zorl list`."""
    from zorl.cli.listing import list_names

    list_names(args.name)
    return 0


def completion_command(args: argparse.Namespace) -> int:
    """`zorl completion`."""
    print(completion.shell_code(args.shell))
    return 0


# By name: what a command does, its function, and what adds its options.
COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], int], Callable[[Parser], Any]]] = {
    "train": ("Train an agent on a task.", train_command, train_parser),
    "resume": (
        "Continue an interrupted run; the result is bit-identical.", resume_command, resume_parser
    ),
    "evaluate": (
        "Estimate a saved policy on held-out episodes.", evaluate_command, evaluate_parser
    ),
    "compare": ("Train several agents and compare them.", compare_command, compare_parser),
    "export": (
        "Write a policy as one file that runs without zorl.", export_command, export_parser
    ),
    "watch": ("Replay a policy in a window, or write a GIF or MP4.", watch_command, watch_parser),
    "replay": ("Play a failed episode again, to see why.", replay_command, replay_parser),
    "study": ("Reproduce a published experiment.", study_command, study_parser),
    "list": ("Show every name, or the options of one.", list_command, list_parser),
    "completion": (
        "Print what makes a shell complete zorl's names: eval \"$(zorl completion bash)\".",
        completion_command,
        completion_parser,
    ),
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
