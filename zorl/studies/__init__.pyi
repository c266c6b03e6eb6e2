from . import data as data
from .base import (
    Stopped as Stopped,
    Study as Study,
    list_studies as list_studies,
    run_study as run_study,
)
