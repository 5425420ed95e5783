"""Prices under several relations, in one composition, and what the composition speaks of."""

import dataclasses
import json

import dp_accounting as dpa
import pytest
from dp_accounting.pld import PLDAccountant, common, privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.account.chain import Entry, first_link
from equigrad.privacy.accounting import (
    ADD_OR_REMOVE_ONE,
    REPLACE_ONE,
    Accountant,
    PrivacyEvent,
    delta_of,
    epsilon,
    privacy_statement,
    pure_release,
    relation_of,
    top_k_release,
)
from equigrad.privacy.accounting.accountant import COARSE

ADDED = PrivacyEvent(noise_multiplier=7.15, sampling_rate=0.1, steps=300)
REPLACED = dataclasses.replace(ADDED, neighbouring=REPLACE_ONE)
CUT = {"max_logical_batch": 110, "dataset_size": 1000}
DELTA = 1e-5

# As versions before these fields wrote them, with the hashes of their entries.
OLD = (
    '{"counts": [], "dataset_size": null, "effective_noise_multiplier": 5.0, "label": "score", '
    '"max_logical_batch": null, "mechanism": "laplace", "neighbouring": "add-or-remove-one", '
    '"noise_coordinates": 0, "noise_form": "unstated", "noise_multiplier": 5.0, '
    '"public_batch_size": null, "rule": null, "sampling_rate": 1.0, "seeded": false, '
    '"settings": {}, "steps": 1}',
    '{"counts": [[0.5, 10.0]], "dataset_size": null, '
    '"effective_noise_multiplier": 1.2475657231036106, "label": "training", '
    '"max_logical_batch": null, "mechanism": "gaussian", "neighbouring": "add-or-remove-one", '
    '"noise_coordinates": 12, "noise_form": "rounded", "noise_multiplier": 1.25, '
    '"public_batch_size": 64.0, "rule": "flat", "sampling_rate": 0.0625, "seeded": false, '
    '"settings": {"clip": 1.0}, "steps": 40}',
)
OLD_CHAIN = (
    "587bc0054cde9a32c4df3dff79d824c3984c4ca0148e2e49635d5eba58e0a6fa",
    "b5f63f8a04e55fc9c54bba13831139d2262b8fed09a61e549ec122bd65f47000",
)


def test_the_measured_prices_of_dp_accounting():
    assert epsilon([ADDED], DELTA) == pytest.approx(0.912, abs=5e-4)
    assert epsilon([REPLACED], DELTA) == pytest.approx(1.923, abs=5e-4)


@pytest.mark.parametrize(
    ("relation", "known"),
    [
        (ADD_OR_REMOVE_ONE, dpa.NeighboringRelation.ADD_OR_REMOVE_ONE),
        (REPLACE_ONE, dpa.NeighboringRelation.REPLACE_ONE),
    ],
)
def test_under_one_relation_it_is_dp_accountings_accountant(relation, known):
    events = [
        PrivacyEvent(noise_multiplier=1.1, sampling_rate=0.05, steps=40, neighbouring=relation),
        PrivacyEvent(noise_multiplier=6.0, steps=3, neighbouring=relation),
        PrivacyEvent(
            noise_multiplier=2.0, sampling_rate=0.1, steps=4, neighbouring=relation, **CUT
        ),
    ]
    if relation == ADD_OR_REMOVE_ONE:
        events.append(PrivacyEvent(noise_multiplier=9.0, mechanism="laplace", sampling_rate=0.3))
    oracle = PLDAccountant(known, COARSE)
    for event in events:
        oracle.compose(event.dp_event())
    ours = Accountant(events, discretization=COARSE)
    assert ours.epsilon(DELTA) == oracle.get_epsilon(DELTA)
    assert ours.delta(1.0) == oracle.get_delta(1.0)


