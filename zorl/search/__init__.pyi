from . import gates as gates
from .budget import Budget as Budget
from .checkpointed import long_search as long_search
from .episode_count import reliability as reliability
from .gates import (
    GATES as GATES,
    AlwaysAccept as AlwaysAccept,
    Blocking as Blocking,
    Decision as Decision,
    Gate as Gate,
    NoMemory as NoMemory,
    Paired as Paired,
    ScoreToBeat as ScoreToBeat,
    Sequential as Sequential,
    StaleBest as StaleBest,
    make_gate as make_gate,
    register_gate as register_gate,
    scored as scored,
)
from .loop import Search as Search
from .minibatch import MinibatchObjective as MinibatchObjective
from .optimize import maximize as maximize, minimize as minimize
from .records import (
    Counters as Counters,
    Generation as Generation,
    SearchState as SearchState,
)
from .signal_to_noise import UpdateSignal as UpdateSignal
