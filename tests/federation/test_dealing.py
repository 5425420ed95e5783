"""Who holds which records: named, spoiled where the run file says so, the same every time."""

import numpy as np
import pandas as pd
import pytest

from equigrad.errors import ConfigError, DataError
from equigrad.federation.config.loader import parse_config
from equigrad.federation.dealing import deal, load_split

BASE = """\
seed = 4
[data]
name = "digits"
records = 300
test_records = 50
[partition]
rule = "power-law"
"""
FOUR = "".join(f'[[party]]\nname = "{name}"\n' for name in ("west", "east", "north", "south"))


def same(a, b):
    return np.array_equal(a.features, b.features) and np.array_equal(a.labels, b.labels)


def test_deals_by_name_and_the_same_every_time():
    config = parse_config(BASE + FOUR)
    first, second = deal(config), deal(config)
    assert list(first.parties) == ["west", "east", "north", "south"]
    sizes = [len(data) for data in first.parties.values()]
    assert sizes == sorted(sizes)
    assert sum(sizes) == 300
    assert len(first.test) == 50
    assert all(same(first.parties[p], second.parties[p]) for p in first.parties)
    other = deal(parse_config(BASE + FOUR, overrides=["seed=5"]))
    assert not same(first.test, other.test)


def test_spoils_the_listed_party_and_nobody_else():
    plain = deal(parse_config(BASE + FOUR))
    noisy = deal(parse_config(BASE + FOUR, overrides=["party.north.label_noise=0.5"]))
    for name in ("west", "east", "south"):
        assert same(plain.parties[name], noisy.parties[name])
    before, after = plain.parties["north"], noisy.parties["north"]
    wrong = (before.labels != after.labels).sum()
    assert wrong == np.floor(len(before) * 0.5 + 0.5)
    assert np.array_equal(before.features, after.features)
    blurred = deal(parse_config(BASE + FOUR, overrides=["party.north.feature_noise=0.1"]))
    assert not np.array_equal(before.features, blurred.parties["north"].features)
    copied = deal(parse_config(BASE + FOUR, overrides=["party.north.duplicates=0.5"]))
    rows = copied.parties["north"].features.reshape(len(before), -1)
    assert len(np.unique(rows, axis=0)) < len(before)


def test_too_many_records_are_refused():
    config = parse_config(BASE + FOUR, overrides=["data.test_records=9999"])
    with pytest.raises(ConfigError, match=r"data\.test_records of at most 3\d\d .* got 9999"):
        load_split(config.data, config.seed)


def table(rows, seed):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.normal(50, 9, rows),
            "dose": generator.normal(1, 0.3, rows),
            "died": generator.integers(0, 2, rows),
        }
    )


@pytest.fixture
def hospitals(tmp_path):
    """One file with a column of hospitals, and one folder with a file for each."""
    frames = {"St. Anna / West": table(40, 1), "north": table(60, 2)}
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, frame in zip(("anna", "north"), frames.values(), strict=True):
        frame.to_csv(folder / f"{name}.csv", index=False)
    whole = pd.concat([f.assign(hospital=name) for name, f in frames.items()])
    whole.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


def own(path, extra="", rule="files", rest=""):
    return parse_config(
        f'[data]\npath = "{path}"\nlabel = "died"\n{extra}\n[partition]\nrule = "{rule}"\n{rest}'
    )


def test_a_folder_with_a_file_for_each_party(hospitals):
    dealt = deal(own(hospitals / "folder"))
    assert list(dealt.parties) == ["anna", "north"]
    assert len(dealt.parties["north"]) > len(dealt.parties["anna"])
    with pytest.raises(ConfigError, match=r"got 'nort'\. Did you mean 'north'"):
        deal(own(hospitals / "folder", rest='[[party]]\nname = "nort"\n'))


def test_a_column_of_parties_whose_names_are_made_fit_for_files(hospitals):
    dealt = deal(own(hospitals / "all.csv", 'party_column = "hospital"', "column"))
    assert list(dealt.parties) == ["St.-Anna-West", "north"]
    assert any("'St. Anna / West' is called 'St.-Anna-West'" in note for note in dealt.notes)
    assert dealt.test.feature_names == ("age", "dose")


def test_parties_whose_names_would_be_the_same(hospitals):
    frame = pd.concat([table(20, 1).assign(hospital="a b"), table(20, 2).assign(hospital="a/b")])
    frame.to_csv(hospitals / "twins.csv", index=False)
    with pytest.raises(DataError, match="names that differ in letters"):
        deal(own(hospitals / "twins.csv", 'party_column = "hospital"', "column"))


def test_one_file_dealt_at_random_and_a_test_file(hospitals):
    table(30, 3).to_csv(hospitals / "test.csv", index=False)
    table(90, 4).to_csv(hospitals / "train.csv", index=False)
    extra = f'options = {{ test = "{hospitals / "test.csv"}" }}'
    dealt = deal(own(hospitals / "train.csv", extra, "uniform", "parties = 3\n"))
    assert [len(data) for data in dealt.parties.values()] == [30, 30, 30]
    assert len(dealt.test) == 30
