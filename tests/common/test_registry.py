"""A registry: one name, one thing, found where it is defined."""

from __future__ import annotations

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zorl.common.errors import ConfigurationError, UnknownNameError
from zorl.common.registry import Registry


def pets() -> Registry[Any]:
    registry = Registry[Any]("pet")

    @registry.register("cat", lives=9)
    class Cat:
        """Sleeps.

        A lot.
        """

    return registry


def test_a_thing_is_registered_with_its_defaults_beside_its_definition() -> None:
    registry = pets()
    assert list(registry) == ["cat"]
    assert registry["cat"].__name__ == "Cat"
    assert registry.defaults("cat") == {"lives": 9}
    assert registry.summaries() == {"cat": "Sleeps."}


def test_a_thing_without_a_docstring_is_told_by_its_place() -> None:
    registry = Registry[Any]("pet")
    registry.add("dog", silent)
    assert registry.summaries() == {"dog": f"{__name__}:silent"}


def silent() -> None: ...


def test_a_name_is_given_once() -> None:
    registry = pets()
    registry.add("cat", registry["cat"], lives=8)  # its module was loaded again
    with pytest.raises(ConfigurationError, match="the pet 'cat' is registered already"):
        registry.add("cat", dict)
    with pytest.raises(ConfigurationError, match="must be a class or function, got 5"):
        registry.add("dog", 5)


def test_lambdas_of_one_name_are_two_things() -> None:
    registry = Registry[Any]("pet")
    registry.add("dog", lambda: 1)
    with pytest.raises(ConfigurationError, match="the pet 'dog' is registered already"):
        registry.add("dog", lambda: 2)


def test_a_place_may_be_a_module_of_each_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = "from zorl_zoo.registry import ANIMALS\nANIMALS.add({!r}, dict)\n"
    for path, text in {
        "registry.py": "from zorl.common.registry import Registry\n"
        "ANIMALS = Registry('animal', 'zorl_zoo.wild.animal', 'zorl_zoo.*.animal')\n",
        "__init__.py": "",
        "alone.py": "raise AssertionError('imported')\n",
        "farm/__init__.py": "",
        "farm/animal.py": register.format("cow"),
        "farm/other.py": register.format("tree"),
        "wild/__init__.py": "",
        "wild/animal.py": register.format("wolf"),
    }.items():
        (tmp_path / "zorl_zoo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "zorl_zoo" / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert list(importlib.import_module("zorl_zoo.registry").ANIMALS) == ["wolf", "cow"]


def test_names_are_resolved_or_the_nearest_is_named() -> None:
    registry = pets()
    assert registry.resolve("cat") is registry["cat"]
    assert registry.resolve("pathlib:Path") is Path
    with pytest.raises(UnknownNameError, match="unknown pet 'cta'; did you mean 'cat'"):
        registry.resolve("cta")
    with pytest.raises(
        ConfigurationError, match="function of 'pathlib': 'Pathh'; did you mean 'Path'"
    ):
        registry.resolve("pathlib:Pathh")
    with pytest.raises(ConfigurationError, match="no module named 'no_such_module'"):
        registry.resolve("no_such_module:Dog")
    with pytest.raises(ConfigurationError, match="named by text, got 3"):
        registry.resolve(3)  # type: ignore[arg-type]


def test_a_file_in_a_package_is_found_when_the_registry_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kennel").mkdir()
    (tmp_path / "kennel" / "__init__.py").write_text(
        "from zorl.common.registry import Registry\nDOGS = Registry('dog', __name__)\n"
    )
    (tmp_path / "kennel" / "rex.py").write_text(
        "from kennel import DOGS\n@DOGS.register('rex')\ndef rex(): 'Barks.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kennel" / "ada.py").write_text(
        "from kennel import DOGS\n@DOGS.register('zoe')\ndef zoe(): pass\n"
        "@DOGS.register('ada')\ndef ada(): pass\n"
    )
    from kennel import DOGS  # type: ignore[import-not-found]

    DOGS.add("stray", dict)
    importlib.import_module("kennel.rex")
    assert "kennel.ada" not in sys.modules
    # In the order of the modules, whatever was imported first; those from elsewhere come last.
    assert list(DOGS) == ["zoe", "ada", "rex", "stray"]
    assert DOGS.summaries()["rex"] == "Barks."


def test_threads_that_come_first_at_the_same_time_find_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stable.py").write_text(
        "import time\ntime.sleep(0.2)\nfrom test_stable import HORSES\n"
        "HORSES.register('shadowfax')(dict)\ntime.sleep(0.2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    horses = Registry[Any]("horse", "stable")
    monkeypatch.setitem(sys.modules, "test_stable", SimpleNamespace(HORSES=horses))
    start = threading.Barrier(3)

    def look(_: int) -> list[str]:
        start.wait(10)
        return list(horses)

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(look, range(3))) == [["shadowfax"]] * 3
