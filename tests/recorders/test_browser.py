"""A run's log in TensorBoard's server and in a browser: what a user sees, not what was written."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_videos import Swing

from zorl.envs import make_task
from zorl.recorders.base import PlainRecord, Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.tensorboard import TensorBoardRecorder
from zorl.recorders.video import VideoRecorder

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "chrome"])), None)
CONFIG = {"agent": "spsa", "seed": 1, "gate": None, "task": {"env_id": "MountainCar-v0"}}
PATIENCE = 25.0  # seconds
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def eventually(ask: Any, what: Any) -> Any:
    """The first true answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")


class Server:
    """A TensorBoard of its own process on a port that the system chose."""

    def __init__(self, folder: Any) -> None:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
        options = ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        self.process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.lines = []  # type: ignore[var-annotated]
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))  # type: ignore[arg-type]
        self.reader.start()
        found = eventually(
            lambda: re.search(r"http://127\.0\.0\.1:\d+", "".join(self.lines)), "TensorBoard"
        )
        self.url = found.group()

    def get(self, path: Any, body: Any = None) -> Any:
        request = urllib.request.Request(f"{self.url}/data/{path}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with LOCAL.open(request, timeout=10) as response:
            return response.headers["Content-Type"], response.read()

    def json(self, path: Any, body: Any = None) -> Any:
        return json.loads(self.get(path, body)[1])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stderr.close()  # type: ignore[union-attr]


class Browser:
    """A headless Chromium, driven by its DevTools protocol over a pair of pipes."""

    def __init__(self, profile: Any) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking --disable-component-update --disable-sync "
            f"--window-size=1200,900 --user-data-dir={profile} --remote-debugging-pipe"
        )
        # Chromium reads its file 3 and writes its file 4; only a shell can say that exactly.
        script = f'exec "{CHROMIUM}" {flags} 3<&{commands} 4>&{answers}'
        self.process = subprocess.Popen(
            ["bash", "-c", script],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._count = 0
        self._session = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def call(self, method: Any, **params: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                assert select.select([self._answers], [], [], PATIENCE)[0], "Chromium is silent"
                data = os.read(self._answers, 1 << 20)
                assert data, "Chromium is gone"
                self._buffer += data
            answer, self._buffer = self._buffer.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression: Any) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, **clip: Any) -> Any:
        options = {"clip": {**clip, "scale": 1}} if clip else {}
        data = self.call("Page.captureScreenshot", format="png", **options)["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        os.close(self._commands)
        os.close(self._answers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """TensorBoard on the log of a finished run."""
    folder = tmp_path_factory.mktemp("logs")
    log = EventLog(folder / "spsa")
    task = make_task("MountainCar-v0", ["momentum"])
    with Recorders(
        [TensorBoardRecorder(log), VideoRecorder(log, budget=1.0, first_cost=0.0, videos=1)]
    ) as recorders:
        recorders.start(Run("spsa", Swing(), task, CONFIG, 10_000))
        for index in range(30):
            scalars = {"search/return_mean": float(index), "task/success_rate": 0.5}
            recorders.record(PlainRecord(index, (index + 1) * 100, scalars))
        recorders.validation(3000, {"eval/native_return_mean": -112.5})
        recorders.result["status"] = "finished"
    server = Server(folder)
    try:
        eventually(lambda: server.json("plugin/images/tags"), "images")
        yield server
    finally:
        server.close()


def served_gif(server: Any, index: Any) -> Any:
    entries = server.json("plugin/images/images?run=spsa&tag=rollout&sample=0")
    assert [entry["step"] for entry in entries] == [100, 3000]
    kind, data = server.get(f"plugin/images/individualImage?{entries[index]['query']}")
    assert kind == "image/gif"
    image = Image.open(io.BytesIO(data))
    frames = []
    for number in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(number)
        frames.append(image.convert("RGB"))
    return frames


def test_the_server_serves_an_animated_gif_of_the_rollout(server: Any) -> None:
    frames = served_gif(server, 0)
    assert len(frames) > 20
    assert len({frame.tobytes() for frame in frames}) > 20


def test_the_server_shows_one_hparams_session_with_its_metric(server: Any) -> None:
    assert server.json("runs") == ["spsa"]
    body = {
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"],
        "startIndex": 0,
        "sliceSize": 10,
    }
    (group,) = server.json("plugin/hparams/session_groups", body)["sessionGroups"]
    (session,) = group["sessions"]
    assert session["name"] == "spsa"
    assert session["status"] == "STATUS_SUCCESS"
    assert group["hparams"] == {
        "agent": "spsa",
        "seed": 1.0,
        "gate": "None",
        "task.env_id": "MountainCar-v0",
    }
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    assert metrics["eval/native_return_mean"] == -112.5
    experiment = server.json("plugin/hparams/experiment", {})
    assert experiment["metricInfos"][0]["name"]["tag"] == "eval/native_return_mean"
    assert {info["name"] for info in experiment["hparamInfos"]} == set(group["hparams"])


def test_the_server_shows_scalars_over_env_steps_and_the_settings(server: Any) -> None:
    points = server.json("plugin/scalars/scalars?run=spsa&tag=search%2Freturn_mean")
    assert [(step, value) for _, step, value in points] == [
        ((index + 1) * 100, float(index)) for index in range(30)
    ]
    (text,) = server.json("plugin/text/text?run=spsa&tag=config")
    assert "<td>task.env_id</td>\n<td>MountainCar-v0</td>" in text["text"]


# The Images tab is a tree of shadow roots; this finds the loaded pictures in it.
FIND_ROLLOUT = """
(() => {
  const found = [];
  const search = (root) => {
    for (const node of root.querySelectorAll('*')) {
      if (node.shadowRoot) search(node.shadowRoot);
      if (node.tagName === 'IMG' && node.src.includes('images/individualImage')
          && node.complete && node.naturalWidth > 0) found.push(node);
    }
  };
  search(document);
  if (found.length !== 1) return null;
  const box = found[0].getBoundingClientRect();
  return {x: box.x, y: box.y, width: box.width, height: box.height};
})()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_images_tab_plays_the_rollout(server: Any, tmp_path: Path) -> None:
    frames = served_gif(server, 1)
    browser = Browser(tmp_path / "profile")
    try:
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=1200,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.call("Page.navigate", url=f"{server.url}/#images")
        box = eventually(lambda: browser.evaluate(FIND_ROLLOUT), "the rollout on the page")
        assert box["width"] >= 200 and box["height"] >= 130
        size = (round(box["width"]), round(box["height"]))
        expected = np.array([np.asarray(frame.resize(size)) for frame in frames], np.float32)
        blank = np.full_like(expected[0], 255)
        seen = set()

        def looks_at_the_car_in_three_places() -> Any:
            shown = np.asarray(browser.picture(**box).resize(size), np.float32)
            distances = np.abs(expected - shown).mean(axis=(1, 2, 3))
            nearest = int(distances.argmin())
            # On the page it is smoothed, but still far nearer to its frame than to nothing.
            assert distances[nearest] < 0.4 * np.abs(blank - shown).mean()
            seen.add(nearest)
            return len(seen) >= 3

        eventually(looks_at_the_car_in_three_places, "the rollout to move")
        browser.picture().save(tmp_path / "images.png")
    finally:
        browser.close()
