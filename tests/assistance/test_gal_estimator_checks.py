"""scikit-learn's own checks of both estimators; without parties they are plain boosting."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from equigrad.assistance import GALClassifier, GALRegressor


# None is expected to fail. The array API check skips: it needs a setting of the process. The cap
# of the classifier's steps: one check compares fits on fifteen rows that thirty columns separate;
# no best step exists and a search ends at one of rounding errors' choice.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::equigrad.assistance.AssistanceWarning")
@parametrize_with_checks([GALRegressor(n_rounds=5), GALClassifier(n_rounds=5, eta_max=20.0)])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