def test_relations_compose_as_distributions():
    """The oracle composes dp-accounting's distributions by hand."""
    width = {"value_discretization_interval": COARSE}
    by_hand = (
        privacy_loss_distribution.from_gaussian_mechanism(7.15, sampling_prob=0.1, **width)
        .self_compose(300)
        .compose(
            privacy_loss_distribution.from_gaussian_mechanism(
                7.15,
                sampling_prob=0.1,
                neighboring_relation=dpa.NeighboringRelation.REPLACE_ONE,
                **width,
            ).self_compose(300)
        )
        .compose(
            privacy_loss_distribution.from_privacy_parameters(
                common.DifferentialPrivacyParameters(0.2, 0.0), **width
            )
        )
    )
    chosen = pure_release("quantile", epsilon=0.2)
    got = epsilon([ADDED, REPLACED, chosen], DELTA, discretization=COARSE)
    assert got == pytest.approx(by_hand.get_epsilon_for_delta(DELTA), rel=1e-9)
    grown = Accountant([ADDED], discretization=COARSE).with_event(REPLACED).with_event(chosen)
    assert grown.epsilon(DELTA) == pytest.approx(got, rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    sigma=st.floats(0.6, 6.0),
    q=st.one_of(st.floats(0.01, 0.5), st.just(1.0)),
    steps=st.integers(1, 60),
    cut=st.booleans(),
    eps=st.floats(0.01, 3.0),
)
def test_a_replacement_costs_at_least_an_addition(sigma, q, steps, cut, eps):
    """So its price may stand in a statement about records added or removed."""
    more = {"max_logical_batch": 55, "dataset_size": 100} if cut and q < 1 else {}
    event = PrivacyEvent(noise_multiplier=sigma, sampling_rate=q, steps=steps, **more)
    replaced = dataclasses.replace(event, neighbouring=REPLACE_ONE)
    less, greater = (delta_of([e], eps, discretization=COARSE) for e in (event, replaced))
    assert greater >= less * (1 - 1e-6) - 1e-12


def test_hard_to_bound_replacements_are_still_priced_by_their_distribution():
    """A rough bound that ignores sampling would give thousands here."""
    long = PrivacyEvent(
        noise_multiplier=1.0, sampling_rate=0.01, steps=3000, neighbouring=REPLACE_ONE
    )
    one = dataclasses.replace(long, neighbouring=ADD_OR_REMOVE_ONE)
    price, less = (epsilon([e], DELTA, discretization=COARSE) for e in (long, one))
    assert less < price < 3 * less


@pytest.mark.parametrize(
    "event", [REPLACED, dataclasses.replace(ADDED, group_size=2)], ids=["replaced", "group"]
)
def test_rdp_refuses_and_says_what_to_use(event):
    with pytest.raises(PrivacyError, match="Use accountant='pld'"):
        epsilon([event], DELTA, accountant="rdp")
    with pytest.raises(PrivacyError, match="Use accountant='pld'"):
        Accountant([ADDED], accountant="rdp").with_event(event)
    assert epsilon([event.with_steps(0)], DELTA, accountant="rdp") == 0.0


def test_the_composition_speaks_of_the_weaker_relation():
    group = dataclasses.replace(REPLACED, group_size=2)
    assert relation_of([]) == ADD_OR_REMOVE_ONE
    assert relation_of([ADDED]) == ADD_OR_REMOVE_ONE
    assert relation_of([REPLACED]) == REPLACE_ONE
    assert relation_of([REPLACED, ADDED]) == ADD_OR_REMOVE_ONE
    assert relation_of([REPLACED, ADDED.with_steps(0)]) == REPLACE_ONE
    assert relation_of([REPLACED, group]) == ADD_OR_REMOVE_ONE
    pure = pure_release("index", epsilon=0.5, neighbouring=REPLACE_ONE)
    assert relation_of([REPLACED, pure]) == REPLACE_ONE


