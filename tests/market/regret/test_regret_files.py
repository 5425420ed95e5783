import argparse
import io
import os

import pytest
import torch
from net_worlds import bidders, net

from equigrad.errors import CheckpointError
from equigrad.market.regret import load_reference, regret_from_bytes, regret_to_bytes


def test_a_file_gives_the_same_mechanism_and_the_same_bytes():
    mechanism = net("m-regret", architecture="equivariant")
    content = regret_to_bytes(mechanism, dim=98, notes={"seed": "0"})
    found, notes = regret_from_bytes(content, variant="m-regret", parties=10, levels=4, dim=98)
    assert notes == {"seed": "0"}
    assert regret_to_bytes(found, dim=98, notes=notes) == content
    who = bidders(2)
    truth = who.truth(4)
    a, b = (m.outcome(truth, who.budget) for m in (mechanism, found))
    assert torch.equal(a.chance, b.chance)
    assert torch.equal(a.payments, b.payments)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("parties", 9, "Clear 10 bids, or train"),
        ("levels", 8, "Ask for 4 levels, or train"),
        ("dim", 1, "Ask for dim 98, or train"),
        ("variant", "dm-regret", "Clear with 'm-regret', or train"),
        ("local", "l2-sphere", "add noise by 'laplace', or train"),
    ],
)
def test_a_net_for_another_market_is_refused(name, value, remedy):
    content = regret_to_bytes(net("m-regret"), dim=98, notes={})
    with pytest.raises(CheckpointError, match=f"{name}={value!r}.*{remedy}"):
        regret_from_bytes(content, **{name: value})


def test_broken_files_are_refused():
    content = regret_to_bytes(net(), dim=1, notes={})
    for broken in (b"", content[:100], content.replace(b"regret net 1", b"regret net 7")):
        with pytest.raises(CheckpointError, match="safetensors file"):
            regret_from_bytes(broken)
    spoilt = net()
    with torch.no_grad():
        spoilt.net.payment[0].bias[0] = torch.nan
    with pytest.raises(CheckpointError, match="finite"):
        regret_from_bytes(regret_to_bytes(spoilt, dim=1, notes={}))


def checkpoint(mechanism, *, prefix="module.", activation="deterministic", extra=None):
    """A file laid out as the reference's: arch, state_dict with a prefix, args as a Namespace."""
    weights = {}
    for head in ("allocation", "payment"):
        for name, tensor in getattr(mechanism.net, head).state_dict().items():
            weights[f"{prefix}{head}_head.{name}"] = tensor
    arch = {
        "n_agents": mechanism.parties,
        "n_items": mechanism.levels,
        "a_activation": activation,
        "separate": True,
    }
    content = {"name": "x", "arch": arch, "state_dict": weights}
    content["args"] = argparse.Namespace(n_agents=mechanism.parties) if extra is None else extra
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_a_reference_checkpoint_loads(prefix):
    mechanism = net(levels=8, mode="reference")
    found = load_reference(checkpoint(mechanism, prefix=prefix))
    assert (found.variant, found.mode, found.levels) == ("dm-regret", "reference", 8)
    who = bidders(3)
    a, b = (m.outcome(who.truth(8), who.budget) for m in (mechanism, found))
    assert torch.equal(a.chance, b.chance)
    assert torch.equal(a.payments, b.payments)


def test_activation_and_levels_name_the_variant():
    assert load_reference(checkpoint(net("m-regret"), activation="softmax")).variant == "m-regret"
    assert load_reference(checkpoint(net("regret"), activation="softmax")).variant == "regret"
    assert load_reference(checkpoint(net()), variant="m-regret").variant == "m-regret"


class _Runs:
    def __reduce__(self):
        return os.putenv, ("EQUIGRAD_TEST_RAN", "1")


def test_a_checkpoint_with_code_is_refused_and_does_not_run():
    content = checkpoint(net(), extra=_Runs())
    with pytest.raises(CheckpointError, match="plain values"):
        load_reference(content)
    assert "EQUIGRAD_TEST_RAN" not in os.environ


def test_the_list_of_allowed_classes_is_left_as_it_was():
    before = set(torch.serialization.get_safe_globals())  # PyTorch lists a set, in any order
    load_reference(checkpoint(net()))
    assert set(torch.serialization.get_safe_globals()) == before


def test_other_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match="checkpoint of FL-Market"):
        load_reference(b"no file")
    mechanism = net()
    mechanism.levels = 5  # the arch says so, the weights do not
    with pytest.raises(CheckpointError, match="allocation head"):
        load_reference(checkpoint(mechanism))
