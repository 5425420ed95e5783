"""What a pass returns: norms, weighted sums, inner products and group sums of record gradients."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from equigrad.errors import ModelError
from equigrad.gradients.arithmetic import exact_products
from equigrad.gradients.grouping import grouped, matched
from equigrad.gradients.pieces import Piece, accumulation
from equigrad.gradients.pieces.rounding import lifted
from equigrad.gradients.plan import LayerPlan, plan_of
from equigrad.gradients.projecting import Maps, parameter_projections

__all__ = ["LayerPlan", "PerSampleGradients"]

# The Gram form of a squared norm cancels; its error was measured at most 1.4e-8 of S^2 in float32,
# S = sum_t |a_t||b_t|. Lifting by more than the error keeps a norm from coming out too small.
_GUARD = {torch.float32: 2.0**-22, torch.float64: 2.0**-50}
# Below this, squares in float32 lose their last digits to underflow.
_TINY = {torch.float32: 2.0**-100, torch.float64: 2.0**-960}


class PerSampleGradients:
    """Gradients of every record's own loss, never written out where a layer allows that.

    Made by :func:`~equigrad.gradients.per_sample_gradients` and
    :class:`~equigrad.gradients.PerSamplePass`. Results of a reused pass are valid until its next
    call: their buffers are then used again, and asking them for more is an error.

    Attributes
    ----------
    size : int
        Number of records B.
    losses : Tensor
        ``(B,)`` losses, detached.
    outputs : Any
        The model's output, detached; None for an empty batch, on which the model does not run.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        pieces: Sequence[Piece],
        losses: Tensor,
        outputs: Any,
        *,
        create_graph: bool = False,
    ) -> None:
        self.size = losses.shape[0]
        self.losses = losses.detach()
        self.outputs = outputs
        self._parameters = dict(parameters)
        self._grad = create_graph
        self._parts = grouped(self._parameters, pieces)
        self._norms: Tensor | None = None
        self._finite: Tensor | None = None
        self._all_finite = False  # known for certain, once the norms are
        self._stale = False
        self._whole: PerSampleGradients | None = None
        self._excerpts: list[PerSampleGradients] = []

    @property
    def names(self) -> list[str]:
        """Return the names of the parameters, in the model's order."""
        return list(self._parameters)

    @property
    def norms(self) -> Tensor:
        """Return the ``(B,)`` L2 norms of the records' gradients over all parameters.

        In float32 or better. A record whose loss, activations, gradient or norm is not finite has
        norm infinity. Norms are never too small by cancellation: those taken by Gram matrices are
        lifted by a bound on their rounding error, some 1e-7 to 1e-4 of the norm, and where sums
        over positions may round otherwise than the norm, by a bound on that (proved in
        :func:`~equigrad.gradients.pieces.rounding.slack_of_sums`): a record clipped to C by its
        norm releases at most ``C (1 + 2^-17)``.
        """
        if self._norms is None:
            norms = self._compute_norms()
            if self._whole is not None:
                norms = torch.where(self._whole.finite, norms, torch.inf)
                self._all_finite &= self._whole._all_finite
            self._norms = norms
        return self._norms

    @property
    def finite(self) -> Tensor:
        """Return ``(B,) bool``: whether the record's loss and gradient are finite."""
        if self._finite is None:
            self._finite = torch.isfinite(self.norms)
        return self._finite

    def _compute_norms(self) -> Tensor:
        """Add the squared norms of all pieces, guard them, and silence non-finite records."""
        with self._quiet():
            square, slack = self._squares()
            bad = self._not_finite(square if slack is None else square + slack)
            norms = _root(torch.where(square > 0, square.clamp_min(_TINY[square.dtype]), square))
            if slack is not None:
                norms = lifted(norms, slack.sqrt())
            if bad is not None:
                norms = torch.where(bad, torch.inf, norms)
                for _, piece in self._pieces():
                    piece.drop(bad)
        return norms

    def _squares(self) -> tuple[Tensor, Tensor | None]:
        """Return the guarded squared norms and, if a piece has any, the squared slack."""
        square = accumulation(torch.zeros_like(self.losses))
        lift: Tensor | None = None
        slack: Tensor | None = None
        for _, piece in self._pieces():
            square = square + piece.squared_norms().to(square.dtype)
            size = piece.cancellation()
            if size is not None:
                more = _GUARD[size.dtype] * size.detach().to(square.dtype).square()
                lift = more if lift is None else lift + more
            share = piece.slack()
            if share is not None:
                more = share.detach().to(square.dtype).square()
                slack = more if slack is None else slack + more
        return square if lift is None else square.clamp_min(0) + lift, slack

    def _not_finite(self, found: Tensor) -> Tensor | None:
        """Return which records have a loss or a number found that is not finite, None if none."""
        # NaN and infinity survive in any sum; one that overflows only calls for a closer look.
        total = found.detach().sum() + self.losses.sum()
        self._all_finite = math.isfinite(float(total))
        if self._all_finite:
            return None
        bad = ~(torch.isfinite(found) & torch.isfinite(self.losses))
        return bad if bool(bad.any()) else None

    def weighted_sum(
        self, weights: Tensor, out: MutableMapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return ``sum_i weights_i g_i`` by parameter name.

        Parameters
        ----------
        weights
            ``(B,)`` finite numbers; those of non-finite records are taken as 0.
        out
            Tensors of the parameters' shapes to *add* the sums into; they are returned.

        Returns
        -------
        dict[str, Tensor]
            One tensor per parameter, float32 for parameters of half precision.
        """
        weights = self._usable(weights)
        with self._quiet():
            sums = self._zeros() if out is None else {name: out[name] for name in self.names}
            for name, piece in self._pieces():
                piece.add_weighted_sum(weights, _seen(sums[name], piece))
        return sums

    def dots(self, vector: Mapping[str, Tensor]) -> Tensor:
        """Return ``(B,)`` inner products ``<g_i, v>``; non-finite records give 0.

        ``vector`` holds one tensor for each of :attr:`names`, of the parameter's shape.
        """
        self._require_finite_known()
        with self._quiet():
            total = accumulation(torch.zeros_like(self.losses))
            for name, piece in self._pieces():
                part = vector[name] if piece.view is None else vector[name][piece.view]
                total = total + piece.dots(part).to(total.dtype)
        return total

    def gram(self, other: "PerSampleGradients") -> Tensor:
        """Return ``(B, B')`` inner products with another pass over the same parameters."""
        if self.names != other.names:
            raise ModelError(
                f"Expected gradients of the parameters {self.names}, got {other.names}. "
                "Compare passes of one model."
            )
        self._require_finite_known()
        other._require_finite_known()
        with self._quiet():
            total = accumulation(self.losses.new_zeros(self.size, other.size))
            if self.size == 0 or other.size == 0:
                return total
            for name in self.names:
                for mine, theirs in matched(self._parts[name], other._parts[name]):
                    total = total + mine.gram(theirs).to(total.dtype)
        return total

    def group_sums(
        self, groups: Tensor, n_groups: int, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted sums of each group, ``(n_groups, *shape)`` by parameter name.

        ``groups (B,) int64`` are labels in ``0 .. n_groups - 1``; ``weights`` are 1 by default.
        """
        if groups.shape != (self.size,):
            raise ModelError(
                f"Expected groups of shape ({self.size},), got shape {tuple(groups.shape)}. "
                "Give one label per record."
            )
        if self.size and (int(groups.min()) < 0 or int(groups.max()) >= n_groups):
            raise ModelError(
                f"Expected groups in 0..{n_groups - 1}, got {int(groups.min())}.."
                f"{int(groups.max())}. Number the groups from 0."
            )
        weights = torch.ones_like(self.norms).detach() if weights is None else weights
        sums = [self.weighted_sum(torch.where(groups == k, weights, 0)) for k in range(n_groups)]
        return {name: torch.stack([one[name] for one in sums]) for name in self.names}

    def of(self, names: Sequence[str]) -> "PerSampleGradients":
        """Return the same gradients of some parameters only: norms, sums and products of those.

        Nothing is computed again and nothing copied. A record that is not finite in any parameter
        is not finite in the excerpt; the excerpt is valid as long as the whole is.

        Raises
        ------
        ModelError
            If a name is not among :attr:`names`, or the results are old.
        """
        self._refuse_stale()
        unknown = [name for name in names if name not in self._parameters]
        if unknown or not names:
            raise ModelError(
                f"Expected one or more names among {self.names}, got {unknown or 'none'}. "
                "Take names of the pass's parameters."
            )
        wanted = {name: self._parameters[name] for name in self.names if name in set(names)}
        one = PerSampleGradients(wanted, [], self.losses, self.outputs, create_graph=self._grad)
        one._parts = {name: self._parts[name] for name in wanted}
        one._whole, one._finite = self, self.finite
        self._excerpts.append(one)
        return one

    def projected(
        self, maps: Maps, change: Mapping[str, Callable[[Tensor], Tensor]] | None = None
    ) -> dict[str, Tensor]:
        """Return linear images of every record's gradient, a few records' rows at a time.

        Parameters
        ----------
        maps
            For each of :attr:`names` either ``(left, right)`` of shapes ``(p, O)`` and ``(q, I)``,
            which map the gradient, seen as a matrix ``(O, I)`` of its first axis by all others, to
            ``left g_i right'``; or ``(left, None)`` with ``left`` of shape ``(k, numel)``, which
            maps the flattened gradient.
        change
            Functions of a parameter's rows ``(records, *shape)`` that are applied before; for
            parameters that have one, rows are written out, as many as fit the workspace.

        Returns
        -------
        dict[str, Tensor]
            ``(B, p, q)`` or ``(B, k)`` by parameter name; 0 for records that are not finite.
        """
        self._refuse_stale()
        self._require_finite_known()
        with self._quiet():
            return {
                name: parameter_projections(
                    parameter,
                    self._parts[name],
                    self.size,
                    maps[name],
                    None if change is None else change.get(name),
                )
                for name, parameter in self._parameters.items()
            }

    def plan(self) -> list[LayerPlan]:
        """Return how each parameter is handled, in the model's order."""
        return [plan_of(name, piece) for name, piece in self._pieces()]

    def _pieces(self) -> Iterator[tuple[str, Piece]]:
        """Yield the name and each of the pieces whose squared norms add up."""
        self._refuse_stale()
        for name, parts in self._parts.items():
            for piece in parts:
                yield name, piece

    def _refuse_stale(self) -> None:
        """Raise if the pass has been called again since."""
        if self._stale:
            raise ModelError(
                "Expected the results of the pass's latest call, got older ones. Take what is "
                "needed before the next call, or use a pass of its own."
            )

    def _retire(self) -> None:
        """Let go of all pieces: their buffers are about to be used again."""
        self._stale = True
        self._parts = {}
        for one in self._excerpts:
            one._retire()

    def _usable(self, weights: Tensor) -> Tensor:
        """Return weights of the right shape with zeros at non-finite records."""
        if weights.shape != (self.size,):
            raise ModelError(
                f"Expected weights of shape ({self.size},), got shape {tuple(weights.shape)}. "
                "Give one weight per record."
            )
        self._require_finite_known()
        return weights if self._all_finite else torch.where(self.finite, weights, 0)

    def _require_finite_known(self) -> None:
        """Take the norms, which silences non-finite records in the pieces."""
        _ = self.norms

    def _zeros(self) -> dict[str, Tensor]:
        """Return zeros of the parameters' shapes, in a dtype fit for sums."""
        return {
            name: torch.zeros_like(accumulation(p), memory_format=torch.contiguous_format)
            for name, p in self._parameters.items()
        }

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Switch off autograd (unless asked for) and autocast."""
        device = self.losses.device
        with torch.set_grad_enabled(self._grad), _no_autocast(device), exact_products(device):
            yield


def _no_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Switch autocast off, where it is on."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def _root(square: Tensor) -> Tensor:
    """Return the square root; it has no slope at 0, where it is given slope 0."""
    if not torch.is_grad_enabled():
        return square.sqrt()
    zero = square == 0
    return torch.where(zero, 0, torch.where(zero, 1, square).sqrt())


def _seen(tensor: Tensor, piece: Piece) -> Tensor:
    """Return the part of a parameter-shaped tensor that a piece is about."""
    return tensor if piece.view is None else tensor[piece.view]
