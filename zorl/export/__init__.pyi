from .formats import (
    FORMATS as FORMATS,
    Format as Format,
    export as export,
    register_format as register_format,
)
from .snapshot import Snapshot as Snapshot
