"""Keys and streams: secret or seeded, addressed, never overlapping, never shown."""

import copy
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from equigrad.errors import ConfigError
from equigrad.privacy.noise import STREAMS, NoiseKey

KEY = NoiseKey.test(7)


def test_words_are_aes_256_in_counter_mode():
    step, attempt, stream, index = 0x0102030405, 6, STREAMS["counts"], 0x0A0B0C
    block = bytes([1, 2, 3, 4, 5, attempt, stream, 0x0A, 0x0B, 0x0C]) + bytes(5)
    raw = KEY.to_bytes()[1:]
    counters = (modes.CTR(block + bytes([counter])) for counter in range(4))
    ciphers = (Cipher(algorithms.AES(raw), counter).encryptor() for counter in counters)
    want = b"".join(cipher.update(bytes(16)) for cipher in ciphers)
    got = KEY.words(step, "counts", 8, index, attempt)
    assert got.astype("<u8").tobytes() == want


def test_words_do_not_depend_on_how_many_are_asked_for():
    many = KEY.words(3, "sample", 20_000)
    assert np.array_equal(many[:5], KEY.words(3, "sample", 5))
    assert KEY.words(3, "sample", 0).shape == (0,)


def test_every_part_of_the_address_matters():
    addresses = [
        (step, stream, 64, index, attempt)
        for step in (0, 1, 2**40 - 1)
        for stream in STREAMS
        for index in (0, 1, 2**24 - 1)
        for attempt in (0, 1, 255)
    ]
    words = np.concatenate([KEY.words(*address) for address in addresses])
    assert len(set(words.tolist())) == len(words)  # 2^64 is far from a birthday here


def test_streams_are_independent():
    a, b = KEY.uniform(1, "gradient", 50_000), KEY.uniform(2, "gradient", 50_000)
    c = KEY.uniform(1, "counts", 50_000)
    for x, y in ((a, b), (a, c), (a[:-1], a[1:])):
        assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(50_000)


def test_uniform_numbers_are_uniform():
    numbers = KEY.uniform(5, "sample", 200_000)
    assert 0 <= numbers.min() <= numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 0.001


@pytest.mark.parametrize("probability", [1 / 214, 0.3, 0.999])
def test_coins_fall_with_their_probability(probability):
    coins = np.array([KEY.coins(step, "sample", probability, 5000) for step in range(200)])
    sizes = coins.sum(axis=1)
    deviation = np.sqrt(5000 * probability * (1 - probability))
    assert abs(sizes.mean() - 5000 * probability) < 4 * deviation / np.sqrt(200)
    assert abs(sizes.std() / deviation - 1) < 4 / np.sqrt(400)
    rows = coins.sum(axis=0)
    assert stats.kstest((rows - rows.mean()) / rows.std(), "norm").statistic < 0.5
    assert rows.var() == pytest.approx(200 * probability * (1 - probability), rel=0.1)


def test_coins_at_the_ends():
    assert KEY.coins(0, "sample", 1.0, 100).all()
    assert not KEY.coins(0, "sample", 0.0, 100).any()
    assert KEY.coins(0, "sample", 0.5, 0).shape == (0,)


def test_a_seed_gives_a_key_and_the_key_says_so():
    assert not KEY.private
    assert np.array_equal(KEY.words(0, "sample", 9), NoiseKey.test(7).words(0, "sample", 9))
    assert NoiseKey.test(8).fingerprint != KEY.fingerprint == NoiseKey.test(7).fingerprint
    assert "not private: seeded noise" in repr(KEY)


def test_secret_keys_differ_and_are_private():
    a, b = NoiseKey.secret(), NoiseKey.secret()
    assert a.private
    assert b.private
    assert a.to_bytes() != b.to_bytes()


@pytest.mark.parametrize("make", [NoiseKey.secret, lambda: NoiseKey.test(3)])
def test_bytes_bring_the_same_key_back(make):
    key = make()
    again = NoiseKey.from_bytes(key.to_bytes())
    assert again.private == key.private
    assert np.array_equal(again.words(1, "gradient", 9), key.words(1, "gradient", 9))


def test_the_key_is_not_shown():
    key = NoiseKey.secret()
    for text in (repr(key), str(key), f"{key}"):
        assert key.to_bytes()[1:].hex() not in text
        assert text == "NoiseKey(private)"
    with pytest.raises(TypeError, match="pickling"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="pickling"):
        copy.deepcopy(key)


def test_a_destroyed_key_serves_no_more():
    key = NoiseKey.secret()
    key.destroy()
    for use in (key.to_bytes, lambda: key.words(0, "sample", 1), lambda: key.fingerprint):
        with pytest.raises(ConfigError, match="destroyed"):
            use()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ((-1, "sample"), "step"),
        ((2**40, "sample"), "step"),
        ((0, "odd"), "stream"),
        ((0, "sample", 2**24), "index"),
        ((0, "sample", 0, 256), "attempt"),
        ((0.5, "sample"), "step"),
    ],
)
def test_impossible_addresses_are_refused(address, message):
    with pytest.raises(ConfigError, match=message):
        KEY.stream(*address)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NoiseKey.test(-1),
        lambda: NoiseKey.test("a"),
        lambda: NoiseKey(bytes(32), private=True),
    ],
)
def test_impossible_keys_are_refused(wrong):
    with pytest.raises(ConfigError, match="Expected"):
        wrong()
    for data in (b"", bytes(32), bytes([2]) + bytes(32)):
        with pytest.raises(ConfigError, match="33 bytes"):
            NoiseKey.from_bytes(data)


def test_words_of_one_address_do_not_depend_on_what_was_read_before():
    key, addresses = (
        NoiseKey.test(3),
        [(0, "sample"), (7, "counts"), (0, "gradient"), (0, "sample")],
    )
    fresh = [NoiseKey.test(3).words(*address, 40_000) for address in addresses]
    stream = key.stream(7, "counts")
    first = stream.read(64).copy()
    for address, words in zip(addresses, fresh, strict=True):
        assert np.array_equal(key.words(*address, 40_000), words)
    assert np.array_equal(np.concatenate([first, stream.read(64)]), fresh[1].view(np.uint8)[:128])


def test_a_key_that_was_used_serves_no_more_once_destroyed():
    key = NoiseKey.secret()
    key.words(0, "sample", 1)
    key.destroy()
    with pytest.raises(ConfigError, match="destroyed"):
        key.words(0, "sample", 1)


def test_a_stream_reads_on_and_refuses_too_much():
    stream, whole = KEY.stream(4, "gradient"), KEY.words(4, "gradient", 6).view(np.uint8)
    parts = [stream.read(size).copy() for size in (5, 16, 27)]
    assert np.array_equal(np.concatenate(parts), whole)
    with pytest.raises(ConfigError, match="bytes at once"):
        stream.read((1 << 17) + 1)


def test_a_private_key_says_whether_it_serves_a_run():
    secret, seeded = NoiseKey.secret(), NoiseKey.test(5)
    assert not secret.claimed
    secret.claim()
    seeded.claim()
    assert secret.claimed
    assert NoiseKey.from_bytes(secret.to_bytes()).claimed
    assert not seeded.claimed
