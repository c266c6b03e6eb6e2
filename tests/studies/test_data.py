"""Data sets: found, checked, downloaded once, and one clear error for everything that is wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_data import real_data

from zorl.common.errors import UnknownNameError
from zorl.studies import data
from zorl.studies.data import DataError, DataFile, mnist, read, wine_quality

CONTENTS = b"some numbers, " * 100
PACKED = gzip.compress(CONTENTS, mtime=0)
FILE = DataFile("toys", "toy.gz", hashlib.sha256(CONTENTS).hexdigest(), ())


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves /good/, /other/ (wrong contents) and /short/ (cut off in the middle)."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        kind = self.path.split("/")[1]
        if kind == "missing":
            self.send_error(404)
            return
        body = gzip.compress(b"another file") if kind == "other" else PACKED
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "short" else body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}", served.asked  # type: ignore[attr-defined]
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ZORL_DATA", raising=False)
    return tmp_path / "cache" / "zorl"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_downloaded_once(server: tuple[str, list[str]], cache: Path) -> None:
    address, asked = server
    file = replace(FILE, sources=(f"{address}/good/",))
    assert read(file) == CONTENTS
    assert read(file) == CONTENTS
    assert asked == ["/good/toy.gz"]
    assert files(cache) == [cache / "toys" / "toy.gz"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", r"IncompleteRead"),
        ("other", "damaged or another file"),
        ("missing", "404"),
    ],
)
def test_a_bad_download_is_an_error_and_leaves_nothing(
    server: tuple[str, list[str]], cache: Path, kind: str, message: str
) -> None:
    address, _ = server
    with pytest.raises(DataError, match=message) as caught:
        read(replace(FILE, sources=(f"{address}/{kind}/",)))
    assert "--data" in str(caught.value)
    assert files(cache) == []


def test_the_next_source_is_tried(server: tuple[str, list[str]]) -> None:
    address, asked = server
    sources = tuple(f"{address}/{kind}/" for kind in ("missing", "short", "other", "good"))
    assert read(replace(FILE, sources=sources)) == CONTENTS
    assert len(asked) == 4


def test_without_a_network_the_error_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"could not be downloaded: .*\$ZORL_DATA"):
        read(replace(FILE, sources=("http://127.0.0.1:9/",)))


@pytest.mark.parametrize("inside", ["toys", "."])
def test_a_named_folder_is_read(
    tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    (tmp_path / inside / "toy.gz").write_bytes(PACKED)
    assert read(FILE, tmp_path) == CONTENTS
    monkeypatch.setenv("ZORL_DATA", str(tmp_path))
    assert read(FILE) == CONTENTS


def test_a_named_folder_without_the_file_is_an_error_not_a_download(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    address, asked = server
    with pytest.raises(DataError, match=r"the data folder .* holds neither toys/toy\.gz nor"):
        read(replace(FILE, sources=(f"{address}/good/",)), tmp_path)
    assert asked == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (PACKED[:-10], "truncated or no gzip"),
        (b"no gzip", "truncated or no gzip"),
        (gzip.compress(b"x"), "SHA-256"),
    ],
    ids=["cut off", "no gzip", "another file"],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "toy.gz").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read(FILE, tmp_path)


def test_a_damaged_download_in_the_cache_says_how_to_get_rid_of_it(cache: Path) -> None:
    (cache / "toys").mkdir(parents=True)
    (cache / "toys" / "toy.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataError, match="remove it to download it again"):
        read(FILE)


def test_an_unknown_wine() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'red'"):
        wine_quality("rd")  # type: ignore[arg-type]


def test_the_real_mnist() -> None:
    found = mnist(real_data())
    assert found.train_images.shape == (60000, 784)
    assert found.test_images.shape == (10000, 784)
    assert found.train_images.dtype == np.float32
    assert (found.train_images.min(), found.train_images.max()) == (0, 1)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(found.train_labels).tolist() == counts
    assert found.test_labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(("color", "rows", "sixes"), [("red", 1599, 638), ("white", 4898, 2198)])
def test_the_real_wines(color: str, rows: int, sixes: int) -> None:
    features, quality = wine_quality(color, real_data())  # type: ignore[arg-type]
    assert features.shape == (rows, 11)
    assert (quality == 6).sum() == sixes
    if color == "red":
        expected = [7.4, 0.7, 0.0, 1.9, 0.076, 11.0, 34.0, 0.9978, 3.51, 0.56, 9.4]
        assert features[0].tolist() == expected
        assert quality[0] == 5


def test_every_file_has_sources() -> None:
    for file in (*data._MNIST.values(), *data._WINE.values()):
        assert file.sources
        assert all(s.startswith("https://") and s.endswith("/") for s in file.sources)
