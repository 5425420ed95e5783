"""The contract of every local mechanism, and the registry of them.

A local mechanism bounds one gradient of a party and adds noise before anything leaves. Any two
data sets of the party are neighbours. Neighbours: strategies beside it, one file each;
:mod:`equigrad.market.aggregation` needs the precision of uploads, the party's privacy account
charges their events.
"""

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive, positive_int
from equigrad.errors import UploadError
from equigrad.market.local._checks import differences
from equigrad.market.local._epsilon import as_epsilon, positive_epsilon
from equigrad.market.local.clip import Float64
from equigrad.market.local.entropy import RandomSource
from equigrad.market.local.upload import Upload
from equigrad.privacy.accounting import REPLACE_ONE, PrivacyEvent, pure_release
from equigrad.registry import Registry

__all__ = ["LOCAL_MECHANISMS", "LocalMechanism"]


class LocalMechanism(ABC):
    """A way to protect one gradient of a party before it leaves.

    A mechanism is a value object; its settings are public. It keeps no state between uploads,
    changes none of its arguments and touches no global random state.

    Parameters
    ----------
    bound
        Clipping bound > 0, in units of the gradient; of which norm, the mechanism says.
    dim
        Coordinates of the model, >= 1.

    Class attributes
    ----------------
    name
        The name in :data:`LOCAL_MECHANISMS` and in run files.
    exact_error
        True if :meth:`expected_error` is the mean square error itself, not a bound on it.

    Guarantees, which the contract suite in :mod:`equigrad.testing` checks
    ----------------------------------------------------------------------
    * Privacy: one upload is epsilon-DP for *any* two data sets of the party ((epsilon, delta)-DP
      for a mechanism with a delta), and its :meth:`event` says no less.
    * The clipped gradient is never above the bound, for any finite gradient.
    * The upload is unbiased for the clipped gradient, up to :meth:`bias_bound` per coordinate.
    * Its mean square error is :meth:`expected_error`, at most ``nu L^2``.
    * NaN and inf are refused before anything is drawn; a gradient of zeros is protected as any
      other; at epsilon 0 nothing is sent.
    * Uploads survive their bytes; who holds the bytes can :meth:`check` them in public.
    """

    name: ClassVar[str]
    exact_error: ClassVar[bool] = True

    def __init__(self, *, bound: float, dim: int) -> None:
        self.bound = float(positive("bound", bound))
        self.dim = positive_int("dim", dim)

    # --- what is public of the noise ------------------------------------------------------------

    @property
    def l2_bound(self) -> float:
        """L of the error bound: no clipped gradient has a larger L2 norm."""
        return self.bound

    @abstractmethod
    def _nu(self, epsilon: float) -> float:
        """Return nu for one checked epsilon > 0."""

    @abstractmethod
    def expected_error(self, gradient: npt.ArrayLike, epsilon: float) -> float:
        """Return the mean of ``|upload - clip(gradient)|^2``, or a bound on it; epsilon > 0."""

    def bias_bound(self, epsilon: float) -> float:
        """Return how far, per coordinate, the mean upload may be from the clipped gradient."""
        del epsilon
        return 0.0

    def nu(self, epsilon: npt.ArrayLike) -> Float64:
        """Return ``V / L^2``: total noise variance of an upload over :attr:`l2_bound` squared.

        Parameters
        ----------
        epsilon
            Of any shape, each in [0, 100].

        Returns
        -------
        numpy.ndarray
            float64 of the shape of ``epsilon``; infinite at 0.

        Raises
        ------
        ConfigError
            If an epsilon is impossible.
        """
        values = np.asarray(epsilon, dtype=np.float64)
        each, inverse = np.unique(values, return_inverse=True)
        found = [self._nu(as_epsilon(e)) if e != 0 else math.inf for e in each.tolist()]
        return np.asarray(np.array(found)[inverse].reshape(values.shape))

    def precision(self, epsilon: npt.ArrayLike) -> Float64:
        """Return ``1 / nu``, as aggregators take it; 0 at epsilon 0. See :meth:`nu`."""
        return np.asarray(1.0 / self.nu(epsilon))

    def network_safe(self, epsilon: float) -> bool:
        """Return whether an upload's last digits say nothing, so that it may leave the machine.

        Where False, the mechanism is for simulation: floating-point noise leaks the gradient
        through its low bits, whatever the generator.
        """
        del epsilon
        return False

    def event(self, epsilon: float, *, seeded: bool = False) -> PrivacyEvent:
        """Return the event of one upload, to be charged before noise is drawn.

        Parameters
        ----------
        epsilon
            In (0, 100].
        seeded
            True if the noise can be repeated by others, so that nothing is private.

        Raises
        ------
        ConfigError
            If epsilon is impossible.
        """
        return pure_release(
            "gradient",
            epsilon=positive_epsilon(epsilon),
            neighbouring=REPLACE_ONE,
            seeded=seeded,
            **self._described(),
        )

    def _described(self) -> dict[str, Any]:
        """Return what an event tells besides its cost."""
        return {"rule": self.name, "settings": {"bound": self.bound, "dim": self.dim}}

    # --- protecting -----------------------------------------------------------------------------

    @abstractmethod
    def clip(self, gradient: npt.ArrayLike) -> Float64:
        """Return the bounded gradient ``(dim,) float64``.

        Raises
        ------
        UploadError
            If the gradient has another shape, or NaN or inf in it.
        """

    @abstractmethod
    def _noised(self, clipped: Float64, epsilon: float, source: RandomSource) -> Upload:
        """Return the upload of a clipped gradient at a checked epsilon > 0."""

    def release(
        self, gradient: npt.ArrayLike, epsilon: float | Fraction, source: RandomSource
    ) -> Upload | None:
        """Clip, add noise, and return what may leave; None at epsilon 0: then send nothing.

        The caller charges :meth:`event` first (see ``equigrad.privacy.account``).

        Parameters
        ----------
        gradient
            ``(dim,)``, finite; it is left as it is.
        epsilon
            In [0, 100], in nats.
        source
            :class:`~equigrad.market.local.SystemRandom` for a sale, a NumPy generator for a
            simulation: equal generators give equal uploads.

        Raises
        ------
        UploadError
            If the gradient is of another shape or not finite. Nothing was drawn.
        ConfigError
            If epsilon is impossible.
        """
        value = as_epsilon(epsilon)
        clipped = self.clip(gradient)
        return None if value == 0.0 else self._noised(clipped, value, source)

    def _made(self, values: npt.NDArray[Any], epsilon: float, **more: Any) -> Upload:
        return Upload(self.name, self.form, epsilon, self.bound, self.dim, values, **more)

    @property
    def form(self) -> str:
        """Form of an upload's numbers: ``"float64"``, ``"float32"`` or ``"lattice"``."""
        return "float64"

    def estimate(self, upload: Upload) -> Float64:
        """Return the gradient that an upload estimates, ``(dim,) float64``."""
        values = np.asarray(upload.values, dtype=np.float64)
        if upload.places is None:
            return values.copy()
        dense = np.zeros(self.dim)
        dense[upload.places] = values
        return dense

    # --- checking, in public --------------------------------------------------------------------

    def check(self, content: bytes, epsilon: float) -> tuple[str, ...]:
        """Return why a delivery is to be rejected; nothing if it is sound.

        Needs nothing secret: whoever holds the bytes may check them, the party first. A sound
        delivery of random noise is rejected with probability at most 1e-9.

        Parameters
        ----------
        content
            The delivered bytes.
        epsilon
            The epsilon awarded.

        Returns
        -------
        tuple of str
            Sentences: expected, got.
        """
        awarded = as_epsilon(epsilon)
        if awarded == 0.0:
            return ("Expected no delivery at epsilon 0, got one.",)
        try:
            upload = Upload.from_bytes(content)
        except UploadError as error:
            return (str(error),)
        return self._differences(upload, awarded) or tuple(self._faults(upload, awarded))

    def _differences(self, upload: Upload, epsilon: float) -> tuple[str, ...]:
        """Return how an upload is not one of this mechanism at this epsilon, or not finite."""
        return differences(
            upload,
            mechanism=self.name,
            form=self.form,
            epsilon=epsilon,
            bound=self.bound,
            dim=self.dim,
        )

    @abstractmethod
    def _faults(self, upload: Upload, epsilon: float) -> list[str]:
        """Return what is wrong with the numbers of an upload that claims what it should."""


LOCAL_MECHANISMS: Registry[type[LocalMechanism]] = Registry("local mechanism")
