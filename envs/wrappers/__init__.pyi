from .mask_observation import MaskObservation as MaskObservation
from .momentum_reward import MomentumReward as MomentumReward
from .native_return import NativeReturn as NativeReturn, native_recorder as native_recorder
from .registry import (
    WRAPPERS as WRAPPERS,
    find_wrapper as find_wrapper,
    parse_wrapper as parse_wrapper,
    register_wrapper as register_wrapper,
)
