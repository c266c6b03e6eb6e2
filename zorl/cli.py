"""The command line: zorl train | resume | evaluate | compare | watch | list."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import zorl
from zorl.errors import ConfigurationError, UnknownNameError, ZorlError
from zorl.options import parse_options


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
    print(f"zorl: error: {error}", file=sys.stderr)
    return 2 if isinstance(error, ConfigurationError) else 1


class _Parser(argparse.ArgumentParser):
    """Says which option was meant, as every other message of zorl does."""

    def error(self, message: str) -> NoReturn:
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            name = message[len(prefix) :].split()[0].split("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            if name.startswith("-"):
                message = str(UnknownNameError("option", name, known))
        self.exit(2, f"zorl: error: {message} (options: {self.prog} --help)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a subcommand complains of its own unknown options."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            getattr(parsed, "parser", self).error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed


def train_parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The options of `zorl train` and of scripts/train.py."""
    parser = parser or _Parser(description="Train an agent on a task.")
    parser.add_argument("--agent", default="cma-es", help="a name from `zorl list`")
    _task_options(parser)
    parser.add_argument("--timesteps", type=_count, default=200_000, help="env steps to spend")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers of the run")
    parser.add_argument(
        "--settings", default="tuned", help="tuned (published, where there are some) or default"
    )
    parser.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the agent, as learning_rate=0.02; repeatable",
    )
    policy = parser.add_argument_group("policy and search (not for baselines)")
    policy.add_argument(
        "--hidden", help="hidden sizes, as 8 (the default) or 64,64; none for a linear policy"
    )
    policy.add_argument("--activation", help="tanh (the default), relu, elu, silu or sigmoid")
    policy.add_argument(
        "--no-bias", dest="bias", action="store_const", const=False, help="layers without biases"
    )
    policy.add_argument(
        "--stochastic",
        action="store_const",
        const=True,
        help="act by seeded chance during the search",
    )
    policy.add_argument(
        "--normalize", help="observations: off, bounds, or running statistics (the default)"
    )
    policy.add_argument("--gate", help="off (the default), stale-best, paired or sequential")
    policy.add_argument(
        "--gate-set",
        dest="gate_options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the gate, as episodes=5",
    )
    policy.add_argument(
        "--episodes", type=_count, help="per candidate, on common seeds (default: the agent's)"
    )
    policy.add_argument(
        "--max-episodes",
        type=_count,
        metavar="N",
        help="let episodes per candidate grow up to this against noise",
    )
    policy.add_argument(
        "--non-finite",
        dest="non_finite",
        help="at a NaN or infinite reward: raise, or score the candidate worst",
    )
    _plan_options(parser)
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        help="processes that run episodes; the results do not depend on it",
    )
    parser.add_argument(
        "--run", type=Path, help="run folder (default: runs/ENV__AGENT__SEED__TIME)"
    )
    _display_options(parser)
    return parser


