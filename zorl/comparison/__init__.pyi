from .figures import write_figures as write_figures
from .runs import (
    ComparedRun as ComparedRun,
    read_runs as read_runs,
    run_comparison as run_comparison,
)
from .spec import AgentSpec as AgentSpec, Comparison as Comparison
from .table import AgentRow as AgentRow, summarize as summarize, write_table as write_table
