"""One round's audits, in their order: echo, clones, nothing new; then flags and the next state.

Pure: inner products and the state in, a report and the next state out. What a flag leads to
(exclusion, merging, a line in the report) is for the federation to decide.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int, square_matrix
from equigrad.contribution.audit.clones import clone_groups, pair_cosines
from equigrad.contribution.audit.echo import echo_cosines
from equigrad.contribution.audit.flags import AuditState, Flag, FlagKind
from equigrad.contribution.audit.hidden import hidden_echoes, hidden_pairs
from equigrad.contribution.audit.nothing_new import news
from equigrad.contribution.audit.report import AuditReport
from equigrad.contribution.audit.settings import AuditSettings
from equigrad.contribution.noise import Noise

__all__ = ["check"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def check(
    C: npt.ArrayLike,
    H: npt.ArrayLike | None,
    V: npt.ArrayLike | None,
    state: AuditState,
    settings: AuditSettings | None = None,
    *,
    parties: Sequence[str],
    round_index: int,
    n_params: int,
    noise: Noise | None = None,
    repeat: npt.ArrayLike | None = None,
) -> tuple[AuditReport, AuditState]:
    """Audit one round.

    Parameters
    ----------
    C
        ``(n, n)`` inner products of the uploads as they arrived, those of parties excluded earlier
        included; never corrected for declared noise. Only then is each statistic the cosine of
        two vectors: a copy has 1, noise of one's own takes a party away from the others, and no
        estimate's error looks like a copy.
    H
        ``(n, n)``, ``h_ij = <u_j, vbar_i>``: upload j against party i's last non-zero reward.
        ``None``: nobody has had a reward.
    V
        ``(n,)``, ``||vbar_i||^2``, 0 for a party without a reward; its row of H is ignored.
    state
        Streaks and flags of the rounds before; not changed.
    settings
        Thresholds.
    parties
        The n parties' names, in the order of the arrays.
    round_index
        t, counted from 0. Echoes are looked for from round 1 on.
    n_params
        D, the length of the uploads.
    noise
        What the parties declared, after any scaling of their uploads. Changes no statistic and
        stays no flag of the first two audits; it tells whom they cannot clear, since a copy that
        carries noise of its own is no copy any more (``AuditReport.not_testable``). The third
        audit is not testable at all under noise.
    repeat
        ``(n,)``, each upload's largest cosine with an earlier upload of the same party, of rounds
        after which its model has moved; 0 for none. ``None``: not measured.

    Returns
    -------
    AuditReport, AuditState
        The findings and the state for the next round.

    Guarantee: deterministic; a permutation of the parties permutes the report. A flag needs a
    statistic beyond its threshold: echo, clones and replays one round, the third audit
    ``settings.streak`` testable rounds in a row. Derived here.

    Raises
    ------
    ValueError
        For arrays of the wrong shape or with NaN or inf in them.
    """
    settings = AuditSettings() if settings is None else settings
    names = tuple(parties)
    C, H, V = _checked(C, H, V, len(names))
    positive_int("n_params", n_params)
    noise = None if noise is None or noise.silent else noise

    echo = echo_cosines(C, H, V)
    echoes = (echo >= settings.echo) & (round_index >= 1)

    cosines = pair_cosines(C)
    groups = clone_groups(cosines >= settings.clones)
    clones = np.zeros(len(names), dtype=np.bool_)
    clones[[i for group in groups for i in group]] = True

    repeated = np.zeros(len(names)) if repeat is None else np.asarray(repeat, dtype=np.float64)
    if repeated.shape != (len(names),) or not np.isfinite(repeated).all():
        raise ValueError(f"Expected repeat of shape ({len(names)},), finite, got {repeated!r}.")
    replays = repeated >= settings.replay

    flagged = state.flagged()
    before = np.array([name in flagged for name in names], dtype=np.bool_)
    alike = cosines >= settings.alike
    alignment, new, testable = news(C, H, V, ~(before | echoes | clones | replays), alike)
    width = settings.width / float(np.sqrt(n_params))
    told = noise is None and n_params >= settings.least_params
    testable = testable & (told and _somebody_has_news(new[~before], width))
    echoing = echo >= settings.echo_hint
    nothing = (np.abs(new) <= width) & (echoing | (np.abs(alignment) <= width))
    streak = _streaks(state, names, nothing, testable)
    stale = testable & (streak >= settings.streak)

    clone = cosines.max(axis=1, initial=-1.0)
    table = np.stack([echo, clone, alignment, new, repeated], axis=1)
    hits = (
        *_hits("echo", echoes | (stale & echoing), names, round_index, table, streak),
        *_hits("clones", clones, names, round_index, table, streak),
        *_hits("random", stale & ~echoing, names, round_index, table, streak),
        *_hits("replay", replays, names, round_index, table, streak),
    )
    streaks = dict(zip(names, streak.tolist(), strict=True))
    following = state.after(hits, streaks, round_index, settings.clear_after)
    report = AuditReport(
        round_index=round_index,
        parties=names,
        echo=echo,
        clone=clone,
        alignment=alignment,
        news=new,
        repeat=repeated,
        streak=streak,
        groups=tuple(tuple(names[i] for i in group) for group in groups),
        hits=hits,
        flags=following.flags,
        not_testable={
            "echo": _named(names, hidden_echoes(C, noise, settings.echo)),
            "clones": _named(names, hidden_pairs(C, noise, settings.clones).any(axis=1)),
            "news": _named(names, ~testable),
        },
    )
    return report, following


def _hits(
    kind: FlagKind,
    where: Bool,
    names: tuple[str, ...],
    round_index: int,
    table: Float64,
    streak: Int64,
) -> list[Flag]:
    """Return a flag for each party of ``where``; ``table`` has one row of statistics a party."""
    return [
        Flag(
            party=names[i],
            kind=kind,
            since=round_index,
            last_hit=round_index,
            echo=float(table[i, 0]),
            clone=float(table[i, 1]),
            alignment=float(table[i, 2]),
            news=float(table[i, 3]),
            repeat=float(table[i, 4]),
            streak=int(streak[i]),
        )
        for i in np.flatnonzero(where)
    ]


def _checked(
    C: npt.ArrayLike, H: npt.ArrayLike | None, V: npt.ArrayLike | None, n: int
) -> tuple[Float64, Float64, Float64]:
    """Return C, H and V as finite arrays for n parties; rows of H without a reward are zero."""
    gram = square_matrix("the Gram matrix", C) if n else np.zeros((0, 0))
    squares = np.zeros(n) if V is None else np.asarray(V, dtype=np.float64)
    products = np.zeros((n, n)) if H is None else np.asarray(H, dtype=np.float64)
    if gram.shape != (n, n) or squares.shape != (n,) or products.shape != (n, n):
        raise ValueError(
            f"Expected C and H of shape ({n}, {n}) and V of shape ({n},), one row a party, got "
            f"{gram.shape}, {products.shape}, {squares.shape}."
        )
    if not (np.isfinite(squares).all() and np.isfinite(products).all() and (squares >= 0).all()):
        raise ValueError("Expected H finite and V finite and >= 0, got other values in them.")
    return gram, np.where(squares[:, None] > 0, products, 0.0), squares


def _somebody_has_news(news: Float64, width: float) -> bool:
    """Return whether at least half of the parties not flagged before bring anything new.

    Where hardly anybody does (all have converged, or two parties differ), silence proves nothing.
    """
    return bool(news.size) and float(np.mean(np.abs(news) > width)) >= 0.5


def _streaks(state: AuditState, names: tuple[str, ...], nothing: Bool, testable: Bool) -> Int64:
    """Return rounds without news in a row; a round that cannot be tested leaves them as they are.

    Otherwise a party could break its streak by uploading zeros every fifth round.
    """
    before = np.array([state.streaks.get(name, 0) for name in names], dtype=np.int64)
    return np.where(testable, np.where(nothing, before + 1, 0), before)


def _named(names: tuple[str, ...], where: npt.ArrayLike) -> tuple[str, ...]:
    return tuple(names[i] for i in np.flatnonzero(where))
