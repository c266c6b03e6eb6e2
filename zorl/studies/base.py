"""The base of all studies: cells that are computed once, tables and figures.

A study is a module of `zorl.studies` with a function `run(study, **options)`; `zorl study NAME`
runs it. All its results are in one folder: cells/ with the results of its cells, which a second run
reuses; NAME.csv and NAME.png for its tables and figures; and TensorBoard logs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import pkgutil
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zorl.common.errors import (
    ConfigurationError,
    FileFormatError,
    RunFolderError,
    UnknownNameError,
    ZorlError,
)
from zorl.common.locks import LOCK_NAME, FolderLock
from zorl.common.options import Option, describe_options, resolve_options
from zorl.common.output import if_readable
from zorl.common.stop_signals import StopSignals
from zorl.common.storage import read_json, write_atomically, write_json
from zorl.common.subprocesses import available_cores, run_in_processes
from zorl.common.types import Stop

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zorl.recorders.event_log import EventLog

T = TypeVar("T")
_NAME_LENGTH = 100  # length of a cell's file name, before the digits that distinguish long names


class Stopped(ZorlError):
    """A signal stopped the study; computed results are kept."""


class Study:
    """One run of a study, as a context manager.

    Args:
        name: name of the study.
        out: folder of the results.
        smoke: whether to run in seconds, with small sizes that only show that it works.
        data: folder of the data sets, see `zorl.studies.data`; None for the usual places.
        jobs: number of cells computed at a time; if more than one, in separate processes.
        stop: called between cells; if it returns True the study ends with `Stopped`.
    """

    def __init__(
        self,
        name: str,
        out: str | Path,
        smoke: bool = False,
        data: str | Path | None = None,
        jobs: int = 1,
        stop: Stop = lambda: False,
    ) -> None:
        self.name = name
        self.out = Path(out)
        self.smoke = smoke
        self.data = None if data is None else Path(data)
        self.jobs = jobs
        self._stop = stop
        self._log: EventLog | None = None

    def pick(self, full: T, smoke: T) -> T:
        """Return `full`, or `smoke` in a smoke run."""
        return smoke if self.smoke else full

    def map(
        self, function: Callable[..., Any], cells: Iterable[Mapping[str, Any]], label: str = ""
    ) -> list[Any]:
        """Return `function(**cell)` for every cell, in order.

        Each result is written to cells/LABEL/ as soon as its cell is finished. Only missing results
        are computed; the others are read from there.

        Args:
            function: function at module level whose result is a JSON value. If it has these
                parameters, it also gets: `folder`, the cell's folder for checkpoints and
                TensorBoard logs; `data`, the folder of the data sets; `threads`, the number of
                threads that it may use; and `stop`, a function that returns True when the cell
                shall save its state and return None.
            cells: arguments by name, JSON values.
            label: label of the cells; the function's name if empty.

        Raises:
            Stopped: a signal arrived.
            ZorlError: a cell's process failed; the other cells are finished first.
        """
        label = label or function.__name__
        threads = max(1, available_cores() // self.jobs)
        given = {"data": self.data, "threads": threads}
        places = [_Cell(self.out / "cells" / label, dict(cell), given) for cell in cells]
        if len({place.path for place in places}) < len(places):
            raise ConfigurationError(f"two cells of {label} are the same")
        missing = [place for place in places if not place.is_there()]
        with self._progress(label, len(places), len(places) - len(missing)) as advance:
            if self.jobs > 1 and len(missing) > 1:
                self._in_processes(function, missing, advance)
            else:
                for place in missing:
                    place.compute(function, self._stop)
                    if self._stop():
                        raise Stopped(f"stopped; `zorl study {self.name}` resumes it")
                    advance()
        return [place.result() for place in places]

    def _in_processes(
        self, function: Callable[..., Any], cells: Sequence[_Cell], advance: Callable[[], None]
    ) -> None:
        name = f"{function.__module__}:{function.__qualname__}"
        calls = [(name, cell.folder, cell.cell, cell.given) for cell in cells]
        failed = []
        for index, code in run_in_processes(_compute_cell, calls, self.jobs, self._stop):
            if code != 0 and not self._stop():
                failed.append(f"{cells[index].path.stem} (exit status {code})")
            advance()
        if self._stop():
            raise Stopped(f"stopped; `zorl study {self.name}` resumes it")
        if failed:
            raise ZorlError(f"cells failed, see above: {', '.join(failed)}")

    @contextmanager
    def _progress(self, label: str, total: int, done: int) -> Iterator[Callable[[], None]]:
        """Show progress: a bar on a terminal, lines elsewhere, nothing if all cells are done."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        began, last, finished = time.monotonic(), -float("inf"), done
        with ExitStack() as stack:
            bar = None
            if console.is_terminal and done < total:
                bar = stack.enter_context(Progress(*columns, console=console, transient=True))
                task = bar.add_task(label, total=total, completed=done)

            def advance() -> None:
                nonlocal last, finished
                finished += 1
                now = time.monotonic()
                with if_readable(sys.stderr):
                    if bar is not None:
                        bar.advance(task)
                    elif now - last > 10 or finished == total:
                        last = now
                        text = f"{label}: {finished} of {total} cells, {now - began:.0f} s"
                        console.print(text, highlight=False)

            yield advance

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table in Markdown, and write it to NAME.csv and to TensorBoard's TEXT tab.

        Text is written unchanged, floats with four significant digits (all digits in the CSV).
        """
        import csv

        rows = [list(row) for row in rows]
        for row in rows:
            if len(row) != len(columns):
                raise ConfigurationError(f"a row of {name} has {len(row)} of {len(columns)} cells")
        lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(map(_text, row))} |" for row in rows]
        markdown = "\n".join(lines)
        self.say(f"\n{markdown}\n")
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        write_atomically(self.out / f"{name}.csv", text.getvalue().encode())
        self.board.text(name, markdown, 0)

    def say(self, text: str) -> None:
        """Print a line."""
        with if_readable(sys.stdout):
            print(text)

    @contextmanager
    def figure(
        self, name: str, rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 3.6)
    ) -> Iterator[tuple[Figure, Any]]:
        """Yield a figure with its axes (rows, columns); write it to NAME.png and to TensorBoard.

        Args:
            name: name of the file.
            rows: rows of axes.
            columns: columns of axes.
            size: size of one of the axes, in inches.
        """
        import matplotlib
        from matplotlib.figure import Figure

        from zorl.common.plotting import STYLE

        with matplotlib.rc_context(STYLE):
            width, height = size
            figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
            axes: Any = figure.subplots(rows, columns, squeeze=False)
            yield figure, axes
            data = io.BytesIO()
            figure.savefig(data, format="png", dpi=90)
        write_atomically(self.out / f"{name}.png", data.getvalue())
        self.board.png(name, data.getvalue(), 0)

    @property
    def board(self) -> EventLog:
        """Return the study's own TensorBoard log; a cell may have another one in its folder."""
        from zorl.recorders.event_log import EventLog

        if self._log is None:
            for path in self.out.glob("events.out.tfevents.*"):
                path.unlink()  # logs of an earlier run, whose tables the new ones replace
            self._log = EventLog(self.out)
            self._log.open()
        return self._log

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log; the end of a `with` block does the same."""
        if self._log is not None:
            self._log.close()
            self._log = None


class _Cell:
    """A cell's arguments, and the file of its result."""

    def __init__(self, folder: Path, cell: dict[str, Any], given: dict[str, Any]) -> None:
        self.folder = folder
        self.cell = cell
        self.given = given
        text = ",".join(f"{name}={value}" for name, value in cell.items()) or "all"
        stem = re.sub(r"[^\w.,=+-]+", "_", text)
        if stem != text or len(stem) > _NAME_LENGTH:
            stem = f"{stem[:_NAME_LENGTH]}-{zlib.crc32(text.encode()):08x}"
        self.path = folder / f"{stem}.json"

    def is_there(self) -> bool:
        """Whether the result of exactly this cell is stored."""
        if not self.path.is_file():
            return False
        try:
            return bool(read_json(self.path)["cell"] == _as_json(self.cell))
        except (FileFormatError, KeyError):
            return False

    def result(self) -> Any:
        """Read what the function returned."""
        return read_json(self.path)["result"]

    def compute(self, function: Callable[..., Any], stop: Stop) -> None:
        """Call the function and store its result, unless it was stopped before its end."""
        parameters = inspect.signature(function).parameters
        given = {**self.given, "folder": self.path.with_suffix(""), "stop": stop}
        arguments = self.cell | {name: given[name] for name in given if name in parameters}
        began = time.perf_counter()
        result = function(**arguments)
        if "stop" in parameters and result is None and stop():
            return
        seconds = time.perf_counter() - began
        record = {"cell": _as_json(self.cell), "seconds": seconds, "result": result}
        write_json(self.path, record)