def test_a_mixed_statement_names_each_price():
    statement = privacy_statement([ADDED, REPLACED], DELTA, discretization=COARSE)
    assert statement.neighbouring == ADD_OR_REMOVE_ONE
    assert [("one row replaced" in text) for text in statement.releases] == [False, True]
    alone = privacy_statement([REPLACED], DELTA, discretization=COARSE)
    assert "Neighbouring data sets: replace one record" in alone.lines()
    grouped = dataclasses.replace(ADDED, group_size=3)
    assert "group of 3 rows" in privacy_statement([grouped], DELTA).releases[0]


def test_released_values_are_spoken_of_instead_of_a_model():
    scores = PrivacyEvent(noise_multiplier=2.0, released="scores", sensitivity=1.5, label="loss")
    chosen = top_k_release(5, 0.1, sensitivity=2.0)
    mean = PrivacyEvent(noise_multiplier=9.0, released="mean")
    statement = privacy_statement([scores, chosen, mean], DELTA)
    text = "\n".join(statement.covered)
    assert "released scores" in text
    assert "index set" in text
    assert "the released mean" in text
    assert "model" not in text
    assert statement.releases[0] == (
        "loss: scores, 1 x gaussian noise, multiplier 2, sampling rate 1, sensitivity 1.5"
    )
    assert "pure mechanism of epsilon 0.1, bounded range" in statement.releases[1]
    both = privacy_statement([scores, ADDED], DELTA, discretization=COARSE)
    assert both.covered[0].startswith("the released model")
    assert any("released scores" in line for line in both.covered)


@pytest.mark.parametrize(
    "event",
    [
        dataclasses.replace(REPLACED, group_size=3, released="model"),
        top_k_release(7, 0.3, sensitivity=2.0, label="kept"),
        pure_release("quantile", epsilon=0.7, neighbouring=REPLACE_ONE),
    ],
)
def test_new_events_are_read_back_as_written(event):
    assert PrivacyEvent.from_json(json.loads(json.dumps(event.to_json()))) == event


def test_older_records_and_chains_stay_as_they_are():
    """Same text, same hash, same price, whatever fields came later."""
    events = [PrivacyEvent.from_json(json.loads(text)) for text in OLD]
    assert [json.dumps(event.to_json(), sort_keys=True) for event in events] == list(OLD)
    chain = first_link("clinic", 1.0, 1e-5, "pld")
    first = Entry.link(chain, 1, "release", event=events[0], label="score")
    second = Entry.link(first.chain, 2, "begin", run="r", event=events[1], label="training")
    assert (first.chain.hex(), second.chain.hex()) == OLD_CHAIN
    assert Entry.read(first.chain, second.row()) == second
    oracle = PLDAccountant(dpa.NeighboringRelation.ADD_OR_REMOVE_ONE, 1e-4)
    bare = [dataclasses.replace(event, noise_coordinates=0) for event in events]
    for event in bare:
        oracle.compose(event.dp_event())
    assert epsilon(bare, DELTA) == oracle.get_epsilon(DELTA)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"group_size": 0}, "group_size"),
        ({"group_size": 1.5}, "group_size"),
        ({"sensitivity": 0.0}, "sensitivity"),
        ({"released": 3}, "released"),
        ({"epsilon": 1.0}, "mechanism='pure'"),
        ({"bounded_range": True}, "mechanism='pure'"),
        ({"mechanism": "pure"}, "epsilon"),
        ({"mechanism": "laplace", "neighbouring": REPLACE_ONE}, "Laplace"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
    ],
)
def test_impossible_combinations_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        dataclasses.replace(PrivacyEvent(noise_multiplier=2.0), **change)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"epsilon": -0.5}, "epsilon"),
        ({"noise_multiplier": 1.0}, "noise_multiplier"),
        ({"sampling_rate": 0.5}, "sampling_rate"),
        ({"counts": ((1.0, 1.0),)}, "counts"),
    ],
)
def test_impossible_pure_mechanisms_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        PrivacyEvent(**{"mechanism": "pure", "epsilon": 0.5} | change)
