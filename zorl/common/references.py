"""Import objects named as "module:name", with errors that say what is missing."""

from __future__ import annotations

import importlib
from typing import Any

from zorl.common.errors import ConfigurationError


def import_for(module: str, what: str) -> Any:
    """Import the module that `what` names, or say why that failed.

    Raises:
        ConfigurationError: if the module is missing or raises.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{what}: no module named {error.name!r}; is it installed, or on PYTHONPATH?"
        ) from error
    # A module runs its author's code, which may raise anything.
    except Exception as error:
        raise ConfigurationError(
            f"{what}: importing {module!r} failed with {type(error).__name__}: {error}"
        ) from error
