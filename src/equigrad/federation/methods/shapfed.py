"""ShapFed: values by the classifier's rows, and models mixed by value.

Third-party (IJCAI 2024; repository ``tnurbek/shapfed``), after its released code, which we read.
The value itself is :class:`equigrad.contribution.ShapFed`; what is done with it stands here.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from equigrad.contribution import ShapFed as ShapFedScore
from equigrad.contribution.shapfed import ClassifierLayer
from equigrad.errors import ConfigError
from equigrad.federation.aggregate import weighted_sum
from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import (
    METHODS,
    Intake,
    Method,
    MethodState,
    Plan,
    Settlement,
    Terms,
)
from equigrad.federation.methods.baseline import (
    named_arrays,
    normalised,
    settle_body,
    settlement,
)

__all__ = ["ShapFed", "classifier_layer"]

Float64 = npt.NDArray[np.float64]


def classifier_layer(terms: Terms) -> ClassifierLayer:
    """Return where the last linear layer lies: the last 2-D weight, and the bias of its name.

    Raises
    ------
    ConfigError
        If no parameter has two dimensions, or the bias does not have one entry for each row.
    """
    flat = [i for i, shape in enumerate(terms.shapes) if len(shape) == 2]
    if not flat:
        raise ConfigError(
            "Expected a model with a linear layer for the method 'shapfed' (a parameter of two "
            f"dimensions), got {', '.join(terms.names)}. Use another model or method."
        )
    at = flat[-1]
    starts = np.concatenate(([0], np.cumsum(terms.layer_sizes)))
    rows, columns = terms.shapes[at]
    offset = None
    bias = terms.names[at].rpartition(".")[0] + ".bias"
    if bias in terms.names:
        where = terms.names.index(bias)
        if terms.shapes[where] != (rows,):
            raise ConfigError(
                f"Expected the classifier's bias {bias!r} of shape ({rows},) for the method "
                f"'shapfed', got {terms.shapes[where]}. Use another model or method."
            )
        offset = int(starts[where])
    return ClassifierLayer(int(starts[at]), rows, columns, offset)


@METHODS.register("shapfed")
class ShapFed(Method):
    """Aggregation by class-wise cosine values, and to each a mixture of its own and the common.

    A round: ``c_i`` is the mean over classes of the cosine between the party's and the weighted
    mean update of the classifier; ``s_i <- 0.9 s_i + 0.1 c_i`` (the first value enters whole);
    the weights ``a_i`` are the positive parts of s normalised to sum 1, equal if there are none.
    The common model is ``sum a_i w_i`` over the models *after* local training, and each party
    goes on from ``(1 - g_i) w_i + g_i w_N``, ``g_i = s_i / max s`` (0 for a negative value).

    From the released code, except: there g is the weights themselves and the form with the maximum
    is commented out, memory is 0.5 in its CIFAR-10 script, and it never meets absent parties.
    Here a party's mixture stays pending while it is absent, and its value as it is; a late joiner
    trains once before it is mixed. Updates are not bounded. The released schedule of five local
    epochs in round 0 and one later is not part of the method here: epochs are the run file's.

    The coordinator follows every party's model, N x D float32.
    """

    name: ClassVar[str] = "shapfed"

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._score = ShapFedScore(classifier_layer(terms))
        self._model = terms.initial.numpy().copy()
        self._values: dict[str, float] = {}
        self._parties: dict[str, torch.Tensor] = {}
        self._issued: dict[str, tuple[int, float]] = {}
        self._common: dict[int, npt.NDArray[np.float32]] = {}

    def plan(self, round_: int) -> Plan:
        """Ask for the raw update; the party remembers it, because it keeps its local step."""
        return Plan("none", hold="update")

    def settle(self, intake: Intake) -> Settlement:
        """Value the updates, average the models and set everybody's mixture."""
        parties = intake.parties
        uploads = [upload.cpu() for upload in intake.uploads]
        found = self._score.value(uploads, self._weights(parties)).values
        for party, value in zip(parties, found.tolist(), strict=True):
            old = self._values.get(party, value)
            self._values[party] = ShapFedScore.memory * old + (1 - ShapFedScore.memory) * value
        weights = self._weights(parties)
        trained = [
            self._parties.get(party, self.terms.initial) + upload
            for party, upload in zip(parties, uploads, strict=True)
        ]
        before, self._model = self._model, weighted_sum(trained, weights)
        mixture = self._issue(intake.round, parties, trained)
        standing = self._standing(intake.members)
        lines = [
            (
                "appraise",
                {
                    "parties": list(parties),
                    "members": list(intake.members),
                    "rule": self._score.name,
                    "values": found.tolist(),
                    "aggregation_weights": weights.tolist(),
                    "r": list(standing.values()),
                },
            ),
            (
                "reward",
                {"parties": list(parties), "q": mixture.tolist(), "share": mixture.tolist()},
            ),
            settle_body(before, self._model),
        ]
        return settlement(lines, intake, values=found, reputation=standing, share=mixture)

    def _weights(self, parties: Sequence[str]) -> Float64:
        """Return the aggregation weights; without any positive value they are equal."""
        return normalised([max(self._values.get(party, 0.0), 0.0) for party in parties])

    def _standing(self, members: Sequence[str]) -> dict[str, float]:
        return dict(zip(members, self._weights(members).tolist(), strict=True))

    def _issue(
        self, round_: int, parties: Sequence[str], trained: Sequence[torch.Tensor]
    ) -> Float64:
        """Set the mixtures of this round and follow what they make of the parties' models."""
        best = max(self._values[party] for party in parties)
        mixture = np.array(
            [max(self._values[party], 0.0) / best if best > 0 else 0.0 for party in parties]
        )
        self._common[round_] = self._model
        for party, model, share in zip(parties, trained, mixture.tolist(), strict=True):
            self._issued[party] = round_, share
            delivery = Delivery(round=round_, share=share, model=self.model())
            self._parties[party] = delivery.apply(model, None)
        needed = {t for t, _ in self._issued.values()}
        self._common = {t: model for t, model in self._common.items() if t in needed}
        return mixture

    def pending(self, party: str, since: int) -> int | None:
        """Return the last round that the party took part in, if later than ``since``."""
        round_ = self._issued.get(party, (-1, 0.0))[0]
        return round_ if round_ > since else None

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return the party's mixture of that round, or None."""
        if self.pending(party, since) is None:
            return None
        round_, share = self._issued[party]
        model = torch.from_numpy(self._common[round_])
        return Delivery(round=round_, keep=1.0, share=share, model=model)

    def model(self) -> torch.Tensor:
        """Return the common model."""
        return torch.from_numpy(self._model)

    def save(self) -> MethodState:
        """Return values, mixtures and all models."""
        arrays = {"model": self._model}
        arrays |= {f"common.{t}": model for t, model in self._common.items()}
        arrays |= {f"party.{party}": model.numpy() for party, model in self._parties.items()}
        issued = {party: [t, share] for party, (t, share) in self._issued.items()}
        return MethodState({"values": self._values, "issued": issued}, arrays)

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._values = {party: float(value) for party, value in state.facts["values"].items()}
        self._issued = {
            p: (int(t), float(share)) for p, (t, share) in state.facts["issued"].items()
        }
        self._model = state.arrays["model"].copy()
        common = named_arrays(state.arrays, "common.")
        self._common = {int(t): model.copy() for t, model in common.items()}
        models = named_arrays(state.arrays, "party.")
        self._parties = {party: torch.from_numpy(model.copy()) for party, model in models.items()}
