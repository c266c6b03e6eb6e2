"""Conformance checks for what users of zorl write themselves: optimizers, estimators, gates, twins.

Each check raises an `AssertionError` that names the rule broken, what was found and what was
expected, so that one line makes a test:

    from zorl.testing import check_optimizer

    def test_my_optimizer_conforms():
        check_optimizer(MyOptimizer(learning_rate=0.1), invariances=("monotone",))

zorl's own methods, directions and gates pass the same checks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
