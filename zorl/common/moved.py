"""Old module names of zorl 0.1, so that saved references and older scripts still load.

A saved agent or task may name a class as "module:Class", and a user's program may import a module
by its old name. Such an import returns today's module and gives a DeprecationWarning.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

# Where a module of 0.1 is now. Those that became packages of the same name (zorl.search, zorl.runs,
# zorl.policies, zorl.comparison, zorl.cli, zorl.envs.twins, zorl.envs.vector, zorl.envs.wrappers)
# offer their names themselves.
MOVED = {
    "zorl.activations": "zorl.policies.activations",
    "zorl.agents.backends": "zorl.rollout.choice",
    "zorl.agents.baseline_config": "zorl.agents.sb3.config",
    "zorl.agents.baselines": "zorl.agents.sb3.agent",
    "zorl.agents.callbacks": "zorl.agents.search.callbacks",
    "zorl.agents.sb3_options": "zorl.agents.sb3.options",
    "zorl.agents.sb3_policy": "zorl.agents.sb3.policy",
    "zorl.agents.sb3_training": "zorl.agents.sb3.training",
    "zorl.agents.search_agent": "zorl.agents.search.agent",
    "zorl.agents.search_config": "zorl.agents.search.config",
    "zorl.agents.zoo": "zorl.agents.published",
    "zorl.arguments": "zorl.cli.arguments",
    "zorl.comparison_runs": "zorl.comparison.runs",
    "zorl.comparison_spec": "zorl.comparison.spec",
    "zorl.comparison_table": "zorl.comparison.table",
    "zorl.curves": "zorl.runs.curves",
    "zorl.data": "zorl.studies.data",
    "zorl.envs.compiled": "zorl.envs.twins.base",
    "zorl.envs.mountain_car": "zorl.envs.wrappers.momentum_reward",
    "zorl.envs.native": "zorl.envs.wrappers.native_return",
    "zorl.envs.options": "zorl.common.options",
    "zorl.envs.pool": "zorl.envs.vector.envpool",
    "zorl.envs.registry": "zorl.envs.ids",
    "zorl.envs.spaces": "zorl.policies.spaces",
    "zorl.errors": "zorl.common.errors",
    "zorl.figures": "zorl.comparison.figures",
    "zorl.gates": "zorl.search.gates",
    "zorl.jobs": "zorl.common.subprocesses",
    "zorl.kernels": "zorl.policies.kernels",
    "zorl.long_search": "zorl.search.checkpointed",
    "zorl.minibatch": "zorl.search.minibatch",
    "zorl.module_policy": "zorl.policies.module",
    "zorl.normalization": "zorl.policies.normalization",
    "zorl.optimize": "zorl.search.optimize",
    "zorl.optimizers.signal": "zorl.search.signal_to_noise",
    "zorl.optimizers.natural": "zorl.optimizers.nes",
    "zorl.optimizers.published": "zorl.optimizers.recipes",
    "zorl.options": "zorl.common.options",
    "zorl.parameters": "zorl.policies.parameters",
    "zorl.plot_style": "zorl.common.plotting",
    "zorl.policy_source": "zorl.policies.source",
    "zorl.replay": "zorl.runs.failed_episodes",
    "zorl.rollout.backends": "zorl.rollout.local.serial",
    "zorl.rollout.dispatch": "zorl.rollout.ray.scheduler",
    "zorl.rollout.episodes": "zorl.rollout.local.gymnasium_runner",
    "zorl.rollout.ray_actor": "zorl.rollout.ray.actor",
    "zorl.rollout.ray_backend": "zorl.rollout.ray.backend",
    "zorl.rollout.ray_cluster": "zorl.rollout.ray.cluster",
    "zorl.rollout.rows": "zorl.rollout.vector.episodes",
    "zorl.rollout.shared": "zorl.rollout.processes.shared_memory",
    "zorl.rollout.spawning": "zorl.common.spawning",
    "zorl.rollout.turns": "zorl.rollout.local.step_batch",
    "zorl.rollout.work": "zorl.rollout.batch",
    "zorl.rollout.worker": "zorl.rollout.processes.worker",
    "zorl.spaces": "zorl.policies.spaces",
    "zorl.stats": "zorl.common.stats",
    "zorl.storage": "zorl.common.storage",
    "zorl.streams": "zorl.common.streams",
    "zorl.study": "zorl.studies.base",
    "zorl.summary": "zorl.runs.report",
    "zorl.watch": "zorl.runs.playback",
}


def install() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder:
    """A finder for the names in `MOVED`, used after all other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`; it is not a base class because its import is slow."""
        return ModuleSpec(fullname, cast(Any, _Moved())) if fullname in MOVED else None


class _Moved:
    """A loader that returns today's module for an old name."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See `importlib.abc.Loader`."""
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} is {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._spec: Any = module.__spec__  # which the import system is about to replace
        return module

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        module.__spec__ = self._spec
