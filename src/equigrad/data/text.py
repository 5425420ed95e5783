"""Text sets read from files, as token ids of a fixed length."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.data.dataset import Dataset, Split
from equigrad.data.files import DataFile
from equigrad.data.info import DataSource, Request, SetInfo, add
from equigrad.data.manifest import FILES
from equigrad.data.split import train_test_indices
from equigrad.data.table import class_numbers
from equigrad.data.tables import read_csv

__all__ = ["PADDING", "UNKNOWN", "TextSet", "build_vocabulary", "token_ids"]

#: Token id 0 fills up short texts; id 1 stands for every word that training never showed.
PADDING, UNKNOWN = "<padding>", "<unknown>"


def build_vocabulary(texts: Sequence[str], *, min_count: int = 1) -> tuple[str, ...]:
    """Return the words of ``texts`` by falling count, then by spelling, after the special two.

    Words are what blanks separate; those with fewer than ``min_count`` occurrences are left out.
    """
    counts = Counter(word for text in texts for word in text.split())
    words = [w for w, c in sorted(counts.items(), key=lambda e: (-e[1], e[0])) if c >= min_count]
    return (PADDING, UNKNOWN, *words)


def token_ids(
    texts: Sequence[str], vocabulary: Sequence[str], length: int
) -> npt.NDArray[np.int64]:
    """Return ``(n, length) int64`` token ids; longer texts are cut, shorter ones padded behind."""
    number = {word: i for i, word in enumerate(vocabulary)}
    unknown = number[UNKNOWN]
    ids = np.full((len(texts), length), number[PADDING], dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        words = text.split()[:length]
        row[: len(words)] = [number.get(word, unknown) for word in words]
    return ids


@dataclass(frozen=True)
class TextSet(DataSource):
    """A table of ``label`` and ``text``, split by seed and stratified.

    Options: ``length`` (56): tokens per record; ``min_count`` (1): rarer words are unknown. The
    vocabulary is built from the training part alone.
    """

    options: ClassVar[tuple[str, ...]] = ("length", "min_count")
    info: SetInfo
    file: DataFile
    values: tuple[str, ...]

    def load(self, request: Request) -> Split:
        """Read, split, build the vocabulary and number the words."""
        length = positive_int("length", request.options.get("length", 56))
        min_count = positive_int("min_count", request.options.get("min_count", 1))
        frame = read_csv(request.store.get(self.file, self.info.name))
        labels = class_numbers(frame["label"], self.values, self.info.name)
        texts = frame["text"].astype(str).to_numpy(dtype=object)
        train, test = train_test_indices(
            labels, self.checked_fraction(request, 0.1), request.generator, stratify=True
        )
        vocabulary = build_vocabulary(list(texts[train]), min_count=min_count)

        def part(at: npt.NDArray[np.int64]) -> Dataset:
            return Dataset(
                self.info.name,
                "classification",
                "text",
                token_ids(list(texts[at]), vocabulary, length),
                labels[at],
                self.info.classes,
                vocabulary=vocabulary,
                notes=self.info.notes,
            )

        return Split(part(train), part(test))


add(
    TextSet(
        SetInfo(
            "movie_reviews",
            "classification",
            "text",
            10_662,
            0,
            ("negative", "positive"),
            "Pang and Lee 2005, sentence polarity",
            "none stated; research use",
            files=("movie_reviews/rt_polarity.csv.gz",),
            notes=("No official split; 10 % are held out by seed unless asked otherwise.",),
        ),
        FILES["movie_reviews/rt_polarity.csv.gz"],
        ("0", "1"),
    )
)
