"""Conformance checks for what users of zorl write themselves: optimizers, estimators, gates, twins.

Each check raises an `AssertionError` that names the rule broken, what was found and what was
expected, so that one line makes a test:

    from zorl.testing import check_optimizer

    def test_my_optimizer_conforms():
        check_optimizer(MyOptimizer(learning_rate=0.1), invariances=("monotone",))

zorl's own methods, directions and gates pass the same checks.
"""

from zorl.testing.estimators import EstimatorReport, check_estimator, linear_relative_mse
from zorl.testing.gates import check_gate
from zorl.testing.optimizers import check_optimizer, detect_invariances
from zorl.testing.progress import INVARIANCES
from zorl.testing.twins import TwinReport, check_compiled_twin

__all__ = [
    "INVARIANCES",
    "EstimatorReport",
    "TwinReport",
    "check_compiled_twin",
    "check_estimator",
    "check_gate",
    "check_optimizer",
    "detect_invariances",
    "linear_relative_mse",
]
