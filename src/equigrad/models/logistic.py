"""``logistic``: one linear layer, that is logistic (or, for regression, linear) regression."""

from torch import nn

from equigrad.errors import ModelError
from equigrad.models.base import MODELS, ModelInput

__all__ = ["logistic"]


@MODELS.register("logistic")
def logistic(model_input: ModelInput, /, *, bias: bool = True) -> nn.Module:
    """Return a linear model of the flattened record.

    Parameters
    ----------
    model_input
        Real-valued records of any shape.
    bias
        Whether each output has an intercept.
    """
    refuse_text("logistic", model_input)
    return nn.Sequential(nn.Flatten(), nn.Linear(model_input.size, model_input.outputs, bias=bias))


def refuse_text(name: str, model_input: ModelInput) -> None:
    """Raise ``ModelError`` if records are token ids, which are names and not quantities."""
    if model_input.vocabulary:
        raise ModelError(
            f"Expected real-valued records for the model {name!r}, got token ids. Use 'text-cnn'."
        )
