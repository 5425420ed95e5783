from equigrad.federation.config.schema import PartyConfig
from equigrad.federation.membership import Membership

PARTIES = ("a", "b", "c")
COMING_AND_GOING = [PartyConfig(name="b", join=2), PartyConfig(name="c", leave=3)]


def test_members_by_round() -> None:
    membership = Membership(PARTIES, COMING_AND_GOING)
    assert [membership.at(t) for t in range(5)] == [
        ("a", "c"),
        ("a", "c"),
        ("a", "b", "c"),
        ("a", "b"),
        ("a", "b"),
    ]


def test_changes_between_rounds() -> None:
    membership = Membership(PARTIES, COMING_AND_GOING)
    assert [membership.changes(t) for t in range(4)] == [
        ((), ()),
        ((), ()),
        (("b",), ()),
        ((), ("c",)),
    ]
