from . import (
    augmentation as augmentation,
    backpropagation as backpropagation,
    classifier as classifier,
    node_perturbation as node_perturbation,
    noise as noise,
)
