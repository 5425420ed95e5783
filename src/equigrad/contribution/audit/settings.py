"""Thresholds of the audits; the defaults carry the margins that were measured."""

from dataclasses import dataclass

from equigrad._validate import in_range, positive, positive_int

__all__ = ["AuditSettings"]


@dataclass(frozen=True)
class AuditSettings:
    """When an audit speaks.

    Attributes
    ----------
    echo
        Cosine of an upload with its party's last reward from which one round is enough to call
        it an echo, in (0, 1]. Honest parties come near it where steps are small and many parties
        agree: up to 0.967 was measured on eight parties with scikit-learn's digits (0.79 on
        MNIST), so only a copy is condemned at once; a noisier echo has no news and is found by
        the third audit.
    clones
        Cosine of two uploads from which they are clones, in (0, 1] (honest: at most 0.949 on
        digits, 0.79 on MNIST).
    echo_hint
        Cosine with the last reward from which a round without news points to an echo, in [0, 1].
    width
        Half-width of "no agreement", in standard deviations ``1/sqrt(D)`` of the cosine of two
        random vectors, > 0.
    streak
        Rounds without news in a row that flag a party, >= 1.
    clear_after
        Rounds without a new hit after which a flag is cleared, >= 1.
    least_params
        Below this number of parameters the third audit is off (its threshold would be too wide).
    standard_error
        Largest standard error of a cosine, under declared noise, at which it is still tested.

    Raises
    ------
    ConfigError
        For a value out of its range.
    """

    echo: float = 0.999
    clones: float = 0.98
    echo_hint: float = 0.3
    width: float = 3.0
    streak: int = 5
    clear_after: int = 10
    least_params: int = 1000
    standard_error: float = 0.1

    def __post_init__(self) -> None:
        in_range("audit echo threshold", self.echo, 0, 1, left_open=True)
        in_range("audit clones threshold", self.clones, 0, 1, left_open=True)
        in_range("audit echo hint", self.echo_hint, 0, 1)
        positive("audit width", self.width)
        positive_int("audit streak", self.streak)
        positive_int("clear_after", self.clear_after)
        positive_int("audit least_params", self.least_params)
        positive("audit standard error", self.standard_error)
