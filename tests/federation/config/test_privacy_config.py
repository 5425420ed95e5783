"""The table [privacy] of a run file: every mistake in it is told with its line and a remedy."""

import pytest

from equigrad.errors import ConfigError
from equigrad.federation.config.loader import dump_config, parse_config, restore_config

BASE = '[data]\nname = "digits"\n[partition]\nparties = 3\n'
PRIVATE = BASE + '[privacy]\nunit = "record"\nepsilon = 2\ndelta = 1e-5\n'
SOUND = PRIVATE + "options = { clip = 1.0 }\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (BASE + '[privacy]\nunit = "record"\n', 5, "Expected epsilon and delta with unit"),
        (BASE + '[privacy]\nunit = "recrd"\n', 6, "privacy.unit"),
        (BASE + "[privacy]\nepsilon = 1\n", 5, 'Expected unit = "record" beside epsilon'),
        (PRIVATE.replace("= 2", "= 0"), 7, "Expected privacy.epsilon to be a number > 0"),
        (PRIVATE.replace("1e-5", "1"), 8, "Expected privacy.delta to be a number < 1"),
        (PRIVATE, 5, "Expected the settings clip of the clipping rule 'flat', got none."),
        (SOUND + 'rule = "flatt"\n', 10, "Did you mean 'flat'?"),
        (PRIVATE + "options = { clp = 1.0 }\n", 9, "Did you mean 'clip'?"),
        (PRIVATE + "options = { clip = -1.0 }\n", 9, "Expected clip"),
        (SOUND + 'rule = "group-adaptive"\n', 10, "Expected privacy.groups"),
        (SOUND + 'groups = "label"\n', 10, "which knows no groups"),
        (SOUND + 'accountant = "prv"\n', 10, '"pld" or "rdp"'),
        (SOUND + "noise_multiplier = 1.0\n", 10, "Expected evaluation.standalone = false"),
        (SOUND + '[training]\noptimizer = "LBFGS"\n', 11, "one gradient a step"),
        (SOUND + '[[party]]\nname = "party-1"\nupload_noise = 0.1\n[rewards]\ngamma = 1\n', 12,
         "carry noise already"),
        (BASE + '[[party]]\nname = "party-1"\nepsilon = 1\n', 7,
         'Expected privacy.unit = "record"'),
        (SOUND + "epsilonn = 3\n", 10, "Did you mean `epsilon`?"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.toml")
    problems = [p for p in str(caught.value).splitlines() if message in p]
    assert len(problems) == 1, str(caught.value)
    assert problems[0].startswith(f"f.toml, line {line}:"), problems[0]


def test_settings_that_break_the_bound_are_refused() -> None:
    text = PRIVATE + 'rule = "global-adapt"\n'
    parse_config(text + "options = { clip = 1.0 }\n")
    with pytest.raises(ConfigError, match="for comparison with other code only"):
        parse_config(text + 'options = { clip = 1.0, divide_by = "batch" }\n')


def test_a_sound_table_is_frozen_and_restored() -> None:
    config = parse_config(SOUND + '[[party]]\nname = "party-2"\nepsilon = 0.5\n')
    assert config.privacy.private
    assert config.party[0].epsilon == 0.5
    assert restore_config(dump_config(config)) == config


def test_a_run_is_not_private_unless_it_says_so() -> None:
    config = parse_config(BASE)
    assert not config.privacy.private
    assert restore_config(dump_config(config)) == config
