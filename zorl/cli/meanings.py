"""What people of other tools call an option or a command, and what that is here.

Names of Stable-Baselines3, RL Baselines3 Zoo, CleanRL and TensorBoard. Their nearest spelling here
means something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

# By the name elsewhere: flags here, of which the first that the command has is the answer.
FLAGS: Mapping[str, tuple[str, ...]] = {
    "--algo": ("--agent", "--agents"),
    "--algorithm": ("--agent", "--agents"),
    "--agents": ("--agent",),
    "--method": ("--agent", "--agents"),
    "--policy-kwargs": ("--hidden", "--set"),
    "--net-arch": ("--hidden",),
    "--env-id": ("--env",),
    "--gym-id": ("--env",),
    "--env-kwargs": ("--env-set",),
    "--env-wrapper": ("--wrapper",),
    "--n-timesteps": ("--timesteps",),
    "--num-timesteps": ("--timesteps",),
    "--total-timesteps": ("--timesteps",),
    "--steps": ("--timesteps",),
    "--budget": ("--timesteps",),
    "-n": ("--timesteps", "--episodes"),
    "--hyperparams": ("--set",),
    "--hyperparameters": ("--set",),
    "--params": ("--set",),
    "--conf-file": ("--config", "--set"),
    "--learning-rate": ("--set",),
    "--lr": ("--set",),
    "--gamma": ("--set",),
    "--batch-size": ("--set",),
    "--sigma": ("--set",),
    "--popsize": ("--set",),
    "--n-envs": ("--workers", "--lanes", "--jobs"),
    "--num-envs": ("--workers", "--lanes", "--jobs"),
    "--num-workers": ("--workers", "--jobs"),
    "--num-threads": ("--workers", "--jobs"),
    "--n-jobs": ("--jobs", "--workers"),
    "--vec-env": ("--workers",),
    "--n-seeds": ("--seeds",),
    "--num-seeds": ("--seeds",),
    "--eval-freq": ("--validate-every",),
    "--eval-episodes": ("--validate-episodes", "--episodes"),
    "--n-eval-episodes": ("--validate-episodes", "--episodes"),
    "--n-episodes": ("--episodes",),
    "--log-dir": ("--out",),
    "--logdir": ("--out",),
    "--log-folder": ("--out",),
    "--tensorboard-log": ("--out",),
    "--output": ("--out",),
    "--output-dir": ("--out",),
    "--folder": ("--out",),
    "--save-path": ("--out",),
    "--name": ("--out",),
    "--run-name": ("--out",),
    "--exp-name": ("--out",),
    "--run": ("--out",),
    "-f": ("--out",),
    "-o": ("--out",),
    "--capture-video": ("--video-budget",),
    "--track": ("--recorder",),
    "--logger": ("--recorder",),
}
_SHOWN = "progress is shown"
_RESUME = "`zorl resume RUN` goes on with a run, `zorl watch RUN` and `zorl evaluate RUN` load it"
# Those that have no option here.
SENTENCES: Mapping[str, str] = {
    "--verbose": _SHOWN,
    "-v": _SHOWN,
    "--progress": _SHOWN,
    "--progress-bar": _SHOWN,
    "-P": _SHOWN,
    "--device": "everything runs on the CPU",
    "--cuda": "everything runs on the CPU",
    "--load": _RESUME,
    "--load-best": _RESUME,
    "--load-checkpoint": _RESUME,
    "--trained-agent": _RESUME,
    "-i": _RESUME,
    "--save-freq": "a checkpoint is written every ten seconds",
}
COMMANDS: Mapping[str, str] = {
    "enjoy": "watch",
    "play": "watch",
    "render": "watch",
    "record": "watch",
    "eval": "evaluate",
    "test": "evaluate",
    "benchmark": "compare",
    "plot": "compare",
    "continue": "resume",
    "learn": "train",
    "fit": "train",
    "run": "train",
    "info": "list",
    "agents": "list",
    "help": "--help",
}


def meant(name: str, known: Collection[str]) -> str | None:
    """What an unknown option is here, as the end of a sentence; None: that is not known.

    Args:
        name: the option.
        known: the options of the command.
    """
    flag = next((flag for flag in FLAGS.get(name, ()) if flag in known), None)
    if flag == "--set":
        return "here that is --set NAME=VALUE; `zorl list AGENT` shows the options of an agent"
    if flag is not None:
        return f"here that is {flag}"
    sentence = SENTENCES.get(name)
    return f"{_SHOWN}, unless --quiet" if sentence == _SHOWN and "--quiet" in known else sentence
