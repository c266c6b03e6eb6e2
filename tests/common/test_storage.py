"""Files: atomic, exact, and refused with a reason."""

from __future__ import annotations

import io
import json
import os
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from same_bits import assert_same_bits

from zorl.common import storage
from zorl.common.errors import ConfigurationError, FileFormatError
from zorl.common.storage import (
    load_archive,
    read_json,
    save_archive,
    write_atomically,
    write_json,
)

METADATA = {"name": "ars", "options": {"m": 8, "σ": 0.1}, "list": [1, None, True, "x"]}


ARRAYS = {
    "theta": np.linspace(-1, 1, 7),
    "bounds": np.array([-np.inf, np.inf, np.nan, -0.0, 5e-324]),
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(3.25),
    "empty": np.zeros((0, 4)),
    "counts": np.array([1, 2, 2**62]),
    "flags": np.array([True, False]),
}


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    path = tmp_path / "agent.zip"
    save_archive(path, "agent", METADATA, ARRAYS)
    return path


def test_writing_replaces_the_whole_file_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, b"a long first content")
    write_atomically(str(path), b"short")
    assert path.read_bytes() == b"short"
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["os", "ctrl-c"])
@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Any, existing: bool
) -> None:
    path = tmp_path / "file.bin"
    if existing:
        path.write_bytes(b"old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(type(error)):
            write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"] * existing
    assert not existing or path.read_bytes() == b"old"


def test_data_are_on_the_disk_before_the_name_points_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "file.bin", []
    path.write_bytes(b"old")
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: Any) -> None:
        events.append(("fsync", os.fstat(handle).st_size, path.read_bytes()))
        fsync(handle)

    def record_replace(self, target: Any) -> Any:  # type: ignore[no-untyped-def]
        assert self.parent == path.parent  # a rename across file systems would not be atomic
        events.append(("replace", self.stat().st_size, path.read_bytes()))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_atomically(path, b"12345")
    assert events == [("fsync", 5, b"old"), ("replace", 5, b"old")]


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_cannot_be_saved_leaves_the_old_archive(archive: Any) -> None:
    before = archive.read_bytes()
    metadata: dict[str, Any]
    for metadata, arrays, message in (
        ({"x": float("nan")}, {}, r"metadata\.x is nan, which JSON cannot hold"),
        ({"x": object()}, {}, r"metadata\.x is <object .* of type object, which no file can hold"),
        ({}, {"x": np.array([object()])}, "x is an array of object"),
        ({}, {"x": np.zeros(1, np.complex128)}, "x is an array of complex128"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            save_archive(archive, "agent", metadata, arrays)
    assert archive.read_bytes() == before
    assert [p.name for p in archive.parent.iterdir()] == ["agent.zip"]


def test_json_round_trip_with_null_for_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(
        path,
        {
            "b": [1, (2.5, float("nan"))],
            "a": {"inf": -np.inf, 3: np.float32(0.5), "n": np.int64(7)},
            "flag": np.bool_(True),
            "none": None,
            "σ": "größer",
        },
    )
    assert read_json(path) == {
        "a": {"3": 0.5, "inf": None, "n": 7},
        "b": [1, [2.5, None]],
        "flag": True,
        "none": None,
        "σ": "größer",
    }
    text = path.read_text()
    assert text.endswith("}\n") and text.index('"a"') < text.index('"b"')


@settings(deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_json_keeps_every_bit_of_a_float(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "float.json"
    write_json(path, {"x": value})
    back = read_json(path)["x"]
    assert back.hex() == value.hex()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not a readable JSON file"),
        (b"", "not a readable JSON file"),
        (b"\xff\xfe{}", "not a readable JSON file"),
        (b"[" * 100_000, "not a readable JSON file"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
    ids=["truncated", "empty", "not utf-8", "too deep", "list", "null"],
)
def test_a_file_that_is_no_json_object_is_refused(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_json_files_written_by_hand_are_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes('{"σ": "ü"}'.encode())
    assert read_json(path) == {"σ": "ü"}


def test_missing_json_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        read_json(tmp_path / "x.json")
    with pytest.raises(FileFormatError, match="not a readable JSON file"):
        read_json(tmp_path)


def test_an_archive_comes_back_bit_for_bit(archive: Any) -> None:
    kind, metadata, arrays = load_archive(archive, "agent")
    assert (kind, metadata) == ("agent", METADATA)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_same_bits(arrays[name], array)
    assert load_archive(str(archive))[0] == "agent"


def test_strided_and_read_only_arrays_are_saved_as_their_values(tmp_path: Path) -> None:
    base = np.arange(12.0).reshape(3, 4)
    base.setflags(write=False)
    save_archive(tmp_path / "x", "k", {}, {"t": base.T, "s": base[::2, 1:3], "r": base[::-1]})
    _, _, arrays = load_archive(tmp_path / "x")
    np.testing.assert_array_equal(arrays["t"], base.T)
    np.testing.assert_array_equal(arrays["s"], base[::2, 1:3])
    np.testing.assert_array_equal(arrays["r"], base[::-1])


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    save_archive(tmp_path / "x", "k", {}, {})
    assert load_archive(tmp_path / "x", "k") == ("k", {}, {})


def test_equal_contents_give_equal_bytes_whatever_the_order_and_the_time(
    archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(later))
    other = tmp_path / "other.zip"
    backwards = dict(reversed(list(METADATA.items())))
    save_archive(other, "agent", backwards, dict(reversed(list(ARRAYS.items()))))
    assert other.read_bytes() == archive.read_bytes()
    save_archive(other, "agent", METADATA, {**ARRAYS, "scalar": np.array(3.5)})
    assert other.read_bytes() != archive.read_bytes()


def test_an_archive_is_a_zip_of_json_and_safetensors_and_no_pickle(archive: Any) -> None:
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == ["zorl.json", "arrays.safetensors"]
        header = json.loads(file.read("zorl.json"))
    assert header == {"format": "zorl", "version": 1, "kind": "agent", "metadata": METADATA}


def test_every_truncation_is_refused(archive: Any, tmp_path: Path) -> None:
    data = archive.read_bytes()
    cut = tmp_path / "cut.zip"
    lengths = {len(data) * eighth // 8 for eighth in range(8)} | {len(data) - 1, len(data) - 22}
    for length in sorted(lengths):
        cut.write_bytes(data[:length])
        with pytest.raises(FileFormatError, match="corrupt, truncated or not a zorl file"):
            load_archive(cut)


def test_no_flipped_bit_gives_other_contents_or_another_error(tmp_path: Path) -> None:
    path, flipped = tmp_path / "a.zip", tmp_path / "b.zip"
    save_archive(path, "agent", {"seed": 3}, {"theta": np.array([1.5, -2.5])})
    data = path.read_bytes()
    refused = 0
    for at in range(len(data)):
        for bit in (1, 2, 8, 32, 128):
            damaged = bytearray(data)
            damaged[at] ^= bit
            flipped.write_bytes(damaged)
            try:
                kind, metadata, arrays = load_archive(flipped, "agent")
            except FileFormatError:
                refused += 1
                continue
            # Only the zip's own bookkeeping (dates, attributes) may differ without notice.
            assert (kind, metadata, list(arrays)) == ("agent", {"seed": 3}, ["theta"])
            assert arrays["theta"].tolist() == [1.5, -2.5]
    assert refused > 3 * len(data)


def zip_of(**files: Any) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def header(**changes: Any) -> Any:
    fields = {"format": "zorl", "version": 1, "kind": "agent", "metadata": {}} | changes
    return json.dumps({key: value for key, value in fields.items() if value != "absent"})


NO_ARRAYS = (2).to_bytes(8, "little") + b"{}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is a text file\n" * 50, "not a zorl file"),
        (b"", "not a zorl file"),
        (zip_of(data_pkl=b"x", version=b"1"), "a zip file, but not one of zorl's"),
        (zip_of(zorl_json=header()), "arrays.safetensors"),
        (zip_of(zorl_json=header(), arrays_safetensors=b"x"), "corrupt"),
        (zip_of(zorl_json=b"{", arrays_safetensors=NO_ARRAYS), "corrupt"),
        (zip_of(zorl_json=b"[" * 100_000, arrays_safetensors=NO_ARRAYS), "corrupt"),
        (zip_of(zorl_json=b"[1]", arrays_safetensors=NO_ARRAYS), "does not describe a zorl file"),
        *(
            (zip_of(zorl_json=header(**change), arrays_safetensors=NO_ARRAYS), message)
            for change, message in (
                ({"format": "sb3"}, "does not describe a zorl file"),
                ({"format": "absent"}, "does not describe a zorl file"),
                ({"version": "1"}, "does not describe a zorl file"),
                ({"version": True}, "does not describe a zorl file"),
                ({"version": 0}, "does not describe a zorl file"),
                ({"version": "absent"}, "does not describe a zorl file"),
                ({"version": 2}, "written in format 2, this zorl reads up to 1; upgrade zorl"),
                ({"kind": "absent"}, "lacks a kind or metadata"),
                ({"kind": None}, "lacks a kind or metadata"),
                ({"metadata": "absent"}, "lacks a kind or metadata"),
                ({"metadata": [1]}, "lacks a kind or metadata"),
                ({"kind": "curve"}, "holds a 'curve', expected a 'agent'"),
            )
        ),
    ],
)
def test_other_files_are_refused_with_their_name_and_the_cause(
    tmp_path: Path, content: Any, message: Any
) -> None:
    path = tmp_path / "file.zip"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_archive(path, "agent")
    assert str(path) in str(caught.value)


def test_a_newer_format_may_even_change_the_other_parts(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    path.write_bytes(zip_of(zorl_json=header(version=7, kind=["new"], metadata=3)))
    with pytest.raises(FileFormatError, match="upgrade zorl"):
        load_archive(path, "agent")


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        load_archive(tmp_path / "absent.zip")
    with pytest.raises(FileFormatError, match="a folder, expected a file"):
        load_archive(tmp_path)


def test_the_format_is_version_one() -> None:
    assert (storage.FORMAT, storage.VERSION) == ("zorl", 1)


def test_an_error_of_the_system_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")  # as fsync's, without a name

    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_json(path, {"x": 2})
    assert read_json(path) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]
