"""zorl: policy search without gradients, on Gymnasium, beside Stable-Baselines3.

`import zorl` is light: agents, environments and everything heavier load at first use.
"""

from pathlib import Path

import lazy_loader

from zorl.common import moved

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

moved.install()

_here = Path(__file__).parent
if not (_here / "agents").is_dir():
    # A checkout without links, as on Windows: the folders agents and envs lie beside this one.
    __path__.append(str(_here.parent))
