"""Run files that are read, and those that are refused with one clear line for each mistake."""

import math
import tomllib

import pytest

from equigrad.errors import ConfigError
from equigrad.federation.config.loader import (
    dump_config,
    load_config,
    parse_config,
    read_text,
    restore_config,
)
from equigrad.federation.record.canonical import canonical_json

BASE = """\
[data]
name = "digits"
[partition]
parties = 3
"""


def refused(text, overrides=()):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "run.toml", overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_reads_a_file_and_fills_in_the_defaults(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("\ufeff" + BASE, encoding="utf-8")  # some editors begin with a byte-order mark
    config = load_config(file)
    assert config.data.name == "digits"
    assert (config.rounds, config.rewards.preset, config.training.lr) == (30, "robust", 0.1)


def test_own_files_are_taken_from_the_run_files_folder(tmp_path):
    text = '[data]\npath = "data/p.csv"\nlabel = "y"\noptions = { test = "data/t.csv" }\n'
    (tmp_path / "run.toml").write_text(text + "[partition]\nparties = 2\n")
    config = load_config(tmp_path / "run.toml")
    assert config.data.path == str(tmp_path / "data" / "p.csv")
    assert config.data.options["test"] == str(tmp_path / "data" / "t.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rouns = 3\n" + BASE, "run.toml, line 1: Expected a known key at the top level, got "
         "`rouns`. Did you mean `rounds`?"),
        (BASE + "[training]\nlearning_rate = 1.0\n", "line 6: Expected a known key in [training], "
         "got `learning_rate`. The keys here are optimizer, lr,"),
        (BASE + "lr = 0.1\n", "line 5: Expected a known key in [partition], got `lr`. It belongs "
         "in [training]."),
        (BASE + "[training]\nepoch = 1\n", "Did you mean `epochs`?"),
        ('rounds = "5"\n' + BASE, 'line 1: Expected rounds to be a whole number, got "5".'),
        ("rounds = 2.5\n" + BASE, "line 1: Expected rounds to be a whole number, got 2.5."),
        ("rounds = true\n" + BASE, "line 1: Expected rounds to be a whole number, got true."),
        ("rounds = 0\n" + BASE, "line 1: Expected rounds to be a number >= 1, got 0."),
        ("seed = 1979-05-27\n" + BASE, "got the date or time 1979-05-27."),
        (BASE + "[round]\nquorum = 1.5\n", "round.quorum to be a number <= 1, got 1.5."),
        (BASE + "[training]\nlr = nan\n", "training.lr to be a finite number, got nan."),
        (BASE + "[training]\nlr = [1, 2]\n", "training.lr to be a number, got a list of 2."),
        (BASE + "[rewards]\nbeta = nan\n", "rewards.beta to be a number > 0, got nan."),
        (BASE + "[rewards]\nalpha = 1.0\n", "rewards.alpha to be a number < 1, got 1.0."),
        (BASE + '[rewards]\ngamma = "aut"\n', 'rewards.gamma to be a number or "auto", got "aut".'),
        (BASE + "[rewards]\ngamma = -1\n", 'rewards.gamma to be a number > 0 or "auto", got -1.'),
        (BASE + '[rewards]\npreset = "robst"\n', '"robust", "paper" or "reference", got "robst".'),
        ('data = "digits"\n', 'line 1: Expected data to be a table [data], got "digits".'),
        ("rounds = 3\n", "run.toml: Expected data, got nothing. Add a table [data]."),
        ("[data]\n", "line 1: [data]: Expected either `name` or `path`, got neither."),
        ('[data]\npath = "x.csv"\n', "Expected `label` (the label's column) beside `path`"),
        (BASE + "[training]\nepochs = 1\nsteps = 2\n", "line 5: [training]: Expected either "
         "`epochs` or `steps`, got both."),
        ('party = "x"\n' + BASE, 'Expected party to be tables [[party]], got "x".'),
        (BASE + "[[party]]\njoin = 1\n", "line 5: Expected party[0].name, got nothing."),
        (BASE + '[[party]]\nname = "a b"\n', "Expected party.a b.name to be 1 to 64 letters"),
        (BASE + '[[party]]\nname = "n"\nlabel_noise = 2\n', "line 7: Expected party.n.label_noise "
         "to be a number <= 1, got 2."),
        (BASE + '[[party]]\nname = "n"\nbehavior = "echo"\n', "line 7: Expected a known key in "
         "[party.n], got `behavior`. Did you mean `behaviour`?"),
        (BASE + '[[party]]\nname = "n"\njoin = 3\nleave = 2\n', "Expected leave > join = 3"),
        (BASE + '[[party]]\nname = "n"\n[[party]]\nname = "n"\n', "once, got 'n' twice"),
        (BASE + "[model]\noptions = { hidden = [inf] }\n", "finite numbers, lists and tables"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(text, message):
    problem = refused(text)
    assert message in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rounds = \n", "line 1, column 10"),
        ("a = 1\nb = = 2\n", "line 2, column 5"),
        ('x = "open\n', "line 1, column 10"),
        ("[data\n", "line 1, column 6"),
        ("a = 1\na = 2\n", "line 2"),
    ],
)
def test_what_is_not_toml_is_told_with_line_and_column(text, place):
    assert f"run.toml, {place}" in refused(text)
    assert "Expected TOML" in refused(text)


