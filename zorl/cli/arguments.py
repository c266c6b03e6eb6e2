"""Arguments: the options of every command, and what they describe."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zorl.cli.flags import add_fields, count, given, listed, named_values
from zorl.cli.parser import Parser
from zorl.common.errors import ConfigurationError
from zorl.common.options import Options, parse_options, split_call

TIMESTEPS = 200_000  # the budget where none is given
AGENT_HELP = 'a name from `zorl list`, with options as in "ars(m=4)" (default: auto)'
# Fields of a search agent's configuration that are no flags of the group "policy and search".
NOT_FLAGS = ("agent", "task", "options", "seed", "source")


def train_parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The options of `zorl train` and of scripts/train.py."""
    from zorl.agents.search.auto import CHOSEN
    from zorl.agents.search.config import CHOICES, SearchConfig

    parser = parser or Parser(description="Train an agent on a task.")
    parser.add_argument("--agent", default="auto", metavar="NAME", help=AGENT_HELP)
    config_option(parser)
    task_options(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="of all random numbers of the run (default: 0)"
    )
    parser.add_argument(
        "--settings",
        default="tuned",
        help="tuned (published, where there are some; the default) or default",
    )
    named_values(
        parser,
        "--set",
        "options",
        "an option of the agent, as learning_rate=0.02; repeatable (default: none)",
    )
    policy = parser.add_argument_group("policy and search (not for baselines)")
    choices = {**CHOICES, "backend": [*CHOICES["backend"], "ray"]}
    by_agent = dict.fromkeys(CHOSEN, "the agent's")
    add_fields(policy, SearchConfig, NOT_FLAGS, choices, by_agent)
    plan_options(parser)
    resources_options(parser)
    parser.add_argument(
        *("--out", "--run"),
        dest="run",
        type=Path,
        metavar="FOLDER",
        help="run folder (default: runs/ENV__AGENT__SEED__SETTINGS__TIME)",
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
        help='names, with options as "ars(m=4,gate=paired)" (default: cma-es ars ppo)',
    )
    config_option(parser)
    task_options(parser)
    parser.add_argument("--seeds", type=count, default=5, help="runs of each agent (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the first run (default: 0)")
    parser.add_argument("--reference", help="agent that the others are paired with (default: ppo)")
    parser.add_argument("--jobs", type=count, help="runs at a time (default: one a core)")
    lanes_option(parser)
    parser.add_argument("--out", type=Path, help="folder (default: comparisons/ENV__AGENTS__TIME)")
    parser.add_argument("--resume", action="store_true", help="keep the finished runs of --out")
    plan_options(parser)
    return parser


def resume_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl resume`."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--timesteps",
        type=count,
        metavar="N",
        help="a larger budget, also of a run that is finished (default: the run's)",
    )
    trust_option(parser)
    resources_options(parser)
    display_options(parser)


def evaluate_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl evaluate`."""
    trust_option(parser)
    parser.add_argument("path", type=Path, metavar="RUN", help="a run folder or an agent's file")
    parser.add_argument(
        "--episodes", type=count, default=100, metavar="N", help="how many (default: 100)"
    )
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    lanes_option(parser)


def export_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl export`."""
    from zorl.export import FORMATS

    trust_option(parser)
    parser.add_argument("path", type=Path, metavar="RUN", help="a run folder or an agent's file")
    by_suffix = "(default: by the suffix of --out, or c)"
    parser.add_argument("--to", metavar="FORMAT", help=f"{listed(FORMATS)} {by_suffix}")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the file (default: policy with the format's suffix in the run's folder, or beside "
        "the agent's file)",
    )


def watch_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl watch`."""
    trust_option(parser)
    parser.add_argument(
        "path",
        type=Path,
        metavar="RUN",
        nargs="?",
        help="a run folder or an agent's file (default: the latest under runs/)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a .gif or .mp4 file (default: a window)"
    )
    parser.add_argument(
        "--episodes", type=count, default=1, metavar="N", help="how many (default: 1)"
    )
    parser.add_argument("--seed", type=int, help="of the first episode (default: the run's)")


def replay_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl replay`."""
    trust_option(parser)
    parser.add_argument("path", type=Path, metavar="FILE", help="as the error named it")
    parser.add_argument("--steps", action="store_true", help="print every step before it is made")


def study_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl study`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the study; none: list them")
    parser.add_argument("--smoke", action="store_true", help="in seconds, to see that it works")
    parser.add_argument(
        "--out", type=Path, help="folder of the results (default: study-results/NAME)"
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: $ZORL_DATA)")
    parser.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="cells at a time (default: 1)"
    )
    parser.add_argument("--fresh", action="store_true", help="compute again what is there already")
    named_values(
        parser,
        "--set",
        "options",
        "an option of the study, as seeds=50; repeatable (default: none)",
    )


def list_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl list`."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="of an agent, gate, …, or a kind, as gates"
    )


def completion_parser(parser: argparse.ArgumentParser) -> None:
    """The options of `zorl completion`."""
    from zorl.cli.completion import SHELLS

    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=listed(SHELLS))


def config_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a file with options."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take options from this YAML, TOML or JSON file, as `timesteps: 2e6`, or from a run's "
        "config.json; what is typed as well has the last word (default: none)",
    )


def lanes_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of how many environments there may be in a process."""
    from zorl.rollout.backend import Resources

    add_fields(parser, Resources, ("workers", "timeout", "ray"))


