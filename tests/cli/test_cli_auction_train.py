"""``equigrad auction train``: files, progress, Ctrl-C, and what it refuses."""

import os
import signal

import pytest

from equigrad.market.learned import Schedule
from equigrad.market.regret import regret_from_bytes

BIDS = "party,size,eps_cap,kind,factor\n" + "".join(
    f"p{i},{30 + 20 * i},1.2,linear,0.{5 + i}\n" for i in range(5)
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids.csv").write_text(BIDS)
    return tmp_path


def test_a_schedule_is_trained_told_and_used(equigrad, here):
    done = equigrad(
        "auction", "train", "--dim", 4, "--rounds", 2, "--seed", 5, "--parties", 5,
        "--validation", 1, "--out", "s.safetensors",
    )  # fmt: skip
    assert done.code == 0, done.err
    schedule = Schedule.from_bytes((here / "s.safetensors").read_bytes())
    assert (schedule.dim, schedule.notes["seed"], schedule.notes["steps"]) == (4, "5", "2")
    assert schedule.digest in done.out
    assert "100 %  choosing among 1 by exact clearing" in done.err
    used = equigrad(
        "auction", "bids.csv", "-b", "150", "-m", "learned-clock", "--dim", 4,
        "--trained", "s.safetensors", "--compare", "--misreport", "p1", "--reports", 3,
        "--plot", "o.svg",
    )  # fmt: skip
    assert used.code == 0, used.err
    assert f"learned-clock schedule={schedule.digest[:12]}..." in used.out
    assert "No lie of p1 pays; that is proved" in used.out


def test_the_shipped_schedule_needs_no_file_and_clear_may_be_said(equigrad, here):
    short = equigrad("auction", "bids.csv", "--budget", "150", "--mechanism", "learned-clock")
    said = equigrad("auction", "clear", "bids.csv", "-b", "150", "-m", "learned-clock")
    assert short.code == 0, short.err
    assert short.out == said.out
    helped = equigrad("auction", "--help")
    assert helped.code == 0
    assert "clear" in helped.out
    assert "train" in helped.out


def test_a_net_says_what_it_violates(equigrad, here):
    done = equigrad(
        "auction", "train", "dm-regret", "--parties", 5, "--levels", 2, "--minutes", 0.0005,
        "--validation", 2, "--quiet",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "Criterion" in done.out
    mechanism, notes = regret_from_bytes((here / "dm-regret.safetensors").read_bytes())
    assert (mechanism.parties, mechanism.levels) == (5, 2)
    assert notes["ended"] == "the time was up"
    used = equigrad(
        "auction", "bids.csv", "-b", "150", "-m", "dm-regret", "--trained", "dm-regret.safetensors"
    )
    assert used.code == 0, used.err
    assert "nobody below cost: no" in used.out


def test_ctrl_c_keeps_the_best_so_far(equigrad, here, monkeypatch):
    from equigrad.market.learned import training

    honest, steps = training._loss, []

    def interrupted(*args):
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return honest(*args)

    monkeypatch.setattr(training, "_loss", interrupted)
    before = signal.getsignal(signal.SIGINT)
    done = equigrad(
        "auction", "train", "--rounds", 1000, "--parties", 5, "--validation", 1, "--out", "s"
    )
    assert done.code == 130
    assert "the best so far is kept" in done.err
    assert Schedule.from_bytes((here / "s").read_bytes()).notes["steps"] == "3"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learnd-clock"], "learned-clock"),
        (["--out", "no/such/file"], "Check the path"),
        (["--out", "."], "Check the path"),
        (["--rounds", "0"], "rounds"),
        (["--minutes", "-1"], "minutes"),
        (["--local", "lap"], "Did you mean 'laplace'"),
        (["--local", "gaussian"], "--delta"),
        (["--dim", "0"], "dim"),
        (["--parties", "1"], "parties"),
        (["--eps-max", "nan"], "eps_max"),
        (["dm-regret", "--parties", "5", "--parties", "6"], "one number of parties"),
        (["dm-regret", "--local", "l2-sphere"], "--local laplace"),
        (["dm-regret", "--architecture", "mlpp"], "architecture"),
        (["dm-regret", "--levels", "0"], "levels"),
    ],
)
def test_mistakes_end_with_code_2_before_any_training(equigrad, here, arguments, message):
    done = equigrad("auction", "train", *arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert not list(here.glob("*.safetensors"))
