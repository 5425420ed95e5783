"""Names of strategies and impossible combinations, told with the line and the nearest name."""

import pytest

from equigrad.errors import ConfigError
from equigrad.federation.config.check import check_config
from equigrad.federation.config.loader import parse_config
from equigrad.federation.config.parties import (
    automatic_names,
    listed_names,
    partition_rule,
    refuse_unknown_parties,
)
from equigrad.federation.config.schema import DataConfig, PartitionConfig, PartyConfig, RunConfig

BASE = '[data]\nname = "digits"\n'
THREE = BASE + "[partition]\nparties = 3\n"
OWN = '[data]\npath = "x.csv"\nlabel = "y"\n'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('method = "cgvs"\n' + THREE, 1, "Did you mean 'cgsv'?"),
        ('[data]\nname = "Digit"\n[partition]\nparties = 2\n', 2, "Did you mean 'digits'?"),
        (BASE + 'options = { standardize = true }\n[partition]\nparties = 2\n', 3,
         "Did you mean 'standardise'?"),
        (THREE + 'rule = "powerlaw"\n', 5, "Did you mean 'power-law'?"),
        (THREE + 'rule = "dirichlet"\noptions = { alfa = 1 }\n', 6, "alpha"),
        (THREE + 'rule = "dirichlet"\noptions = { alhpa = 1 }\n', 6,
         "among alpha, min_records, pool; got 'alhpa'. Did you mean 'alpha'?"),
        (THREE + 'rule = "dirichlet"\noptions = { alpha = "x" }\n', 6, "got alpha='x'"),
        (THREE + '[[party]]\nname = "party-1"\n[[party]]\nname = "party-1"\n', 8,
         "Expected every party once, got 'party-1' twice."),
        (THREE + "options = { n_parties = 3 }\n", 5, "Move it."),
        (THREE + '[model]\nfactory = "mpl"\n', 6, "Did you mean 'mlp'?"),
        (THREE + '[model]\nfactory = "no.such.module:thing"\n', 6, "no.such.module"),
        (THREE + '[model]\nfactory = "math:nothing"\n', 6, "'nothing'"),
        (THREE + "[model]\noptions = { hiden = [3] }\n", 6, "Did you mean 'hidden'?"),
        (THREE + "[model]\noptions = { hidden = [0] }\n", 6,
         "Expected model.options.hidden to be a whole number >= 1, got hidden=0."),
        (THREE + '[model]\n[model.options]\nhidden = "a"\n', 7,
         "Expected model.options.hidden to be a list of whole numbers"),
        (THREE + '[model]\nfactory = "cnn"\noptions = { channels = [0] }\n', 7,
         "model.options.channels"),
        (THREE + '[model]\nfactory = "text-cnn"\noptions = { dropout = "x" }\n', 7,
         "Expected model.options.dropout to be a number"),
        (THREE + '[model]\noptions = { activation = "rely" }\n', 6,
         "Expected model.options.activation to be one of elu"),
        (THREE + '[training]\noptimizer = "sgd"\n', 6, "Did you mean 'SGD'?"),
        (THREE + "[training]\noptions = { momentun = 0.9 }\n", 6, "Did you mean 'momentum'?"),
        (THREE + '[rewards]\nmask = "flatt"\n', 6, "Did you mean 'flat'?"),
        (THREE + '[rewards]\ncontribution = "cgsv_exact"\n', 6, "Did you mean 'cgsv-exact'?"),
        (THREE + "[rewards]\nfloor = 0.1\n", 5, "set mixing = 'paper'"),
        (THREE + '[rewards]\nbounding = "none"\ngamma = 1\n', 5, "set bounding = 'clip'"),
        (THREE + '[[party]]\nname = "party-1"\nbehaviour = "ecko"\n', 7, "Did you mean 'echo'?"),
        (THREE + '[[party]]\nname = "party-1"\nbehaviour = "clones"\noptions = { grop = "x" }\n',
         8, "Did you mean 'group'?"),
        (THREE + '[[party]]\nname = "party-1"\njoin = 30\n', 7, "Expected join below rounds = 30"),
        (THREE + '[[party]]\nname = "party-1"\nupload_noise = 0.1\n', 7, 'got "auto"'),
        (THREE + '[engine]\ndevice = "warp"\n', 6, 'such as "cpu"'),
        (THREE + '[engine]\ndevice = "cuda:99"\n', 6, 'Use "cpu".'),
        (THREE + '[[party]]\nname = "party-4"\n', 6, "Did you mean 'party-3'?"),
        (THREE + '[[party]]\nname = "north"\n', 6, "List all 3 parties to name them."),
        (BASE, None, "neither partition.parties nor a list of [[party]]"),
        (THREE + 'rule = "files"\n', 4, "the data decides"),
        (BASE + '[partition]\nrule = "files"\n', 4, "got a data set by name"),
        (THREE.replace("[partition]", 'label = "y"\n[partition]'), 3, "only with your own files"),
        (OWN + 'party_column = "p"\n[partition]\nparties = 2\n', 5, 'rule = "column"'),
        (OWN + "options = { tset = 1 }\n[partition]\nparties = 2\n", 4, "Did you mean 'test'?"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_line(text, line, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.toml")
    problems = [p for p in str(caught.value).splitlines() if message in p]
    assert len(problems) == 1, str(caught.value)
    assert problems[0].startswith(f"f.toml, line {line}:" if line else "f.toml:")


def test_exact_values_stop_at_24_parties():
    text = BASE + '[partition]\nparties = {}\n[rewards]\ncontribution = "cgsv-exact"\n'
    parse_config(text.format(24))
    with pytest.raises(ConfigError, match=r"line 6: Expected at most 24 parties .* got 25\."):
        parse_config(text.format(25), "f.toml")
    parse_config(text.format(25).replace("cgsv-exact", "auto"))


def test_the_reserved_name_is_refused():
    with pytest.raises(ConfigError, match="coordinator"):
        parse_config(BASE + '[[party]]\nname = "coordinator"\n[[party]]\nname = "x"\n')


def test_all_problems_are_told_at_once():
    text = 'method = "x"\n' + THREE + '[model]\nfactory = "y"\n[training]\noptimizer = "z"\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.toml")
    assert len(str(caught.value).splitlines()) == 3


def test_a_configuration_made_in_python_is_checked_as_well():
    config = RunConfig(
        data=DataConfig(name="digits"), partition=PartitionConfig(parties=2), method="none-such"
    )
    with pytest.raises(ConfigError, match=r"^configuration: Expected method to be a method \("):
        check_config(config)
    check_config(config.model_copy(update={"method": "cgsv"}))


def names(text):
    return listed_names(parse_config(text))


def listing(*parties):
    return "".join(f'[[party]]\nname = "{party}"\n' for party in parties)


def test_who_takes_part():
    assert automatic_names(3) == ("party-1", "party-2", "party-3")
    assert automatic_names(10)[0] == "party-01"
    assert names(THREE) == automatic_names(3)
    assert names(BASE + listing("b", "a")) == ("b", "a")
    assert names(THREE + listing("c", "b", "a")) == ("c", "b", "a")
    assert names(THREE + listing("party-2")) == automatic_names(3)
    assert names(THREE + listing("party-3", "party-1", "party-2")) == automatic_names(3)
    assert names(OWN + '[partition]\nrule = "files"\n') is None
    assert names(OWN + 'party_column = "p"\n[partition]\nrule = "column"\n') is None


def test_the_rule_gets_its_number_of_parties_and_its_column():
    rule = partition_rule(parse_config(THREE + 'rule = "dirichlet"\noptions = { alpha = 0.5 }\n'))
    assert (rule.n_parties, rule.alpha) == (3, 0.5)
    rule = partition_rule(parse_config(BASE + listing("a", "b")))
    assert rule.n_parties == 2
    text = OWN + 'party_column = "p"\n[partition]\nrule = "column"\n'
    assert partition_rule(parse_config(text)).column == "party"


def test_parties_that_the_data_lack_are_refused():
    config = RunConfig(data=DataConfig(name="digits"), party=[PartyConfig(name="west")])
    refuse_unknown_parties(config, ("west", "east"))
    with pytest.raises(ConfigError, match=r"got 'west'\. Did you mean 'weste'\?"):
        refuse_unknown_parties(config, ("weste", "x"))
    with pytest.raises(ConfigError, match="There are x, y"):
        refuse_unknown_parties(config, ("x", "y"))
