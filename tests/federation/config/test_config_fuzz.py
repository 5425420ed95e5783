"""Whatever a run file holds, it is read or refused with a message: nothing else ever happens."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.federation.config.loader import dump_config, parse_config, restore_config

TEXT = """\
name = "fuzz"
seed = 0
rounds = 5
method = "cgsv"
[data]
name = "digits"
records = 100
options = { standardise = true }
[partition]
rule = "power-law"
parties = 3
options = { exponent = 1.5 }
[model]
factory = "mlp"
options = { hidden = [4] }
[training]
optimizer = "SGD"
lr = 0.1
epochs = 1
options = { momentum = 0.5 }
[rewards]
preset = "robust"
gamma = "auto"
beta = 1.0
[audit]
action = "flag"
[round]
quorum = 0.5
[engine]
device = "cpu"
[[party]]
name = "party-1"
behaviour = "clones"
options = { group = "a" }
join = 1
leave = 3
"""
LINES = TEXT.splitlines()
VALUES = st.sampled_from(
    [
        "0", "-1", "1", "3", "1e400", "nan", "inf", "-inf", "0.5", "true", '""', '"x"', '"auto"',
        "[]", "[[]]", "[1, 'a']", "{}", "{ a = 1 }", "{ a = { b = [nan] } }", "1979-05-27",
        "07:32:00", '"""\n"""', "9223372036854775808", "0x10",
        "'math:sqrt'", "'os:path'", "'a:b:c'",
        '"cpu:-3"', '"party-1"', '"none"', '"cgsv-exact"', '"column"', '"files"', '"LBFGS"',
    ]
)  # fmt: skip
WRITTEN = sorted(set(re.findall(r"^(\w+) =", TEXT, re.MULTILINE)))
KEYS = st.sampled_from([*WRITTEN, "path", "label", "mask", "floor", "x"])
CHANGE = st.one_of(
    st.tuples(st.just("drop"), st.integers(0, len(LINES) - 1)),
    st.tuples(st.just("swap"), st.integers(0, len(LINES) - 2)),
    st.tuples(st.just("set"), st.integers(0, len(LINES) - 1), VALUES),
    st.tuples(st.just("add"), st.integers(0, len(LINES) - 1), KEYS, VALUES),
    st.tuples(st.just("text"), st.integers(0, len(TEXT) - 1), st.text(max_size=3)),
)


def changed(changes):
    lines = list(LINES)
    for kind, at, *rest in changes:
        at = min(at, len(lines) - 2)
        if kind == "drop":
            del lines[at]
        elif kind == "swap":
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        elif kind == "set" and "=" in lines[at]:
            lines[at] = f"{lines[at].split('=')[0]}= {rest[0]}"
        elif kind == "add":
            lines.insert(at, f"{rest[0]} = {rest[1]}")
        elif kind == "text":
            line = lines[at]
            lines[at] = line[: at % (len(line) + 1)] + rest[0] + line[at % (len(line) + 1) :]
    return "\n".join(lines)


def read(text, overrides=()):
    """Return the configuration and "", or None and the message of the refusal."""
    try:
        return parse_config(text, "f.toml", overrides), ""
    except ConfigError as error:
        return None, str(error)


@settings(max_examples=150, deadline=None)
@given(st.lists(CHANGE, min_size=1, max_size=4))
def test_a_run_file_is_read_or_refused_with_a_message(changes):
    config, message = read(changed(changes))
    if config is None:
        assert message.startswith("f.toml")
    else:
        assert restore_config(dump_config(config)) == config


@settings(max_examples=60, deadline=None)
@given(KEYS | st.sampled_from(["party.0", "party.party-1.join", "data", "rewards.beta"]), VALUES)
def test_a_setting_is_taken_or_refused_with_a_message(key, value):
    config, message = read(TEXT, [f"{key}={value}"])
    assert (config is None) == bool(message)
