"""zorl.common.errors: messages that suggest, and errors that survive the way back from a worker."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from zorl.common import errors
from zorl.common.errors import UnknownNameError, ZorlError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ZorlError) and kind is not UnknownNameError
]


def test_an_unknown_name_comes_with_the_nearest_ones_or_all() -> None:
    near = UnknownNameError("agent", "cmaes", ["ppo", "cma-es", "ars"])
    assert str(near) == "unknown agent 'cmaes'; did you mean 'cma-es'?"
    assert "did you mean 'ppo'?" in str(UnknownNameError("agent", "PPO", ["ppo", "ars"]))
    two = UnknownNameError("agent", "ARSS", ["ars", "Ars", "ppo"])
    assert "did you mean 'Ars' or 'ars'?" in str(two)
    for poor in ("--eval-freq", "--log-dir", "--device"):
        known = ["--env-set", "--select", "--on-failure", "--no-bias", "--env", "--timeout"]
        assert "; known: --env, " in str(UnknownNameError("option", poor, known))
    far = UnknownNameError("agent", "xyz", {"ppo": 1, "ars": 2}, "see `zorl list`")
    assert str(far) == "unknown agent 'xyz'; known: ars, ppo see `zorl list`"
    assert str(UnknownNameError("option", "x", [])) == "unknown option 'x'; known: none"
    assert "unknown agent None" in str(UnknownNameError("agent", None, ["ppo"]))  # type: ignore[arg-type]


def test_errors_travel_by_pickle_from_workers() -> None:
    for kind in KINDS:
        back = pickle.loads(pickle.dumps(kind("what was wrong")))
        assert type(back) is kind and str(back) == "what was wrong"
    original = UnknownNameError("wrapper", "flaten", (n for n in ["flatten", "scale"]), "hint")
    back = pickle.loads(pickle.dumps(original))
    assert type(back) is UnknownNameError and str(back) == str(original)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_caught_as_zorls(kind: Any) -> None:
    with pytest.raises(ZorlError):
        raise kind("x")
