"""The page of the documentation that drives Mountain Car by exported JavaScript."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

DEMO = Path(__file__).parents[2] / "docs" / "demo"
NAMES = ("chromium", "chromium-browser", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
NODE = shutil.which("node")


def test_the_page_is_small_and_needs_no_server() -> None:
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 50_000
    page = (DEMO / "mountain_car.html").read_text()
    assert re.findall(r'src="(.*?)"', page) == ["car.js"]
    assert "http" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_car_arrives_in_a_browser(tmp_path: Path) -> None:
    page = (DEMO / "mountain_car.html").as_uri()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    flags += ["--virtual-time-budget=9000", "--dump-dom", page]
    done = subprocess.run([str(CHROMIUM), *flags], capture_output=True, text=True, timeout=120)
    found = re.search(r"at the flag after (\d+) steps", done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    assert 80 < int(found[1]) < 200


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_page_s_car_is_gymnasium_s() -> None:
    page = (DEMO / "mountain_car.html").read_text()
    physics = page[page.index("  function step(") : page.index("  function draw(")]
    numbers = page[page.index("const GOAL") : page.index("const across")]
    script = f"const car = require('{DEMO / 'car.js'}'); {numbers}\n{physics}"
    driven = "let s = [-0.5, 0]; for (let i = 0; i < 200; i++) "
    driven += "{ s = step(s); console.log(s[0], car.act(s)); }"
    done = subprocess.run(
        [str(NODE), "-e", f"{script}\n{driven}"], capture_output=True, text=True, check=True
    )
    rows = np.array([line.split() for line in done.stdout.splitlines()], float)
    env = gym.make("MountainCar-v0").unwrapped
    env.reset(seed=0)
    env.state = np.array([-0.5, 0.0])  # type: ignore[attr-defined]
    action = first_action(script)
    for position, following in rows:
        observation, _, reached, *_ = env.step(action)
        assert observation[0] == pytest.approx(position, abs=1e-6)
        if reached:
            break
        action = int(following)
    assert reached


def first_action(script: str) -> int:
    done = subprocess.run(
        [str(NODE), "-e", f"{script}\nconsole.log(car.act([-0.5, 0]))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)
