"""Recorders by name: the registry, and how one is made from text."""

from __future__ import annotations

from collections.abc import Callable

from zorl.common.options import check_options, parse_call
from zorl.common.registry import Registry
from zorl.recorders.base import Recorder, checked_recorder

RECORDERS: Registry[Callable[..., Recorder]] = Registry("recorder", "zorl.recorders")
register_recorder = RECORDERS.register


def make_recorder(text: str) -> Recorder:
    """A recorder from "name" or "name(option=value, …)".

    Args:
        text: a name in `RECORDERS`, or "module:Class" for one that is not registered. The class
            gets the options; the run's folder comes with `Recorder.start`.

    Raises:
        UnknownNameError: an unknown name or option; the nearest ones are named.
        ConfigurationError: the text is not of that form, an option cannot work, or the class makes
            no recorder.

    Example:
        >>> make_recorder("tensorboard(points=500)")  # doctest: +ELLIPSIS
        <zorl.recorders.tensorboard.TensorBoardRecorder object at ...>
    """
    name, options = parse_call(text, "recorder")
    factory = RECORDERS.resolve(name)
    check_options(factory, options, f"option of recorder {name}")
    return checked_recorder(factory(**{**RECORDERS.defaults(name), **options}), name)
