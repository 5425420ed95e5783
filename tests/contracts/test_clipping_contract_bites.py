"""The clipping rules' contract suite fails for rules that break the contract."""

import inspect

import pytest
import torch

from equigrad.privacy.clipping import AutoV, ClippingRule, Flat, GlobalAdapt, Quantile
from equigrad.testing.clipping import ClippingContract


class LetsNanThrough(Flat):
    """Takes a minimum as NumPy's fmin does: NaN loses, so a NaN gradient gets weight 1."""

    def weights(self, norms, groups=None):
        return torch.fmin(self.clip / norms, torch.ones_like(norms))


class Unclipped(Flat):
    """Says C and clips nothing."""

    def _factors(self, norms, groups):
        return torch.ones_like(norms)


class RoundsUp(AutoV):
    """Casts the weight without care for the limits of float32."""

    def weights(self, norms, groups=None):
        return (self.clip / norms.double()).nan_to_num(posinf=3e38).to(norms.dtype)


class ByTheLargest(Flat):
    """Scales by the longest gradient in the batch."""

    def _factors(self, norms, groups):
        largest = norms.nan_to_num(posinf=0.0).max() if norms.numel() else 1.0
        return self.clip / largest * torch.ones_like(norms)


class Halved(GlobalAdapt):
    """States half of what one row does to its count."""

    @property
    def count_sensitivity(self):
        return 0.5 * super().count_sensitivity


class Unclamped(Quantile):
    """Lets the bound run away."""

    def _update(self, noisy_counts):
        share = noisy_counts[0] / self.public_batch_size + 0.5
        self.clip = float(self.clip * torch.exp(-self.rate * (share - self.target)))


class Averaged(GlobalAdapt):
    """Counts a share of the chunk, so that chunks do not add up."""

    def _counts(self, norms, groups):
        return super()._counts(norms, groups) / max(norms.numel(), 1)


class Forgetful(GlobalAdapt):
    """Loads nothing."""

    def _load(self, state):
        del state


class Nosy(GlobalAdapt):
    """Moves its state when it is asked for counts."""

    def _counts(self, norms, groups):
        self.threshold = min(self.threshold * 1.01, self.threshold_max)
        return super()._counts(norms, groups)


def suite(make):
    class Suite(ClippingContract):
        def make(self) -> ClippingRule:
            return make()

    return Suite()


@pytest.mark.parametrize(
    ("make", "test", "arguments"),
    [
        (lambda: LetsNanThrough(1.0), "an_unsound_norm_gets_weight_zero", {"norm": float("nan")}),
        (lambda: Unclipped(1.0), "no_row_adds_more_than_the_sensitivity", {"seed": 0}),
        (lambda: Unclipped(1.0), "no_gradient_adds_more_than_the_sensitivity", {"size": 1e3}),
        (lambda: RoundsUp(1e-5), "no_row_adds_more_than_the_sensitivity", {"seed": 0}),
        (lambda: ByTheLargest(1.0), "weights_do_not_depend_on_other_rows", {}),
        (lambda: Halved(1.0), "one_row_moves_the_counts_by_their_sensitivity_at_most", {}),
        (lambda: Unclamped(1.0), "no_count_breaks_the_bounds", {"count": -1e9}),
        (lambda: Unclamped(1.0), "no_count_breaks_the_bounds", {"count": 1e9}),
        (lambda: Averaged(1.0), "counts_of_chunks_add_up", {}),
        (lambda: Forgetful(1.0), "the_state_survives_a_round_trip", {}),
        (lambda: Nosy(1.0), "asking_changes_nothing", {}),
    ],
)
def test_a_broken_rule_is_caught(make, test, arguments):
    check = getattr(suite(make), f"test_{test}")
    if "dtype" in inspect.signature(check).parameters:
        arguments = {"dtype": torch.float32, **arguments}
    with pytest.raises(AssertionError):
        check(**arguments)
