"""``text-cnn``: convolutions over word embeddings, the largest response of each kept (Kim 2014)."""

from collections.abc import Sequence

import torch
from torch import nn

from equigrad._validate import in_range, positive_int, positive_ints
from equigrad.errors import ModelError
from equigrad.models.base import MODELS, ModelInput

__all__ = ["TextCNN", "text_cnn"]


class TextCNN(nn.Module):
    """Maps token ids ``(n, length) int64`` to ``(n, outputs) float32``; see :func:`text_cnn`."""

    def __init__(
        self,
        vocabulary: int,
        outputs: int,
        *,
        embedding: int,
        kernels: int,
        widths: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, kernels, w) for w in widths)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(kernels * len(widths), outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return class scores ``(n, outputs)``."""
        words = self.embedding(tokens).transpose(1, 2)
        strongest = [torch.relu(conv(words)).amax(dim=2) for conv in self.convolutions]
        scores: torch.Tensor = self.classifier(self.dropout(torch.cat(strongest, dim=1)))
        return scores


@MODELS.register("text-cnn")
def text_cnn(
    model_input: ModelInput,
    /,
    *,
    embedding: int = 64,
    kernels: int = 64,
    widths: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
) -> nn.Module:
    """Return a text CNN whose word embeddings are trained from scratch.

    The paper's network is ``embedding=300, kernels=128, widths=[3, 3, 3], dropout=0.5``. Token 0 is
    the padding: its embedding is zero and stays so.

    Parameters
    ----------
    model_input
        Texts ``(length,)`` of token ids below ``vocabulary``.
    embedding
        Numbers that stand for a word.
    kernels
        Convolutions of each width.
    widths
        Words that a convolution sees at a time.
    dropout
        Probability in [0, 1) of leaving a response out during training.

    Raises
    ------
    ModelError
        If records are no texts, or shorter than the widest convolution.
    """
    if not model_input.vocabulary or len(model_input.shape) != 1:
        raise ModelError(
            "Expected token ids (length,) for the model 'text-cnn', got real-valued records of "
            f"shape {model_input.shape}. Use 'mlp' for tables, 'cnn' for images."
        )
    widths = positive_ints("widths", widths)
    if not widths or max(widths) > model_input.shape[0]:
        raise ModelError(
            f"Expected widths between 1 and the text length {model_input.shape[0]}, got "
            f"{widths}. Use narrower convolutions or longer texts."
        )
    return TextCNN(
        model_input.vocabulary,
        model_input.outputs,
        embedding=positive_int("embedding", embedding),
        kernels=positive_int("kernels", kernels),
        widths=widths,
        dropout=in_range("dropout", dropout, 0, 1, right_open=True),
    )
