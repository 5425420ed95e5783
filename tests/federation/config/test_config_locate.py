"""Lines of keys in TOML texts, against texts whose lines are known by how they were made."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.federation.config.locate import key_lines, locate

ROOT = Path(__file__).parents[3]

TEXT = """\
# name = "not this one"
name = "a = 1 # still text"

[data]
name = 'digits'
"odd key" = 1
options = { a = 1, b = [ 2, 3 ] }

[training]
lr.first = 0.1
note = \"\"\"
[party]
quote \\" and ""\"\"\"
steps = [
  1,  # one
  2,
]

[[party]]
name = "north"
[party.options]
group = 'g'

[[party]]   # the second
name = "south"
options = { group = "h" }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("data",), 4),
        (("data", "name"), 5),
        (("data", "odd key"), 6),
        (("data", "options", "a"), 7),
        (("data", "options", "b", 1), 7),
        (("training", "lr"), 10),
        (("training", "lr", "first"), 10),
        (("training", "note"), 11),
        (("training", "steps", 0), 15),
        (("training", "steps", 1), 16),
        (("party",), 19),
        (("party", 0), 19),
        (("party", 0, "options"), 21),
        (("party", 0, "options", "group"), 22),
        (("party", 1), 24),
        (("party", 1, "name"), 25),
        (("party", 1, "options", "group"), 26),
    ],
)
def test_finds_the_line_of_a_key(path, line):
    assert locate(TEXT, path) == line


def test_a_missing_key_is_sent_to_the_table_around_it():
    assert locate(TEXT, ("training", "epochs")) == 9
    assert locate(TEXT, ("party", 1, "join")) == 24
    assert locate(TEXT, ("round",)) is None
    assert locate(TEXT, ()) is None


def test_escaped_keys_and_windows_line_ends():
    text = '"a\\u0062" = 1\r\n\r\n[x]\r\ny = 2\r\n'
    assert tomllib.loads(text)["ab"] == 1
    assert locate(text, ("ab",)) == 1
    assert locate(text, ("x", "y")) == 4


def paths(value, base=()):
    """All key paths of parsed TOML."""
    if base:
        yield base
    entries = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        entries = enumerate(value)
    for key, entry in entries:
        yield from paths(entry, (*base, key))


@pytest.mark.parametrize(
    "file",
    [ROOT / "pyproject.toml", *ROOT.glob("examples/*.toml"), *ROOT.glob("src/**/template.toml")],
    ids=lambda p: p.name,
)
def test_finds_every_key_of_real_files(file):
    text = file.read_text(encoding="utf-8")
    lines = key_lines(text)
    assert set(paths(tomllib.loads(text))) <= set(lines)


KEY = st.text("abcxyz-_09", min_size=1, max_size=5)
SCALAR = st.one_of(
    st.integers(-99, 99).map(str),
    st.sampled_from(['"a # b"', "'[x]'", '"\\""', "true", "1.5e3", "1979-05-27T07:32:00Z", '""']),
    st.just('"""two\nlines = 1"""'),
    st.just("'''\n]}'''"),
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n".join(items) + " ]"),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(KEY, st.dictionaries(KEY, VALUE, max_size=4), st.booleans()), max_size=5),
    st.lists(st.sampled_from(["", "# [comment] a = 1", "   "]), max_size=3),
)
def test_lines_agree_with_the_way_a_text_was_written(tables, filler):
    lines, expected, seen, text = 1, {}, {}, ""

    def write(piece):
        nonlocal text, lines
        text += piece + "\n"
        lines += piece.count("\n") + 1

    for name, entries, as_list in tables:
        if seen.get(name, as_list) != as_list or (not as_list and name in seen):
            continue
        seen[name] = as_list
        for piece in filler:
            write(piece)
        count = sum(1 for path in expected if len(path) == 2 and path[0] == name and as_list)
        base = (name, count) if as_list else (name,)
        expected[base] = lines
        write(f"[[{name}]]" if as_list else f"[ {name} ] # here")
        for key, value in entries.items():
            if as_list:
                key = f"k{key}"
            expected[(*base, key)] = lines
            write(f"{key} = {value}")
    data = tomllib.loads(text)
    found = key_lines(text)
    assert {path: found[path] for path in expected} == expected
    assert set(paths(data)) <= set(found)
