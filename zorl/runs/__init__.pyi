from .curves import (
    first_reaching as first_reaching,
    read_curve as read_curve,
    write_curve as write_curve,
)
from .failed_episodes import (
    load_episode as load_episode,
    replay as replay,
    save_episode as save_episode,
)
from .folder import RunFolder as RunFolder, latest_run as latest_run, run_name as run_name
from .playback import watch as watch
from .report import summary as summary
from .result import (
    HeldOut as HeldOut,
    RunResult as RunResult,
    Spent as Spent,
    WorkersUsed as WorkersUsed,
)
