"""What the whole suite shares: which tests are slow, their order, and libraries that are missing.

Toy environments, networks and optimizers are modules of `tests/helpers`, because the processes
that tests start import them too.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent

# Files and folders of slow tests: they start programs, train or compile for seconds. Single tests
# elsewhere have `@pytest.mark.slow`. `pytest -m "not slow"` leaves all of them out.
SLOW = (
    "agents/sb3",
    "agents/test_resume.py",
    "agents/test_signals.py",
    "agents/test_training.py",
    "cli/test_main_failures.py",
    "comparison/test_interruption.py",
    "comparison/test_runs.py",
    "envs/mujoco",
    "export/test_files.py",
    "export/test_page.py",
    "envs/twins/test_classic_control.py",
    "networks",
    "optimizers/test_cma_es_numerics.py",
    "optimizers/test_cma_es_peers.py",
    "optimizers/test_lm_ma_es.py",
    "optimizers/test_lra.py",
    "optimizers/test_nes.py",
    "optimizers/test_restarts.py",
    "policies/test_module.py",
    "policies/test_module_state.py",
    "recorders/test_browser.py",
    "rollout/compiled",
    "rollout/processes",
    "rollout/ray",
    "search/test_gates_memory.py",
    "search/test_gates_sequential.py",
    "studies",
    "testing",
    "test_benchmarks.py",
    "test_examples.py",
    "test_other_systems.py",
    "test_packaging.py",
)

# Libraries that most of zorl does without. Where one is not installed, as in the environments of
# .ci/run without torch, the tests that import it are skipped.
OPTIONAL = (
    *("torch", "stable_baselines3", "tensorboard", "mujoco", "ray", "imageio_ffmpeg"),
    *("cma", "cmaes", "ioh", "sb3_contrib", "build"),
)
MISSING = tuple(name for name in OPTIONAL if find_spec(name) is None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests. Several processes begin with them, so as to end at about one time."""
    gone = [name for name in SLOW if not (TESTS / name).exists()]
    assert not gone, f"SLOW in {__file__} names what is not there: {gone}"
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):  # a process of pytest-xdist
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, in the order of the collection.

    They share fixtures, such as a Ray cluster.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def missing(error: BaseException | None) -> str | None:
    """The library that is not installed and that an error, or its cause, is about."""
    while error is not None:
        name = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
        if name in MISSING:
            return name
        error = error.__cause__ or error.__context__
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    for name in MISSING:
        if report.failed and f"No module named '{name}" in str(report.longrepr):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 1, f"Skipped: {name} is not installed")
    return report


def skip_what_is_missing() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except Exception as error:
        name = missing(error)
        if name is None:
            raise
        pytest.skip(f"{name} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, Any, Any]:
    return (yield from skip_what_is_missing())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, Any, Any]:
    return (yield from skip_what_is_missing())
