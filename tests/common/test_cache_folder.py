"""Compiled code is kept where the user may write, whoever that is."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from zorl.common import cache_folder
from zorl.common.cache_folder import kernel_folder, user_cache, writable_folder
from zorl.common.errors import ConfigurationError


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert kernel_folder() == tmp_path / "a" / "kernels"
    monkeypatch.delenv("ZORL_CACHE")
    assert kernel_folder() == tmp_path / "b" / "zorl" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # as if it were not set
    assert kernel_folder() == tmp_path / "c" / ".cache" / "zorl" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert kernel_folder() == tmp_path / "c" / ".cache" / "zorl" / "kernels"
    assert writable_folder() == kernel_folder()
    assert kernel_folder().stat().st_mode & 0o077 == 0  # code is run from there


@pytest.mark.parametrize("home", ["a file", "none"])
def test_without_a_home_it_is_with_temporary_files_and_said_once(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ZORL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if home == "none":

        def unknown(cls: type[Path]) -> Path:  # a number that no /etc/passwd has, without HOME
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", classmethod(unknown))
        with pytest.raises(OSError, match="determine home"):
            user_cache()
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache_folder._say_once.cache_clear()
    with caplog.at_level(logging.WARNING, "zorl"):
        folders = [writable_folder() for _ in range(2)]
    assert folders == [tmp_path / f"zorl-kernels-{os.getuid()}"] * 2
    assert folders[0].stat().st_mode & 0o077 == 0
    (message,) = caplog.messages
    assert str(folders[0]) in message
    assert "ZORL_CACHE names another" in message
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path / "mine"))
    assert writable_folder() == tmp_path / "mine" / "kernels"


def test_no_folder_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    monkeypatch.setenv("ZORL_CACHE", str(taken))
    monkeypatch.setattr("tempfile.tempdir", str(taken))
    with pytest.raises(ConfigurationError, match=r"no folder to keep.*set ZORL_CACHE to one"):
        writable_folder()


def test_a_folder_of_somebody_else_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZORL_CACHE", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(ConfigurationError, match="is not this user's"):
        writable_folder()
