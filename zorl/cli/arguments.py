"""Arguments: the options of every command, and what they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.options import parse_options, parse_sizes


class Parser(argparse.ArgumentParser):
    """Says which option was meant, as every other message of zorl does."""

    def error(self, message: str) -> NoReturn:
        """Complain in one line and exit with status 2."""
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
    parser = parser or Parser(description="Train an agent on a task.")
    parser.add_argument("--agent", default="cma-es", help="a name from `zorl list`")
    task_options(parser)
    parser.add_argument("--timesteps", type=count, default=200_000, help="env steps to spend")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers of the run")
    parser.add_argument(
        "--settings", default="tuned", help="tuned (published, where there are some) or default"
    )
    named_values(
        parser, "--set", "options", "an option of the agent, as learning_rate=0.02; repeatable"
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
        "--policy",
        metavar="MODULE:FUNCTION",
        help="a network of your own: a function of (features, outputs) to a torch.nn.Module",
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
    policy.add_argument(
        "--gate", help="off (the default), stale-best, blocking, paired or sequential"
    )
    named_values(policy, "--gate-set", "gate_options", "an option of the gate, as episodes=5")
    policy.add_argument(
        "--episodes", type=count, help="per candidate, on common seeds (default: the agent's)"
    )
    policy.add_argument(
        "--max-episodes",
        type=count,
        metavar="N",
        help="let episodes per candidate grow up to this against noise",
    )
    policy.add_argument(
        "--non-finite",
        dest="non_finite",
        help="at a NaN or infinite reward: raise, or score the candidate worst",
    )
    policy.add_argument(
        "--backend",
        help="what plays the episodes: auto (the default), gymnasium, compiled, compiled-fast, "
        "vector, envpool, or ray (gymnasium on a Ray cluster)",
    )
    policy.add_argument(
        "--on-failure",
        dest="on_failure",
        help="at an environment that raises, hangs or kills its process: fail, or score worst",
    )
    plan_options(parser)
    workers_options(parser)
    parser.add_argument(
        "--run", type=Path, help="run folder (default: runs/ENV__AGENT__SEED__TIME)"
    )
    display_options(parser)
    return parser


def compare_parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The options of `zorl compare` and of scripts/compare.py."""
    parser = parser or Parser(description="Train several agents on one task and compare them.")
    parser.add_argument(
        "--agents",
        nargs="+",
        default=["cma-es", "ars", "ppo"],
        metavar="AGENT",
        help='names, with options as "ars(m=4,gate=paired)"',
    )
    task_options(parser)
    parser.add_argument("--timesteps", type=count, default=200_000, help="env steps for each run")
    parser.add_argument("--seeds", type=count, default=5, help="runs of each agent")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--reference", help="agent that the others are paired with (default: ppo)")
    parser.add_argument("--jobs", type=count, help="runs at a time (default: one a core)")
    parser.add_argument("--out", type=Path, help="folder (default: comparisons/ENV__TIME)")
    parser.add_argument("--resume", action="store_true", help="keep the finished runs of --out")
    plan_options(parser)
    return parser


def task_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a task."""
    parser.add_argument("--env", default="MountainCar-v0", help="Gymnasium id, or module:Id-v0")
    parser.add_argument(
        "--wrapper",
        dest="wrappers",
        action="append",
        default=[],
        metavar="NAME",
        help='as momentum or "momentum(speed_weight=10)"; repeatable',
    )
    named_values(parser, "--env-set", "env_options", "an argument of gymnasium.make")
    parser.add_argument("--threshold", type=float, help="native return that counts as solved")


def plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of validation and of the final estimate."""
    plan = parser.add_argument_group("validation and result")
    plan.add_argument(
        "--validate-every",
        type=count,
        metavar="STEPS",
        help="env steps between points of the learning curve (default: 1/20)",
    )
    plan.add_argument("--validate-episodes", type=count, default=20, metavar="N")
    plan.add_argument(
        "--held-out", type=count, default=100, metavar="N", help="episodes of the final estimate"
    )
    plan.add_argument(
        "--stop-at",
        type=float,
        metavar="RETURN",
        help="stop as soon as validation reaches this mean native return",
    )
    plan.add_argument("--select", default="best", help="final policy: best by validation, or last")


def workers_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of where episodes run."""
    parser.add_argument(
        "--workers",
        type=count,
        help="processes that run episodes, or threads of compiled code; the results do not depend "
        "on it (default: one process, all cores for compiled code, all CPUs of a Ray cluster)",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="run on this Ray cluster, host:port or auto; a run that is resumed, too",
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        metavar="SECONDS",
        help="kill and replace a worker process that makes no progress for so long",
    )


def display_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is shown and logged."""
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
    display.add_argument(
        "--recorder",
        dest="recorders",
        action="append",
        default=[],
        metavar="NAME",
        help='another recorder, as "tensorboard(points=500)" or module:Class; repeatable',
    )


def named_values(parser: Any, flag: str, dest: str, text: str) -> None:
    """Add an option that takes NAME=VALUE and may be given again."""
    parser.add_argument(
        flag, dest=dest, action="append", default=[], metavar="NAME=VALUE", help=text
    )


def count(text: str) -> int:
    """A whole number ≥ 1; 200_000 and 2e5 are fine."""
    try:
        value = float(text)
        whole = int(value)
    except (ValueError, OverflowError):  # not a number, infinity
        whole = 0
    if whole < 1 or value != whole:
        raise argparse.ArgumentTypeError(f"expected a whole number ≥ 1, got {text!r}")
    return whole


def duration(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")
    return value


def config_from(args: argparse.Namespace) -> Any:
    """The agent's configuration that the options of `train_parser` describe."""
    options = parse_options(args.options)
    for name in ("agent", "env", "settings", "seed", "workers", "timeout", "ray"):
        if name in options:
            raise ConfigurationError(f"{name} is no option of the agent; use --{name}")
    for name in (
        "activation",
        "bias",
        "policy",
        "stochastic",
        "normalize",
        "gate",
        "episodes",
        "max_episodes",
        "non_finite",
        "on_failure",
        "backend",
    ):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    if args.hidden is not None:
        options["hidden"] = parse_sizes(args.hidden)
    if args.gate_options:
        options["gate_options"] = parse_options(args.gate_options)
    if args.backend == "ray":  # where, not what: see `resources_from`
        options["backend"] = "gymnasium"
    from zorl.agents.registry import make_config

    return make_config(args.agent, task_from(args), args.settings, seed=args.seed, **options)


def task_from(args: argparse.Namespace) -> Any:
    """The task that the options describe."""
    from zorl.envs import make_task

    return make_task(args.env, args.wrappers, parse_options(args.env_options), args.threshold)


def resources_from(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of `zorl.agents.search.backend_choice.Resources` that the options describe."""
    ray = args.ray_address
    if ray is None and getattr(args, "backend", None) == "ray":
        ray = "local"
    return {"workers": args.workers, "timeout": args.timeout, "ray": ray}


def plan_from(args: argparse.Namespace) -> Any:
    """The plan that the options describe."""
    from zorl.agents.plan import TrainingPlan

    return TrainingPlan(
        args.timesteps,
        args.validate_every,
        args.validate_episodes,
        args.held_out,
        args.select,
        args.stop_at,
    )
