"""Settings of a training: what is refused, what comes back from TOML."""

import pytest

from equigrad.errors import ConfigError
from equigrad.steward.config import dump_toml, parse_settings, restore_settings

GOOD = """\
[data]
name = "digits"
[privacy]
epsilon = 3.0
delta = 1e-5
"""


def test_settings_come_back_from_toml_and_json(tmp_path):
    options = {
        "privacy.options": {"clip": 0.5, "threshold": 20.0},
        "model.options": {"hidden": [8, 4], "activation": "tanh"},
        "data.drop": ["ü\"'\n"],
        "fairness.sensitive": "label",
        "privacy.account": "account.sqlite",
    }
    settings = parse_settings(GOOD, options=options, overrides=["seed=7"], folder=tmp_path)
    assert settings.privacy.account == str(tmp_path / "account.sqlite")
    assert parse_settings(dump_toml(settings)) == settings
    assert restore_settings(settings.model_dump()) == settings


def test_relative_paths_start_at_the_folder(tmp_path):
    text = GOOD.replace('name = "digits"', 'path = "a.csv"\nlabel = "y"\ntest = "b.csv"')
    settings = parse_settings(text, folder=tmp_path)
    assert settings.data.path == str(tmp_path / "a.csv")
    assert settings.data.test == str(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["privacy.epsilon=0"], "Expected privacy.epsilon to be a number > 0, got 0"),
        (["privacy.epsilon=-1.0"], "Expected privacy.epsilon to be a number > 0"),
        (["privacy.delta=1.0"], "Expected privacy.delta to be a number < 1"),
        (["privacy.delta=0.0"], "Expected privacy.delta to be a number > 0"),
        (["privacy.epsilonn=1"], "Did you mean `epsilon`?"),
        (["privacy.lr=1.0"], "It belongs in [training]."),
        (["data.path=x.csv"], "either `name` or `path`, got both"),
        (["data.label=y"], "`label` with an own file only"),
        (["training.steps=5", "training.epochs=2.0"], "either `epochs` or `steps`, got both"),
        (["fairness.diagnostics=5"], "expected `sensitive` beside `diagnostics`"),
        (["fairness.paired_lr=0.5"], "expected `paired` beside `paired_lr`"),
        (["fairness.sensitive=a", 'fairness.pair=["b"]'], "two different groups in `pair`"),
        (["privacy.noise=none"], 'to be "secret" or "seeded"'),
        (["seed"], "Expected --set KEY=VALUE"),
        (["seed.x=1"], "Expected seed to be a whole number"),
        (["training.lr=inf"], "Expected training.lr to be a finite number"),
    ],
)
def test_a_mistake_is_one_clear_message(overrides, message):
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD, overrides=overrides)
    assert message.lower() in str(caught.value).lower()


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"Expected privacy, got nothing. Add a table"):
        parse_settings('[data]\nname = "digits"\n')
    with pytest.raises(ConfigError, match=r"Expected privacy.delta, got nothing"):
        parse_settings(options={"data.name": "digits", "privacy.epsilon": 1.0})
    with pytest.raises(ConfigError, match="`label`"):
        parse_settings(GOOD.replace('name = "digits"', 'path = "x.csv"'))


def test_an_option_may_not_lead_through_a_value():
    with pytest.raises(ConfigError, match="Expected a table"):
        parse_settings("privacy = 1", options={"privacy.epsilon": 1.0})