def _compute_cell(name: str, folder: Path, cell: dict[str, Any], given: dict[str, Any]) -> None:
    """Compute a cell in a separate process."""
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    with StopSignals() as signals:
        _Cell(folder, cell, given).compute(function, signals)


def _as_json(value: Any) -> Any:
    """Convert a value to what a JSON file would return: lists for tuples, strings for keys."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def list_studies() -> dict[str, str]:
    """Return the first line of every study's docstring, by name (with dashes)."""
    import zorl.studies

    found = {}
    for module in pkgutil.iter_modules(zorl.studies.__path__):
        path = Path(zorl.studies.__path__[0]) / f"{module.name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))  # importing them all would take seconds
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if "run" in functions:
            title = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[module.name.replace("_", "-")] = title
    return found


def _has_files(path: Path) -> bool:
    return any(item.name != LOCK_NAME for item in path.iterdir())


def study_options(name: str) -> list[Option]:
    """The options that a study's `run` takes, from `zorl study NAME --set`."""
    return describe_options(_program(name))[1:]  # the first is the study itself


def _program(name: str) -> Callable[..., None]:
    known = list_studies()
    if name not in known:
        raise UnknownNameError("study", name, known)
    program: Callable[..., None] = importlib.import_module(
        f"zorl.studies.{name.replace('-', '_')}"
    ).run
    return program


