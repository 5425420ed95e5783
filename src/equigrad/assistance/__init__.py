"""Gradient Assisted Learning: parties with different columns of the same rows help one sponsor.

Each round has four stages, ``residual -> fit -> weigh -> step``; nobody shares data, models or
losses. **The residual is the label**: what the sponsor sends tells it, unless label privacy is
chosen. :class:`GALClassifier` and :class:`GALRegressor` are the doors; :func:`train` is the engine.

Families: :class:`Loss`, :class:`Weigher`, :class:`Learner` and, for label privacy,
:class:`Mechanism`. After Diao, Ding and Tarokh, NeurIPS 2022.
"""

from equigrad.assistance.contributions import (
    Contributions,
    coalition_values,
    coalitions,
    contributions_of,
    shapley_of,
    shapley_values,
)
from equigrad.assistance.estimators import Answer, GALClassifier, GALRegressor, PartyBlocks
from equigrad.assistance.learners import (
    CNN,
    LEARNERS,
    LSTM,
    HistGradientBoosting,
    Learner,
    LeastSquares,
    ReferenceCNN,
    Ridge,
    Schedule,
    ShapedLearner,
    SharedLearner,
    SklearnLearner,
    TorchLearner,
    make_learner,
)
from equigrad.assistance.losses import LOSSES, Loss, TorchLoss, make_loss
from equigrad.assistance.model import AssistedModel
from equigrad.assistance.parties import LocalParties, Parties
from equigrad.assistance.privacy import (
    MECHANISMS,
    LabelPrivacy,
    Mechanism,
    label_epsilon,
    pure_label_epsilon,
)
from equigrad.assistance.reference import reference_linear, reference_step
from equigrad.assistance.rows import Rows, all_rows, split_rows
from equigrad.assistance.second_stage import (
    FoldLabels,
    ProductParties,
    SecondStage,
    SecondStageModel,
    fit_second_stage,
)
from equigrad.assistance.seeds import party_seed
from equigrad.assistance.settings import Settings
from equigrad.assistance.sponsor import Sponsor
from equigrad.assistance.state import TrainingState
from equigrad.assistance.track import Round
from equigrad.assistance.training import Pass, Training, train
from equigrad.assistance.valuing import value_coalitions, value_parties
from equigrad.assistance.warn import AssistanceWarning
from equigrad.assistance.weights import (
    WEIGHERS,
    Weigher,
    WeighProblem,
    make_weigher,
    simplex_quadratic,
)

__all__ = [
    "CNN",
    "LEARNERS",
    "LOSSES",
    "LSTM",
    "MECHANISMS",
    "WEIGHERS",
    "Answer",
    "AssistanceWarning",
    "AssistedModel",
    "Contributions",
    "FoldLabels",
    "GALClassifier",
    "GALRegressor",
    "HistGradientBoosting",
    "LabelPrivacy",
    "Learner",
    "LeastSquares",
    "LocalParties",
    "Loss",
    "Mechanism",
    "Parties",
    "PartyBlocks",
    "Pass",
    "ProductParties",
    "ReferenceCNN",
    "Ridge",
    "Round",
    "Rows",
    "Schedule",
    "SecondStage",
    "SecondStageModel",
    "Settings",
    "ShapedLearner",
    "SharedLearner",
    "SklearnLearner",
    "Sponsor",
    "TorchLearner",
    "TorchLoss",
    "Training",
    "TrainingState",
    "WeighProblem",
    "Weigher",
    "all_rows",
    "coalition_values",
    "coalitions",
    "contributions_of",
    "fit_second_stage",
    "label_epsilon",
    "make_learner",
    "make_loss",
    "make_weigher",
    "party_seed",
    "pure_label_epsilon",
    "reference_linear",
    "reference_step",
    "shapley_of",
    "shapley_values",
    "simplex_quadratic",
    "split_rows",
    "train",
    "value_coalitions",
    "value_parties",
]
