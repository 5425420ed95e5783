"""The rows found common are those of set algebra, by digests and by private set intersection."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.data.alignment import PsiClient, PsiServer, check_common, digest_ids, intersect
from equigrad.errors import AlignmentError, ConfigError

KEY = bytes(range(32))
ids = st.lists(st.integers(0, 30).map(str), unique=True)


def digests(names: list[str]) -> np.ndarray:
    return digest_ids(names, KEY).reshape(-1, 32)


@given(ids, ids)
def test_common_rows_are_those_of_set_algebra(wanted: list[str], own: list[str]) -> None:
    at = intersect(digests(wanted), digests(own))
    assert at.shape == (len(wanted),)
    assert at.tolist() == [own.index(name) if name in own else -1 for name in wanted]


@given(ids, ids, st.randoms())
def test_orders_of_files_do_not_matter(wanted: list[str], own: list[str], random: object) -> None:
    shuffled = list(own)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ours, theirs = (intersect(digests(wanted), digests(rows)) for rows in (own, shuffled))
    assert [own[i] if i >= 0 else None for i in ours] == [
        shuffled[i] if i >= 0 else None for i in theirs
    ]


def test_too_few_common_rows_are_told_with_all_counts() -> None:
    check_common({"bank": 100, "shop": 6}, 100, 3)
    with pytest.raises(AlignmentError, match=r"at least 6 of the sponsor's 100 rows.*shop 5") as e:
        check_common({"bank": 100, "shop": 5}, 100, 3)
    assert "bank 100" in str(e.value)
    with pytest.raises(AlignmentError, match="Check that shop uses the same key, id column"):
        check_common({"bank": 100, "shop": 0}, 100, 1)


class TestPrivateSetIntersection:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("private_set_intersection.python")

    @settings(max_examples=15, deadline=None)
    @given(ids, ids.filter(len))
    def test_it_finds_what_digests_find(self, wanted: list[str], own: list[str]) -> None:
        client, server = PsiClient(digests(wanted)), PsiServer(digests(own))
        setup = server.setup(len(wanted))
        held = client.held(setup, server.respond(client.request()))
        np.testing.assert_array_equal(held, intersect(digests(wanted), digests(own)) >= 0)

    def test_no_digest_travels(self) -> None:
        ours, theirs = digests(["a", "b"]), digests(["b", "c"])
        client, server = PsiClient(ours), PsiServer(theirs)
        request = client.request()
        sent = server.setup(2) + request + server.respond(request)
        for row in (*ours, *theirs):
            assert row.tobytes() not in sent
            assert row.tobytes().hex().encode() not in sent

    def test_a_side_goes_on_with_its_secret(self) -> None:
        client, server = PsiClient(digests(["a", "b"])), PsiServer(digests(["b"]))
        setup, response = server.setup(2), server.respond(client.request())
        again = PsiClient(digests(["a", "b"]), client.key)
        assert again.held(setup, response).tolist() == [False, True]
        assert PsiServer(digests(["b"]), server.key).respond(client.request()) == response
        with pytest.raises(ConfigError, match="32 bytes, got 1"):
            PsiClient(digests(["a"]), b"x")

    def test_damaged_messages_are_refused(self) -> None:
        client, server = PsiClient(digests(["a", "b"])), PsiServer(digests(["b"]))
        setup, response = server.setup(2), server.respond(client.request())
        with pytest.raises(AlignmentError, match=r"about 2 rows.*got one about 0"):
            client.held(setup, b"")
        with pytest.raises(AlignmentError, match="response"):
            client.held(setup, b"\xff" * 40)
        with pytest.raises(AlignmentError, match="setup"):
            client.held(b"\xff" * 40, response)
        with pytest.raises(AlignmentError, match="request"):
            server.respond(b"\xff" * 40)
        with pytest.raises(AlignmentError, match="request"):
            server.respond(b"")

    def test_a_party_without_rows_is_refused(self) -> None:
        with pytest.raises(AlignmentError, match="got none"):
            PsiServer(digests([]))


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "private_set_intersection.python", None)
    with pytest.raises(ConfigError, match=r"pip install 'equigrad\[psi\]'"):
        PsiClient(digests(["a"]))