def trust_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of what a file may have imported."""
    parser.add_argument(
        "--trust",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="import modules that the file names, as of an environment of your own, without a "
        "word; --no-trust: refuse them (default: a warning names each)",
    )


def task_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a task."""
    from zorl.envs import WRAPPERS
    from zorl.envs.task import DEFAULT_LIMIT, SUCCESS

    parser.add_argument(
        "--env",
        default="MountainCar-v0",
        metavar="ID",
        help="Gymnasium id, or module:Id-v0 (default: MountainCar-v0)",
    )
    parser.add_argument(
        "--wrapper",
        dest="wrappers",
        action="append",
        default=[],
        metavar="NAME",
        help=f"{listed(WRAPPERS)}, with options as in momentum(speed_weight=10), or module:Class; "
        "repeatable, the first is the innermost (default: none)",
    )
    named_values(
        parser,
        "--env-set",
        "env_options",
        "an argument of gymnasium.make; repeatable (default: none)",
    )
    parser.add_argument(
        "--max-episode-steps",
        type=int,
        metavar="STEPS",
        help="truncate episodes after so many steps; -1 for no limit (default: the environment's "
        f"own limit, or {DEFAULT_LIMIT:,} where it has none)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="RETURN",
        help="native return that counts as solved (default: Gymnasium's)",
    )
    parser.add_argument(
        "--success",
        metavar="RULE",
        help=f"when an episode is a success: {listed(SUCCESS)} (default: terminated, where it is "
        "known that the environment terminates at its goal; else threshold, where there is one; "
        "else none)",
    )


def plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the budget, of validation and of the final estimate."""
    from zorl.agents.plan import SELECT, TrainingPlan

    group = parser.add_argument_group("budget, validation and result")
    default = {"total_timesteps": f"{TIMESTEPS:_}, or no limit beside --seconds"}
    add_fields(group, TrainingPlan, (), {"select": SELECT}, default)


def resources_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of where episodes run."""
    from zorl.rollout.backend import Resources

    group = parser.add_argument_group("where episodes run (the results do not depend on it)")
    add_fields(group, Resources)


def display_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is shown and logged."""
    from zorl.recorders import RECORDERS

    display = parser.add_argument_group("display and log")
    display.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    display.add_argument(
        "--no-tensorboard", dest="tensorboard", action="store_false", help="write no event file"
    )
    display.add_argument(
        "--video-budget",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of the run's time for rendering rollouts; 0 for none (default: 0.05)",
    )
    display.add_argument(
        "--recorder",
        dest="recorders",
        action="append",
        default=[],
        metavar="NAME",
        help=f"another recorder: {listed(RECORDERS)}, with options as in tensorboard(points=500), "
        "or module:Class; repeatable (default: none)",
    )


def config_from(args: argparse.Namespace) -> Any:
    """The agent's configuration that the options of `train_parser` describe."""
    from zorl.agents.registry import make_config
    from zorl.agents.search.config import SearchConfig
    from zorl.comparison.spec import AgentSpec

    spec = AgentSpec.parse(args.agent)
    settings = args.settings if spec.settings == "tuned" else spec.settings
    options = {**Options(spec.options).thaw(), **parse_options(args.options)}
    for name in ("agent", "env", "settings", "seed", "workers", "timeout", "ray"):
        if name in options:
            raise ConfigurationError(f"{name} is no option of the agent; use --{name}")
    options |= given(args, SearchConfig, NOT_FLAGS)
    if args.backend == "ray":  # says where, not what: see `resources_from`
        options["backend"] = "gymnasium"
    return make_config(spec.name, task_from(args), settings, seed=args.seed, **options)


def task_from(args: argparse.Namespace) -> Any:
    """The task that the options describe."""
    from zorl.envs import make_task

    options = parse_options(args.env_options)
    return make_task(
        args.env, args.wrappers, options, args.threshold, args.success, args.max_episode_steps
    )


def task_words(args: argparse.Namespace) -> list[str]:
    """What the options say of a task but its environment, for the name of a folder."""
    return [*args.wrappers, *(text.replace(" ", "") for text in args.env_options)]


def run_folder(args: argparse.Namespace, config: Any, config_json: Mapping[str, Any]) -> Any:
    """The new folder of a run: the one that is named, or one that says what differs.

    Raises:
        RunFolderError: the folder that is named is taken.
    """
    from zorl.agents.search.config import SearchConfig
    from zorl.runs.folder import RunFolder, new_folder, run_name

    if args.run is not None:
        return RunFolder.create(args.run, config_json)
    words = [] if args.settings == "tuned" else [args.settings]
    words += [f"{name}={value}" for name, value in split_call(args.agent, "agent")[1].items()]
    words += args.options
    words += [
        f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in given(args, SearchConfig, NOT_FLAGS).items()
        if not isinstance(value, dict)
    ]
    words += args.gate_options or []
    name = run_name(config.task.env_id, config.agent, config.seed, [*task_words(args), *words])
    return RunFolder.create(new_folder(Path("runs") / name), config_json)


def resources_from(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Resources` that the options describe."""
    from zorl.rollout.backend import Resources

    found = given(args, Resources)
    if getattr(args, "backend", None) == "ray":
        found.setdefault("ray", "local")
    return found


def plan_from(args: argparse.Namespace) -> Any:
    """The plan that the options describe."""
    from zorl.agents.plan import TrainingPlan
    from zorl.recorders.base import UNLIMITED

    budget = TIMESTEPS if args.seconds is None else UNLIMITED
    return TrainingPlan(**{"total_timesteps": budget, **given(args, TrainingPlan)})
