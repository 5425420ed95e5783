"""``equigrad auction`` with schedules and regret nets: which serve, which do not, what draws."""

import json
import unicodedata

import pytest
import torch

from equigrad.market.learned import shipped_schedule
from equigrad.market.regret import RegretMechanism, regret_to_bytes

BIDS = "party,size,eps_cap,kind,factor\n" + "".join(
    f"p{i},{30 + 20 * i},1.2,linear,0.{5 + i}\n" for i in range(5)
)
NETS = ("regret", "m-regret", "dm-regret")


def net(variant, parties=5, local="laplace", dim=1):
    levels = 1 if variant == "regret" else 4
    made = RegretMechanism(variant, parties, levels, generator=torch.Generator().manual_seed(3))
    return regret_to_bytes(made, dim=dim, notes={}, local=local)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids.csv").write_text(BIDS)
    (tmp_path / "schedule").write_bytes(shipped_schedule("laplace", 1).to_bytes())
    for variant in NETS:
        (tmp_path / variant).write_bytes(net(variant))
    (tmp_path / "seven").write_bytes(net("dm-regret", parties=7))
    (tmp_path / "sphere").write_bytes(net("dm-regret", local="l2-sphere"))
    (tmp_path / "dim98").write_bytes(net("dm-regret", dim=98))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "half").write_bytes(net("dm-regret")[:500])
    deep = json.dumps({"__metadata__": {"equigrad": "[" * 100_000}}).encode()
    (tmp_path / "deep").write_bytes(len(deep).to_bytes(8, "little") + deep)
    return tmp_path


