"""Named tables read from files, each described by its columns."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from equigrad.data.dataset import Split
from equigrad.data.files import DataFile
from equigrad.data.info import DataSource, Request, SetInfo, add
from equigrad.data.manifest import FILES
from equigrad.data.split import train_test_indices
from equigrad.data.table import TableSpec, class_numbers, table_split
from equigrad.errors import ConfigError, DataError

__all__ = ["TableSet", "read_csv"]


def read_csv(path: Path, *, text: Collection[str] = ()) -> pd.DataFrame:
    """Return a CSV file (``.gz`` or plain) as a frame; only an empty cell counts as missing.

    Columns named in ``text`` are read as they are spelt: ``007`` stays.

    Raises
    ------
    DataError
        If the file cannot be read as UTF-8 CSV with a header row.
    """
    try:
        return pd.read_csv(
            path,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            dtype=dict.fromkeys(text, str),
        )
    except (OSError, EOFError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(
            f"Expected a UTF-8 CSV file with a header row at {path}, got: {error}. "
            "Check the file, or fetch it again."
        ) from error


@dataclass(frozen=True)
class TableSet(DataSource):
    """A table in one file, split by seed, or in two files, training and test.

    Options: ``sensitive_features`` (True): whether sensitive columns are features too;
    ``standardise`` (True); ``drop``: feature columns to leave out besides those that the set
    leaves out by default; ``undrop``: of those, columns to take back in.
    """

    options: ClassVar[tuple[str, ...]] = ("sensitive_features", "standardise", "drop", "undrop")
    info: SetInfo
    files: tuple[DataFile, ...]
    spec: TableSpec

    def load(self, request: Request) -> Split:
        """Read, filter, split and prepare."""
        fraction = self.checked_fraction(request)
        frames = [read_csv(request.store.get(file, self.info.name)) for file in self.files]
        if self.spec.prepare is not None:
            frames = [self.spec.prepare(frame) for frame in frames]
        spec = self._spec(frames[0], request)
        train, test = frames if len(frames) == 2 else self._divide(frames[0], fraction, request)
        return table_split(
            self.info.name,
            spec,
            train,
            test,
            sensitive_features=bool(request.options.get("sensitive_features", True)),
            standardise=bool(request.options.get("standardise", True)),
            notes=self.info.notes,
        )

    def _spec(self, frame: pd.DataFrame, request: Request) -> TableSpec:
        """Return the spec with the request's ``drop`` and ``undrop`` worked in."""
        more = tuple(request.options.get("drop", ()))
        back = tuple(request.options.get("undrop", ()))
        unknown = sorted(set(more) - set(self.spec.feature_columns(frame, sensitive=True)))
        unknown += sorted(set(back) - set(self.spec.drop))
        if unknown:
            raise ConfigError(
                f"Expected drop to name feature columns and undrop some of "
                f"{', '.join(self.spec.drop) or '(none)'}, got {', '.join(unknown)} for the set "
                f"{self.info.name!r}. Correct the names."
            )
        dropped = tuple(c for c in (*self.spec.drop, *more) if c not in back)
        return replace(self.spec, drop=dropped)

    def _divide(
        self, frame: pd.DataFrame, fraction: float, request: Request
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        classes = self.spec.task == "classification"
        labels = (
            class_numbers(frame[self.spec.label], self.spec.classes, self.info.name)
            if classes
            else np.zeros(len(frame))
        )
        train, test = train_test_indices(labels, fraction, request.generator, stratify=classes)
        return frame.iloc[train], frame.iloc[test]


def _binary_attack(frame: pd.DataFrame) -> pd.DataFrame:
    """Name every attack "attack": most attack names of the test part never occur in training."""
    attack = np.where(frame["attack"].astype(str) == "normal", "normal", "attack")
    return frame.assign(attack=attack)


def _propublica(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the 6,172 records of ProPublica's own analysis."""
    days = frame["days_b_screening_arrest"]
    kept = days.between(-30, 30) & (frame["is_recid"] != -1)
    kept &= (frame["c_charge_degree"] != "O") & (frame["score_text"] != "N/A")
    return frame[kept].reset_index(drop=True)


def _add(
    name: str,
    paths: tuple[str, ...],
    spec: TableSpec,
    size: tuple[int, int],
    source: tuple[str, str],
    *notes: str,
) -> None:
    """Register a table: ``size`` is (records, features), ``source`` is (origin, licence)."""
    info = SetInfo(
        name,
        spec.task,
        "table",
        *size,
        spec.classes,
        *source,
        sensitive=spec.sensitive,
        files=paths,
        official_split=len(paths) == 2,
        notes=notes,
    )
    add(TableSet(info, tuple(FILES[path] for path in paths), spec))


_add(
    "adult",
    ("adult/adult_train.csv.gz", "adult/adult_test.csv.gz"),
    TableSpec("income", classes=("<=50K", ">50K"), sensitive=("sex", "race")),
    (48_842, 14),
    ("UCI, Adult (Kohavi and Becker 1996)", "CC BY 4.0"),
    "Missing categories stay '?' as published.",
)
_add(
    "dutch_census",
    ("dutch_census/dutch_census_2001.csv.gz",),
    TableSpec(
        "occupation",
        classes=("0", "1"),
        categorical=(
            "age",
            "household_position",
            "household_size",
            "prev_residence_place",
            "citizenship",
            "country_birth",
            "edu_level",
            "economic_status",
            "cur_eco_activity",
            "marital_status",
        ),
        sensitive=("sex",),
    ),
    (60_420, 11),
    ("Statistics Netherlands, virtual census 2001 (IPUMS)", "none stated; research use"),
    "All columns are category codes; occupation 1 is read as high-level.",
)
_add(
    "bank_marketing",
    ("bank_marketing/bank_full.csv.gz",),
    TableSpec("y", classes=("no", "yes"), sensitive=("age", "marital"), drop=("duration",)),
    (45_211, 16),
    ("UCI, Bank Marketing (Moro, Cortez and Rita 2014)", "CC BY 4.0"),
    "duration is dropped: it is known only after the call and gives the label away.",
)
_add(
    "nsl_kdd",
    ("nsl_kdd/kddtrain_20percent.csv.gz", "nsl_kdd/kddtest.csv.gz"),
    TableSpec(
        "attack",
        classes=("normal", "attack"),
        drop=("difficulty",),
        prepare=_binary_attack,
    ),
    (47_736, 41),
    ("NSL-KDD (Tavallaee et al. 2009)", "free for research with citation (UNB CIC)"),
    "The official 20 % training file with the full official test file; all attacks are one class.",
)
_add(
    "compas",
    ("compas/compas_two_years.csv.gz",),
    TableSpec(
        "two_year_recid",
        classes=("0", "1"),
        features=(
            "age",
            "sex",
            "race",
            "juv_fel_count",
            "juv_misd_count",
            "juv_other_count",
            "priors_count",
            "c_charge_degree",
        ),
        sensitive=("race", "sex"),
        prepare=_propublica,
    ),
    (6_172, 8),
    ("ProPublica, COMPAS analysis 2016", "none stated; public records"),
    "Filtered as in ProPublica's analysis (6,172 of 7,214 records).",
    "Scores and everything recorded after the screening are no features: they give the label away.",
)
_add(
    "qsar_biodeg",
    ("qsar_biodeg/biodeg.csv.gz",),
    TableSpec("class", classes=("NRB", "RB")),
    (1_055, 41),
    ("UCI, QSAR biodegradation (Mansouri et al. 2013)", "CC BY 4.0"),
)
_add(
    "boston_housing",
    ("boston_housing/boston_housing.csv.gz",),
    TableSpec("MEDV", "regression"),
    (506, 13),
    ("StatLib (Harrison and Rubinfeld 1978)", "public"),
    "Column B is ethically contested: for comparison with papers only.",
)
_add(
    "california_housing",
    ("california_housing/california_housing.csv.gz",),
    TableSpec("median_house_value", "regression"),
    (20_640, 9),
    ("StatLib (Pace and Barry 1997)", "public"),
    "207 empty values of total_bedrooms are imputed by the training part's median.",
)
