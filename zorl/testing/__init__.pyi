from .estimators import (
    EstimatorReport as EstimatorReport,
    check_estimator as check_estimator,
    linear_relative_mse as linear_relative_mse,
)
from .gates import check_gate as check_gate
from .optimizers import check_optimizer as check_optimizer, detect_invariances as detect_invariances
from .progress import INVARIANCES as INVARIANCES
from .twins import TwinReport as TwinReport, check_compiled_twin as check_compiled_twin