def run_study(
    name: str,
    out: str | Path | None = None,
    smoke: bool = False,
    data: str | Path | None = None,
    jobs: int = 1,
    fresh: bool = False,
    options: Mapping[str, Any] | None = None,
    stop: Stop = lambda: False,
) -> Path:
    """Run a study by its name and return the folder with its results.

    Args:
        name: a name from `list_studies`.
        out: folder of the results; by default study-results/NAME, or study-results/NAME-smoke for a
            smoke run.
        smoke: see `Study`.
        data: see `Study`.
        jobs: see `Study`.
        fresh: discard what an earlier run computed there.
        options: options of the study's `run`.
        stop: see `Study`.

    Raises:
        UnknownNameError: the study or one of the options does not exist.
        RunFolderError: the folder belongs to another study, is not a study's folder, or is in use.
        Stopped: a signal arrived.
    """
    program = _program(name)
    resolved = resolve_options(partial(program, None), options or {}, f"option of the study {name}")
    path = (
        Path("study-results") / (f"{name}-smoke" if smoke else name) if out is None else Path(out)
    )
    mark = path / "study.json"
    if path.exists() and not mark.is_file() and (path.is_file() or _has_files(path)):
        raise RunFolderError(f"{path} exists and is not a study's folder; choose another --out")
    if mark.is_file() and (found := read_json(mark).get("study")) != name:
        raise RunFolderError(
            f"{path} holds the study {found!r}, not {name!r}; choose another --out"
        )
    with FolderLock(path).held():
        if fresh:
            shutil.rmtree(path / "cells", ignore_errors=True)
        write_json(mark, {"study": name, "smoke": smoke, "options": resolved})
        with Study(name, path, smoke, data, jobs, stop) as study:
            program(study, **resolved)
    return path
