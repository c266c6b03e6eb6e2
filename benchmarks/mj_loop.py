"""A compiled loop of MuJoCo's `mj_step` on given controls, for `mujoco_tasks.py`."""

from __future__ import annotations

from typing import Any

from numba import njit

from zorl.rollout.compiled.mujoco import arrays

compiled: Any = njit(nogil=True, cache=True, error_model="numpy")
begin: Any = arrays.begin
called: Any = arrays.called


@compiled
def play(calls, model, data, qpos, qvel, ctrl, starts, controls, ends, frames):  # type: ignore[no-untyped-def]
    """Play episodes one after the other.

    Args:
        calls: addresses of mj_step, mj_forward and mj_resetData, as `library.addresses` has them.
        model: the address of an `MjModel`.
        data: the address of an `MjData`.
        qpos: its positions.
        qvel: its velocities.
        ctrl: its controls.
        starts: (e, nq + nv), an episode's first positions and velocities.
        controls: (t, nu), of all episodes in a row.
        ends: (e,) where each episode ends in there.
        frames: calls of mj_step for each control.
    """
    t = 0
    for episode in range(ends.size):
        called(calls[2], model, data)
        at = begin(qpos, starts[episode], 0)
        begin(qvel, starts[episode], at)
        called(calls[1], model, data)
        while t < ends[episode]:
            for i in range(ctrl.size):
                ctrl[i] = controls[t, i]
            for _ in range(frames):
                called(calls[0], model, data)
            t += 1