def compare_parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The options of `zorl compare` and of scripts/compare.py."""
    parser = parser or _Parser(description="Train several agents on one task and compare them.")
    parser.add_argument(
        "--agents",
        nargs="+",
        default=["cma-es", "ars", "ppo"],
        metavar="AGENT",
        help='names, with options as "ars(m=4,gate=paired)"',
    )
    _task_options(parser)
    parser.add_argument("--timesteps", type=_count, default=200_000, help="env steps for each run")
    parser.add_argument("--seeds", type=_count, default=5, help="runs of each agent")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--reference", help="agent that the others are paired with (default: ppo)")
    parser.add_argument("--jobs", type=_count, help="runs at a time (default: one a core)")
    parser.add_argument("--out", type=Path, help="folder (default: comparisons/ENV__TIME)")
    parser.add_argument("--resume", action="store_true", help="keep the finished runs of --out")
    _plan_options(parser)
    return parser


def _task_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--env", default="MountainCar-v0", help="Gymnasium id, or module:Id-v0")
    parser.add_argument(
        "--wrapper",
        dest="wrappers",
        action="append",
        default=[],
        metavar="NAME",
        help='as momentum or "momentum(speed_weight=10)"; repeatable',
    )
    parser.add_argument(
        "--env-set",
        dest="env_options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of gymnasium.make",
    )
    parser.add_argument("--threshold", type=float, help="native return that counts as solved")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    plan = parser.add_argument_group("validation and result")
    plan.add_argument(
        "--validate-every",
        type=_count,
        metavar="STEPS",
        help="env steps between points of the learning curve (default: 1/20)",
    )
    plan.add_argument("--validate-episodes", type=_count, default=20, metavar="N")
    plan.add_argument(
        "--held-out", type=_count, default=100, metavar="N", help="episodes of the final estimate"
    )
    plan.add_argument("--select", default="best", help="final policy: best by validation, or last")


def _display_options(parser: argparse.ArgumentParser) -> None:
    display = parser.add_argument_group("display and log")
    display.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    display.add_argument("--no-tensorboard", dest="tensorboard", action="store_false")
    display.add_argument(
        "--video-budget",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of the run's time for rendering rollouts; 0 for none",
    )


def _count(text: str) -> int:
    """A whole number ≥ 1; 200_000 and 2e5 are fine."""
    try:
        value = float(text)
        whole = int(value)
    except (ValueError, OverflowError):  # not a number, infinity
        whole = 0
    if whole < 1 or value != whole:
        raise argparse.ArgumentTypeError(f"expected a whole number ≥ 1, got {text!r}")
    return whole


def command_parser() -> argparse.ArgumentParser:
    """The options of every command."""
    parser = _Parser(prog="zorl", description="Policy search without gradients, on Gymnasium.")
    parser.add_argument("--version", action="version", version=f"zorl {zorl.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)

    def add(name: str, text: str, command: Callable[..., int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, parser=sub)
        return sub

    train_parser(add("train", "Train an agent on a task.", train_command))

    sub = add("resume", "Go on with an interrupted run, to the same bits.", resume_command)
    sub.add_argument("folder", type=Path, metavar="RUN")
    sub.add_argument("--workers", type=_count, default=1)
    _display_options(sub)

    sub = add("evaluate", "Estimate a saved policy on held-out episodes.", evaluate_command)
    sub.add_argument("path", type=Path, metavar="RUN", help="a run folder or an agent's file")
    sub.add_argument("--episodes", type=_count, default=100)
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
    sub.add_argument("--episodes", type=_count, default=1)
    sub.add_argument("--seed", type=int, help="another one than the run's")

    sub = add("list", "List agents, gates and wrappers.", list_command)
    return parser


def config_from(args: argparse.Namespace) -> Any:
    """The agent's configuration that the options of `train_parser` describe."""
    options = parse_options(args.options)
    for name in ("agent", "env", "settings", "seed", "workers"):
        if name in options:
            raise ConfigurationError(f"{name} is no option of the agent; use --{name}")
    for name in (
        "activation",
        "bias",
        "stochastic",
        "normalize",
        "gate",
        "episodes",
        "max_episodes",
        "non_finite",
    ):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    if args.hidden is not None:
        options["hidden"] = parse_hidden(args.hidden)
    if args.gate_options:
        options["gate_options"] = parse_options(args.gate_options)
    from zorl.agents.registry import make_config

    return make_config(args.agent, task_from(args), args.settings, seed=args.seed, **options)


def task_from(args: argparse.Namespace) -> Any:
    """The task that the options describe."""
    from zorl.envs import make_task

    return make_task(args.env, args.wrappers, parse_options(args.env_options), args.threshold)


def plan_from(args: argparse.Namespace) -> Any:
    """The plan that the options describe."""
    from zorl.agents.training import Plan

    return Plan(
        args.timesteps, args.validate_every, args.validate_episodes, args.held_out, args.select
    )


