"""What a run left, for comparisons to the last bit."""

from __future__ import annotations

import json
from typing import Any

from zorl.agents.registry import load_agent
from zorl.common.storage import flatten, read_json
from zorl.runs.folder import RunFolder


def bits(agent: Any) -> tuple[Any, ...]:
    scalars, arrays = flatten(agent.state, "state")
    return scalars, {name: array.tobytes() for name, array in arrays.items()}


def outcome(folder: RunFolder) -> dict[str, Any]:
    """All that a run left, but for what a clock says."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            machine = {"seconds", "workers"}
            return {k: timeless(v) for k, v in value.items() if k not in machine}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    lines = [json.loads(line) for line in folder.generations.read_text().splitlines()]
    rows = [line.split(",") for line in folder.validation.read_text().splitlines()]
    clock = rows[0].index("seconds")
    return {
        "agent": folder.agent.read_bytes(),
        "checkpoint": bits(load_agent(folder.checkpoint)),
        "result": timeless(read_json(folder.result)),
        "generations": [
            {k: v for k, v in line.items() if not k.startswith("time/")} for line in lines
        ],
        "validation": [row[:clock] + row[clock + 1 :] for row in rows],
        "config": read_json(folder.config),
    }
