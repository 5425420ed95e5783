"""Thresholds of the audits; the defaults carry the margins that were measured."""

from dataclasses import dataclass

from equigrad._validate import in_range, positive, positive_int

__all__ = ["AuditSettings"]


@dataclass(frozen=True)
class AuditSettings:
    """When an audit speaks; all cosines are those of uploads as they arrived, noise included.

    Attributes
    ----------
    echo
        Cosine of an upload with its party's last reward from which one round is enough to call
        it an echo, in (0, 1]. The default asks for a copy, up to rounding. Honest parties come
        near it where steps are small and many records agree: 0.967 on scikit-learn's digits and
        0.984 on Adult were measured. An echo with noise in it has no news and is found by the
        third audit.
    clones
        Cosine of two uploads from which they are clones, in (0, 1]. Again a copy: two honest
        parties with a third of Adult each reached 0.997 in round 0, with a third of the Dutch
        census 0.9992.
    alike
        Cosine from which two parties do not vouch for one another in the third audit, in (0, 1]:
        several names that send nearly the same noise would otherwise agree with each other.
    replay
        Cosine of an upload with an own earlier one, the model having moved in between, from which
        it is a replay, in (0, 1]. Again a copy.
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

    Raises
    ------
    ConfigError
        For a value out of its range.
    """

    echo: float = 1 - 1e-6
    clones: float = 1 - 1e-6
    alike: float = 0.98
    replay: float = 1 - 1e-6
    echo_hint: float = 0.3
    width: float = 3.0
    streak: int = 5
    clear_after: int = 10
    least_params: int = 1000

    def __post_init__(self) -> None:
        in_range("audit echo threshold", self.echo, 0, 1, left_open=True)
        in_range("audit clones threshold", self.clones, 0, 1, left_open=True)
        in_range("audit likeness", self.alike, 0, 1, left_open=True)
        in_range("audit replay threshold", self.replay, 0, 1, left_open=True)
        in_range("audit echo hint", self.echo_hint, 0, 1)
        positive("audit width", self.width)
        positive_int("audit streak", self.streak)
        positive_int("clear_after", self.clear_after)
        positive_int("audit least_params", self.least_params)
