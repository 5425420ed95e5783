"""Bounds and declared noise on the way out."""

import pytest
import torch
from party_cases import agent, spec, stream
from scipy import stats

from equigrad.errors import ConfigError
from equigrad.federation.config.presets import resolve
from equigrad.federation.config.schema import AuditConfig, RewardsConfig
from equigrad.federation.messages import TrainRequest
from equigrad.federation.party import bounded, noised

DISTRIBUTIONS = {"gaussian": stats.norm(scale=0.3), "laplace": stats.laplace(scale=0.3 / 2**0.5)}


def test_a_zero_update_stays_zero_under_every_bound():
    for bounding in ("clip", "rescale", "rescale-eps"):
        assert not bounded(torch.zeros(3), bounding, 1.0).any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_left_to_the_coordinator_to_refuse(bad):
    update = torch.tensor([1.0, bad])
    assert bounded(update, "clip", 1.0) is update


def test_a_bound_without_a_norm_is_refused():
    with pytest.raises(ConfigError, match="Expected gamma with bounding='clip'"):
        bounded(torch.ones(2), "clip", None)
    update = torch.ones(2)
    assert bounded(update, "none", None) is update


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_noise_has_the_distribution_that_is_declared(kind):
    noise = noised(torch.zeros(20_000), kind, 0.3, stream())
    assert float(noise.double().std()) == pytest.approx(0.3, rel=0.03)
    assert stats.kstest(noise.double().numpy(), DISTRIBUTIONS[kind].cdf).pvalue > 0.01
    other = "laplace" if kind == "gaussian" else "gaussian"
    assert stats.kstest(noise.double().numpy(), DISTRIBUTIONS[other].cdf).pvalue < 1e-6


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_noise_is_added_entry_by_entry_and_by_the_generator_alone(kind):
    upload = torch.linspace(-1, 1, 50)
    before = upload.clone()
    first, again = (noised(upload, kind, 0.1, stream(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert torch.equal(upload, before)
    assert len((first - upload).unique()) > 45
    assert not torch.equal(first, noised(upload, kind, 0.1, stream(2)))


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_the_agent_declares_its_noise_and_holds_what_it_bounded(kind):
    request = TrainRequest(round=2, gamma=0.01, hold="upload")
    quiet, loud = agent(), agent(upload_noise=0.3, noise_kind=kind)
    _, plain = quiet.handle(quiet.initial_state(), request)
    state, reply = loud.handle(loud.initial_state(), request)
    assert plain.noise == {}
    assert reply.noise == {"kind": kind, "variance": pytest.approx(0.09)}
    assert torch.equal(state.held, plain.upload)
    assert 0.1 < float((reply.upload - plain.upload).std()) < 0.6
    _, later = loud.handle(loud.initial_state(), TrainRequest(round=3, gamma=0.01))
    assert not torch.equal(later.upload - plain.upload, reply.upload - plain.upload)


def test_noise_with_an_automatic_bound_is_refused_before_the_run():
    automatic = resolve(RewardsConfig(gamma="auto"), AuditConfig(), "digits")
    fixed = resolve(RewardsConfig(gamma=0.5), AuditConfig(), "digits")
    spec().check(automatic)
    particulars = spec(upload_noise=0.1)
    particulars.check(fixed)
    with pytest.raises(ConfigError, match="Set gamma"):
        particulars.check(automatic)


@pytest.mark.parametrize(
    ("behaviour", "options", "message"),
    [
        ("ecko", {}, "Did you mean 'echo'"),
        ("label-flip", {}, "below the number of classes"),
        ("clones", {"group": 1}, "group to be a name"),
    ],
)
def test_a_behaviour_that_does_not_fit_is_refused_before_the_run(behaviour, options, message):
    settings = resolve(RewardsConfig(gamma=0.5), AuditConfig(), "digits")
    with pytest.raises(ConfigError, match=message):
        spec(behaviour=behaviour, options=options).check(settings)
