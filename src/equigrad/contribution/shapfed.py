"""ShapFed's class-wise cosine score, a rival of CGSV that looks at the classifier alone.

It needs the uploads themselves, since the Gram matrix does not tell one layer from another.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch

from equigrad._validate import nonnegative_weights, positive_int
from equigrad.contribution.base import RULES, ContributionRule, Float64, Values
from equigrad.contribution.game import ZERO_SHARE
from equigrad.contribution.gram import Uploads, chunk_columns, upload_shape
from equigrad.errors import ConfigError, UploadError

__all__ = ["ClassifierLayer", "ShapFed"]


@dataclass(frozen=True)
class ClassifierLayer:
    """Where a model's last linear layer lies in the flat upload.

    Attributes
    ----------
    weight_offset
        Index of the first entry of its weight, stored row by row.
    classes
        Number of rows, one for each class.
    in_features
        Number of columns.
    bias_offset
        Index of the first entry of its bias, or None for a layer without bias.
    """

    weight_offset: int
    classes: int
    in_features: int
    bias_offset: int | None = None

    def __post_init__(self) -> None:
        positive_int("weight_offset", self.weight_offset, least=0)
        positive_int("classes", self.classes)
        positive_int("in_features", self.in_features)
        if self.bias_offset is not None:
            positive_int("bias_offset", self.bias_offset, least=0)

    @property
    def end(self) -> int:
        """One past the layer's last entry in the upload."""
        end = self.weight_offset + self.classes * self.in_features
        return end if self.bias_offset is None else max(end, self.bias_offset + self.classes)

    def rows(self, uploads: Uploads) -> Float64:
        """Return ``(n, classes, in_features [+ 1]) float64``: each class's row and bias entry."""
        size = upload_shape(uploads)[1]
        if self.end > size:
            raise UploadError(
                f"Expected uploads of at least {self.end} entries to hold the classifier layer, "
                f"got {size}. Check the layer's offsets."
            )
        stop = self.weight_offset + self.classes * self.in_features
        weight = chunk_columns(uploads, self.weight_offset, stop)
        parts = [weight.reshape(-1, self.classes, self.in_features)]
        if self.bias_offset is not None:
            bias = chunk_columns(uploads, self.bias_offset, self.bias_offset + self.classes)
            parts.append(bias[:, :, None])
        found: Float64 = torch.cat(parts, dim=2).cpu().numpy()
        return found


@RULES.register("shapfed")
class ShapFed(ContributionRule):
    """Mean over classes of ``cos(u_i[k], u[k])``, k being a class's row of the classifier.

    From ShapFed (third-party; repository ``tnurbek/shapfed``). Its released code forms only the
    coalition of all parties, so this is a cosine score and, despite the name, no Shapley value.
    ShapFed keeps a moving average of the values over the rounds, with memory :attr:`memory`; that
    is the caller's, since a rule keeps no state.

    Guarantee: lies in [-1, 1], to rounding; a zero upload gets 0. The values do not sum to one.

    Parameters
    ----------
    layer
        Where the classifier lies in the upload; without one: ``ConfigError``.
    classes
        Number of classes of the task, if known; ``ConfigError`` if the layer has other rows.
    """

    name: ClassVar[str] = "shapfed"
    needs: ClassVar[Literal["gram", "uploads"]] = "uploads"
    efficient: ClassVar[bool] = False
    memory: ClassVar[float] = 0.9

    def __init__(self, layer: ClassifierLayer | None = None, classes: int | None = None) -> None:
        if layer is None:
            raise ConfigError(
                "Expected the classifier layer for shapfed, got none. Name the model's last "
                "linear layer, or use another contribution rule."
            )
        if classes is not None and classes != layer.classes:
            raise ConfigError(
                f"Expected a classifier layer of {classes} rows, one for each class, got "
                f"{layer.classes}. Name the model's last linear layer."
            )
        self.layer = layer

    def value(
        self,
        evidence: Uploads,
        weights: npt.ArrayLike,
        generator: np.random.Generator | None = None,
    ) -> Values:
        """Return the scores of the ``(n, D)`` uploads; see the base class."""
        del generator
        rows = self.layer.rows(evidence)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=(1, 2)))
        if bad.size:
            raise UploadError(f"Expected finite uploads, got NaN or inf in upload {bad[0]}.")
        weight = nonnegative_weights("weights", weights, len(rows))
        return Values(_class_cosines(rows, weight).mean(axis=1))


def _class_cosines(rows: Float64, weights: Float64) -> Float64:
    """Return ``(n, classes)`` cosines of each party's row with the weighted sum of the rows."""
    scale = np.abs(rows).max()
    rows, weights = rows / (scale if scale > 0 else 1.0), weights / weights.max()
    aggregate = np.einsum("n,ncf->cf", weights, rows)
    own = np.einsum("ncf,ncf->nc", rows, rows)
    total = np.einsum("cf,cf->c", aggregate, aggregate)
    live = (own > 0) & (total > ZERO_SHARE * (weights**2 @ own))
    inner = np.einsum("ncf,cf->nc", rows, aggregate)
    root = np.sqrt(np.where(live, own, 1.0)) * np.sqrt(np.where(live, total, 1.0))
    cosines: Float64 = np.where(live, inner, 0.0) / root
    return cosines