def parse_hidden(text: str) -> tuple[int, ...]:
    """Hidden sizes from "8", "64,64" or "none"."""
    if text.strip().lower() in ("none", ""):
        return ()
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise ConfigurationError(
            f"hidden sizes must be like 8, 64,64 or none, got {text!r}"
        ) from None


def recorders_for(folder: Any, args: argparse.Namespace) -> list[Any]:
    """The recorders that the display options ask for."""
    from zorl.recorders.standard import standard_recorders

    return standard_recorders(folder, args.quiet, args.tensorboard, args.video_budget)


def train_command(args: argparse.Namespace) -> int:
    """`zorl train`."""
    from zorl.agents.registry import agent_of
    from zorl.agents.training import run_config, train
    from zorl.runs import RunFolder, StopSignals, run_name

    config, plan = config_from(args), plan_from(args)
    path = args.run or Path("runs") / run_name(config.task.env_id, config.agent, config.seed)
    recorders = recorders_for(RunFolder(path), args)  # refuses bad options before there is a folder
    agent = agent_of(config, args.workers)
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
    from zorl.runs import RunFolder, StopSignals

    folder = RunFolder.open(args.folder)
    with StopSignals() as signals:
        recorders = recorders_for(folder, args)
        result = resume(folder, recorders, stop=signals, workers=args.workers)
    return report(result, folder, signals)


def report(result: dict[str, Any], folder: Any, signals: Any) -> int:
    """Print the summary of a run; the exit status is 0, or 128 + the signal that stopped it."""
    from zorl.summary import summary

    print(summary(result, folder.path))
    return 0 if result["status"] == "finished" else 128 + int(signals.received or 0)


def _load(path: Path) -> Any:
    from zorl.agents.registry import load_agent
    from zorl.runs import RunFolder

    return load_agent(RunFolder.open(path).policy_file() if path.is_dir() else path)


def evaluate_command(args: argparse.Namespace) -> int:
    """`zorl evaluate`."""
    from zorl.agents.training import held_out_summary
    from zorl.streams import held_out_seeds
    from zorl.summary import held_out_lines

    with closing(_load(args.path)) as agent:
        task, seeds = agent.task, held_out_seeds(args.episodes)
        held_out = held_out_summary(agent.evaluate(seeds))
    if args.json:
        print(json.dumps(held_out, indent=2))
    else:
        print("\n".join(held_out_lines(held_out, task.shaped, task.success != "none")))
    return 0


def compare_command(args: argparse.Namespace) -> int:
    """`zorl compare`."""
    from zorl.comparison import compare_from

    return compare_from(args, task_from(args), plan_from(args))


def watch_command(args: argparse.Namespace) -> int:
    """`zorl watch`."""
    from zorl.runs import latest_run
    from zorl.watch import watch

    path = latest_run(Path("runs")) if args.path is None else args.path
    with closing(_load(path)) as agent:
        seed = agent.config["seed"] if args.seed is None else args.seed
        for episode in watch(agent, agent.task, seed, args.episodes, out=args.out):
            print(episode)
    if args.out is not None:
        print(f"written to {args.out}")
    return 0


def list_command(args: argparse.Namespace) -> int:
    """`zorl list`."""
    from zorl.agents.registry import list_agents
    from zorl.envs import WRAPPERS
    from zorl.gates import GATES

    for title, entries in (
        ("agents", list_agents()),
        ("gates", {name: _first_line(gate) for name, gate in GATES.items()}),
        ("wrappers", {name: _first_line(wrapper) for name, wrapper in WRAPPERS.items()}),
    ):
        print(f"{title}:")
        for name, text in entries.items():
            print(f"  {name:22} {text}")
    return 0


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


COMMANDS = ("train", "resume", "evaluate", "compare", "watch", "list")

if __name__ == "__main__":
    sys.exit(main())