def test_problems_come_in_the_order_of_the_file_and_ten_at_most():
    keys = "".join(f"wrong{i:02d} = {i}\n" for i in range(13))
    lines = refused(keys + BASE).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 3 more."
    assert [f"line {i + 1}:" in line for i, line in enumerate(lines[:10])] == [True] * 10


def test_settings_on_top_of_the_file():
    overrides = [
        "rounds=7",
        "training.lr = 0.5",
        "rewards.preset=paper",
        'name="x"',
        "party.party-2.label_noise=0.25",
        "party.0.join=1",
    ]
    text = BASE + '[[party]]\nname = "party-1"\n[[party]]\nname = "party-2"\n'
    config = parse_config(text, "run.toml", overrides)
    assert (config.rounds, config.training.lr, config.rewards.preset) == (7, 0.5, "paper")
    assert config.name == "x"
    assert [(p.join, p.label_noise) for p in config.party] == [(1, 0.0), (0, 0.25)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rounds", "Expected --set KEY=VALUE, got --set rounds."),
        ("=3", "Expected --set KEY=VALUE"),
        ("rounds=0", "--set rounds=0: Expected rounds to be a number >= 1, got 0."),
        ("traning.lr=1", "--set traning.lr=1: Expected a known key at the top level, got "
         "`traning`. Did you mean `training`?"),
        ("rounds.x=1", "Expected rounds to be a whole number"),
        ("data.name.x=1", "--set data.name.x=1: Expected a table before .x, got 'digits'."),
        ("party.party1.join=1", "got 'party1'. Did you mean 'party-1'?"),
        ("party.west.join=1", "--set party.west.join=1: Expected one of party-1, got 'west'."),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_by_its_option(option, message):
    assert message in refused(BASE + '[[party]]\nname = "party-1"\n', [option])


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"got no file .*equigrad init"):
        read_text(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"can be read, got .*: Is a directory"):
        read_text(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match="UTF-8 text, got byte 0xe9 at position 8"):
        read_text(tmp_path / "latin.toml")


def test_a_dumped_configuration_is_restored_exactly():
    text = BASE + "[rewards]\nbeta = inf\nnorm_cap = inf\n[model]\noptions = { hidden = [3, 4] }\n"
    config = parse_config(text)
    assert config.rewards.beta == math.inf
    dumped = dump_config(config)
    canonical_json(dumped)  # refuses what JSON lacks
    assert restore_config(dumped) == config
    with pytest.raises(ConfigError, match=r"config\.json: .*`x`"):
        restore_config({**dumped, "x": 1})


def test_every_key_has_a_description():
    def fields(model):
        for name, field in model.model_fields.items():
            yield name, field
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(part, "model_fields"):
                    yield from fields(part)

    from equigrad.federation.config.schema import RunConfig

    sections = {
        n for n, f in RunConfig.model_fields.items() if hasattr(f.annotation, "model_fields")
    }
    silent = [
        n for n, f in fields(RunConfig) if not f.description and n not in {*sections, "party"}
    ]
    assert silent == []


def test_the_template_of_init_is_a_valid_run_file():
    from importlib.resources import files

    text = files("equigrad.cli").joinpath("template.toml").read_text(encoding="utf-8")
    config = parse_config(text)
    assert config.partition.parties == 5
    assert tomllib.loads(text)["rewards"] == {"preset": "robust"}
