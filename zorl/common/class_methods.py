"""Class methods that make a new object, for those who call them on an object that they have."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

log = logging.getLogger("zorl")
M = TypeVar("M")

if TYPE_CHECKING:

    def told_on_instances(message: str) -> Callable[[M], M]:
        """See below: for type checkers the class method stays what it is."""

else:

    class told_on_instances:
        """A decorator of class methods: called on an object they warn, and do the same.

        Args:
            message: the warning.
        """

        def __init__(self, message: str) -> None:
            self._message = message

        def __call__(self, method: Any) -> Any:
            """Take the class method."""
            self._method = method
            return self

        def __get__(self, instance: Any, owner: type) -> Any:
            """The method of the class; of an object one that warns first."""
            bound = self._method.__get__(None, owner)
            if instance is None:
                return bound

            @functools.wraps(bound)
            def call(*args: Any, **kwargs: Any) -> Any:
                log.warning(self._message)
                return bound(*args, **kwargs)

            return call