def clear(equigrad, *arguments):
    return equigrad("auction", "bids.csv", "--budget", "150", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "regret"], "--schedule FILE for regret"),
        (["-m", "dm-regret"], "equigrad auction train dm-regret"),
        (["-m", "m-regret", "--schedule", "dm-regret"], "Clear with --mechanism dm-regret"),
        (["-m", "regret", "--schedule", "m-regret"], "Clear with --mechanism m-regret"),
        (["-m", "dm-regret", "--schedule", "schedule"], "Clear with --mechanism learned-clock"),
        (["-m", "learned-clock", "--schedule", "regret"], "Clear with --mechanism regret"),
        (["-m", "clock", "--schedule", "schedule"], "name its mechanism, or add --compare"),
        (["-m", "dm-regret", "--schedule", "seven"], "Expected 7 bids, for which the network"),
        (["-m", "dm-regret", "--schedule", "seven"], "train dm-regret --parties 5"),
        (["-m", "dm-regret", "--schedule", "sphere"], "add noise by 'l2-sphere'"),
        (["-m", "dm-regret", "--schedule", "dim98"], "Ask for dim 98"),
        (["-m", "dm-regret", "--schedule", "dm-regret", "--dim", "3"], "Ask for dim 1"),
        (["-m", "dm-regret", "--schedule", "dm-regret", "--local", "l2-sphere"], "'laplace'"),
        (["-m", "dm-regret", "--schedule", "dm-regret", "--delta", "1e-6"], "no delta"),
        (["-m", "dm-regret", "--schedule", "dm-regret", "--form", "truthful"], "all-in only"),
        (["-m", "dm-regret", "--schedule", "no/such"], "Check the path"),
        (["-m", "dm-regret", "--schedule", "."], "Check the path"),
        (["-m", "dm-regret", "--schedule", "empty"], "neither a schedule"),
        (["-m", "dm-regret", "--schedule", "half"], "neither a schedule"),
        (["-m", "dm-regret", "--schedule", "deep"], "neither a schedule"),
        (["-m", "learned-clock", "--schedule", "bids.csv"], "neither a schedule"),
        (["-m", "learned-clock", "--schedule", "schedule", "--dim", "2"], "dim=2"),
        (["-m", "learned-clock", "--schedule", "schedule", "--eps-max", "3"], "eps_max=2.0"),
        (["-m", "learned-clock", "--schedule", "schedule", "--local", "l2-sphere"], "l2-sphere"),
        (["-m", "learned-clock", "--dim", "2"], "train learned-clock"),
        (["-m", "learned-clock", "--eps-max", "3"], "eps_max=2.0"),
        (["-m", "learned-clock", "--quality-exponent", "2"], "Leave them out"),
        (["-m", "learned-clock", "--delta", "1e-6"], "no delta"),
        (["-m", "learned-clock", "--local", "gaussian"], "give --delta"),
        (["--compare", "--schedule", "half"], "neither a schedule"),
        (["--seed", "-1"], "seed=-1"),
        (["-m", "regret", "--schedule", "regret", "--seed", "-1"], "seed=-1"),
    ],
)
def test_what_was_trained_for_something_else_ends_with_code_2(equigrad, here, arguments, message):
    done = clear(equigrad, *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err


@pytest.mark.parametrize("variant", NETS)
def test_draws_are_from_the_seed_or_from_the_bids(equigrad, here, variant):
    arguments = ("-m", variant, "--schedule", variant, "--json", "out.json")

    def cleared(*more):
        done = clear(equigrad, *arguments, *more)
        assert done.code == 0, done.err
        return done.out, json.loads((here / "out.json").read_text())

    (plain, first), (_, again), (seeded, other) = cleared(), cleared(), cleared("--seed", 4)
    assert first["digest"] == again["digest"]
    if variant == "dm-regret":
        assert first["public_seed"] is None
        assert other["digest"] == first["digest"]
        assert "drawn from" not in plain + seeded
    else:
        assert first["public_seed"] == first["bids"]
        assert other["public_seed"] != first["public_seed"]
        assert other["digest"] != first["digest"]
        assert "drawn from the digest of the bids" in plain
        assert "drawn from seed 4" in seeded
        drawn = {str(cleared("--seed", seed)[1]["parties"]) for seed in range(8)}
        assert len(drawn) > 1


@pytest.mark.parametrize(
    ("mechanism", "given"),
    [
        ("clock", None),
        ("clock", "schedule"),
        *(("clock", variant) for variant in NETS),
        ("learned-clock", None),
        ("learned-clock", "schedule"),
        ("dm-regret", "dm-regret"),
    ],
)
def test_comparison_has_every_auction(equigrad, here, mechanism, given):
    file = () if given is None else ("--schedule", given)
    done = clear(equigrad, "-m", mechanism, *file, "--compare", "--json", "out.json")
    assert done.code == 0, done.err
    found = json.loads((here / "out.json").read_text())["compare"]
    wanted = ["clock", "learned-clock", "all-in", "all-in", "fair-query"]
    wanted += [given] if given in NETS else []
    assert [label.split()[0] for label in found] == wanted
    assert not any(isinstance(result, str) for result in found.values()), found
    assert len({result["bids"] for result in found.values()}) == 1


def test_a_net_for_other_rounds_is_a_line_of_the_comparison(equigrad, here):
    done = clear(equigrad, "--compare", "--schedule", "seven")
    assert done.code == 0, done.err
    assert "refused: Expected 7 bids" in done.out


def test_names_are_one_name_in_unicode_s_normal_form(equigrad, here):
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    assert composed != apart
    heading, *rows = BIDS.splitlines()
    one, two = (
        row.replace(f"p{i}", name)
        for i, row, name in zip((0, 1), rows, (composed, apart), strict=False)
    )
    (here / "bids.csv").write_text("\n".join([heading, one, rows[2]]), encoding="utf-8")
    plain = clear(equigrad, "--misreport", apart, "--reports", 2)
    assert plain.code == 0, plain.err
    (here / "bids.csv").write_text("\n".join([heading, two, rows[2]]), encoding="utf-8")
    assert composed in clear(equigrad).out
    (here / "bids.csv").write_text("\n".join([heading, one, two]), encoding="utf-8")
    done = clear(equigrad)
    assert (done.code, done.out) == (2, "")
    assert "row 2, column party" in done.err
    assert "normal form" in done.err
