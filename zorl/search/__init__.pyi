from . import gates as gates
from .checkpointed import long_search as long_search
from .gates import (
    GATES as GATES,
    AlwaysAccept as AlwaysAccept,
    Blocking as Blocking,
    Decision as Decision,
    Gate as Gate,
    Paired as Paired,
    Sequential as Sequential,
    StaleBest as StaleBest,
    make_gate as make_gate,
)
from .loop import (
    Counters as Counters,
    Generation as Generation,
    Search as Search,
    SearchState as SearchState,
    reliability as reliability,
)
from .minibatch import MinibatchObjective as MinibatchObjective
from .minimize import maximize as maximize, minimize as minimize
from .signal_to_noise import UpdateSignal as UpdateSignal
