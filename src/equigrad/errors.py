"""The errors a user can meet, one root and few leaves.

Every message says what was expected, what was got and what to do. The command line prints the
message alone and ends with the error's ``exit_code``; a traceback always means a bug of ours.
"""

__all__ = [
    "AlignmentError",
    "BudgetExceededError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "EquigradError",
    "IdempotencyError",
    "ModelError",
    "NeedsError",
    "NonFiniteScoreError",
    "PrivacyError",
    "PrivacyViewError",
    "QuorumError",
    "RecordError",
    "RegistryError",
    "SettlementError",
    "StabilityError",
    "StoreError",
    "TaintedScoresError",
    "UploadError",
    "VerificationError",
]


class EquigradError(Exception):
    """Root of all errors that Equigrad raises on purpose.

    ``exit_code`` is the exit status of the command line: 2 for a mistake in the input, 1 for a
    sound request that failed (a check that did not hold, a run that could not go on).
    """

    exit_code: int = 2


class ConfigError(EquigradError, ValueError):
    """A setting is unknown, has the wrong type or an impossible value."""


class RegistryError(ConfigError):
    """A strategy name is unknown, or registered twice."""


class DataError(EquigradError, ValueError):
    """A data set cannot be read, or does not hold what was declared of it."""


class AlignmentError(DataError):
    """Parties' rows cannot be matched: identifiers repeat or are missing, or too few are common."""


class DownloadError(DataError):
    """A data file could not be fetched, or is not the file it should be."""


class ModelError(EquigradError, ValueError):
    """A model cannot be built, or cannot be trained under the run's rules."""


class PrivacyError(EquigradError, ValueError):
    """A privacy event, account or claim is impossible, damaged or not what it says it is."""


class BudgetExceededError(PrivacyError):
    """A release would cost more than the privacy account has left; nothing was released.

    Where the refusal knows them, ``spent`` is the epsilon of all that was charged or is reserved,
    ``asked`` that of the release alone, and ``left`` the limit minus ``spent``, at least 0. They
    need not add up: releases compose.
    """

    spent: float | None = None
    asked: float | None = None
    left: float | None = None


class PrivacyViewError(PrivacyError):
    """Scores were asked for without saying who may see them."""


class TaintedScoresError(PrivacyError):
    """Scores of a model trained without privacy were to leave their owner, or to choose records."""


class StabilityError(PrivacyError):
    """A selection could change by more records than its privacy claim allows for."""


class CheckpointError(ModelError):
    """Checkpoints are missing, too few, too early, or do not fit the model."""


class NeedsError(ConfigError):
    """A scorer was not given something it needs: labels, a validation set, learning rates."""


class NonFiniteScoreError(DataError):
    """Inputs, outputs, losses, gradients or scores of some records are NaN or infinite."""


class UploadError(EquigradError, ValueError):
    """An upload has the wrong length, dtype or content; its party is treated as absent."""


class RecordError(EquigradError):
    """A run folder is missing, incomplete or cannot be written."""


class VerificationError(EquigradError):
    """A record does not agree with itself: something was changed after the run."""

    exit_code = 1


class QuorumError(EquigradError):
    """Too few parties answered, too many rounds in a row; the run stopped and can be resumed."""

    exit_code = 1


class SettlementError(EquigradError):
    """The state of a market does not allow a command; nothing was changed."""

    exit_code = 1


class IdempotencyError(SettlementError):
    """A key that belongs to one command came with another; nothing was changed."""


class StoreError(SettlementError):
    """A market's database is missing, locked, damaged, or none of ours."""
