"""The configuration that a run folder was begun with."""

from pydantic import ValidationError

from equigrad.errors import RecordError
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.record.folder import RunFolder

__all__ = ["frozen_config"]


def frozen_config(place: RunFolder) -> RunConfig:
    """Return the frozen configuration of a run folder.

    Raises
    ------
    RecordError
        If it cannot be read, or holds what this version of Equigrad does not know.
    """
    try:
        return RunConfig.model_validate(place.read_config())
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RecordError(
            f"Expected a configuration that this version of Equigrad knows at {place.config_json}, "
            f"got another (at {where or 'the top'}: {error.errors()[0]['msg']}). It was changed, or "
            "written by another version: use that one."
        ) from error
