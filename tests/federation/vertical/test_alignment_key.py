"""A key file is the owner's alone, long enough, and never overwritten."""

from pathlib import Path

import pytest

from equigrad.errors import ConfigError
from equigrad.federation.vertical.keys import make_key, read_key


def test_a_key_that_was_made_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "align.key"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_key(path)
    assert len(key) == 64
    bytes.fromhex(key.decode())
    make_key(tmp_path / "other.key")
    assert read_key(tmp_path / "other.key") != key


def test_line_ends_are_no_part_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    make_key(path)
    key = read_key(path)
    path.write_bytes(key + b"\r\n")
    assert read_key(path) == key


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    make_key(path)
    with pytest.raises(ConfigError, match="overwritten is lost"):
        make_key(path)
    with pytest.raises(ConfigError, match="is a file"):
        make_key(path / "b.key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key(path)


def test_missing_and_weak_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    with pytest.raises(ConfigError, match="equigrad key"):
        read_key(path)
    path.write_text("secret\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="at least 32 random bytes, got 6"):
        read_key(path)
