"""Files are found in order, checked by SHA-256, and fetched without leaving anything half-done.

All traffic stays on the loopback interface: a scripted server answers each path with a list of
replies, one per request.
"""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equigrad.data.files import DataFile, Home, Store, gunzip_sha256, sha256
from equigrad.errors import ConfigError, DataError, DownloadError

CONTENT = b"a,b\n" + b"1,2\n" * 20_000
PACKED = gzip.compress(CONTENT, mtime=0)


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


FILE = DataFile("toy/toy.csv.gz", digest(PACKED), digest(CONTENT), source="a test")


@dataclass
class Reply:
    """One scripted answer; ``cut`` sends only so many bytes of the promised length."""

    body: bytes = b""
    status: int = 200
    cut: int | None = None


@dataclass
class Server:
    """The scripted server's address, its script and what it was asked for."""

    url: str
    script: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep loopback requests from a proxy that the environment may name."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(no_proxy: None) -> Iterator[Server]:

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scripted.asked.append(self.path)
            replies = scripted.script.get(self.path, [])
            reply = replies.pop(0) if replies else Reply(b"nothing here", 404)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield scripted
    http.shutdown()
    thread.join()
    http.server_close()


def mirror(server: Server, tmp_path: Path, attempts: int = 1) -> Store:
    return Store(None, tmp_path / "cache", mirror=server.url, timeout=5, attempts=attempts)


def left(store: Store) -> list[Path]:
    return [p for p in store.cache.rglob("*") if p.is_file()]


def test_a_download_is_kept_and_not_repeated(server: Server, tmp_path: Path) -> None:
    server.script["/toy/toy.csv.gz"] = [Reply(PACKED)]
    store = mirror(server, tmp_path)
    path = store.get(FILE, "toy")
    assert path == tmp_path / "cache/toy/toy.csv.gz"
    assert path.read_bytes() == PACKED
    assert store.get(FILE, "toy") == path
    assert mirror(server, tmp_path).get(FILE, "toy") == path
    assert server.asked == ["/toy/toy.csv.gz"]
    assert left(store) == [path]


def test_a_corrupted_file_never_reaches_the_cache(server: Server, tmp_path: Path) -> None:
    wrong = bytes([PACKED[0] ^ 1]) + PACKED[1:]
    server.script["/toy/toy.csv.gz"] = [Reply(wrong)]
    store = mirror(server, tmp_path)
    with pytest.raises(DownloadError) as caught:
        store.get(FILE, "toy")
    message = str(caught.value)
    for part in (
        "toy/toy.csv.gz of the set 'toy'",
        FILE.sha256,
        digest(wrong),
        f"{server.url}/toy/toy.csv.gz",
        str(store.cache / "toy/toy.csv.gz"),
        "Put the file at $EQUIGRAD_DATA/toy/toy.csv.gz",
        "comes from a test",
    ):
        assert part in message
    assert left(store) == []


def test_a_missing_page_is_reported(server: Server, tmp_path: Path) -> None:
    store = mirror(server, tmp_path)
    with pytest.raises(DownloadError, match="404"):
        store.get(FILE, "toy")
    assert left(store) == []


def test_a_cut_connection_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.script["/toy/toy.csv.gz"] = [Reply(PACKED, cut=len(PACKED) // 2)]
    store = mirror(server, tmp_path)
    with pytest.raises(DownloadError, match="looked in"):
        store.get(FILE, "toy")
    assert left(store) == []


def test_a_cut_connection_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.script["/toy/toy.csv.gz"] = [Reply(PACKED, cut=len(PACKED) // 2), Reply(PACKED)]
    store = mirror(server, tmp_path, attempts=2)
    assert store.get(FILE, "toy").read_bytes() == PACKED
    assert len(server.asked) == 2
    assert len(left(store)) == 1


@pytest.mark.usefixtures("no_proxy")
def test_nobody_listening_is_reported(tmp_path: Path) -> None:
    store = Store(None, tmp_path, mirror="http://127.0.0.1:9", timeout=2, attempts=1)
    with pytest.raises(DownloadError, match=r"tried http://127\.0\.0\.1:9/toy/toy\.csv\.gz"):
        store.get(FILE, "toy")
    assert left(store) == []


def test_a_file_without_a_home_says_so(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no address serves it"):
        Store(None, tmp_path).get(FILE, "toy")


def test_a_home_is_converted_and_kept_plain(server: Server, tmp_path: Path) -> None:
    server.script["/published.txt"] = [Reply(CONTENT.replace(b",", b";"))]
    home = Home(f"{server.url}/published.txt", lambda raw: raw.replace(b";", b","))
    store = Store(None, tmp_path, timeout=5, attempts=1)
    path = store.get(replace(FILE, home=home), "toy")
    assert path == tmp_path / "toy/toy.csv"
    assert path.read_bytes() == CONTENT
    assert Store(None, tmp_path).get(FILE, "toy") == path
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>moved</html>", b"\xff\xfe"])
def test_a_home_that_changed_is_refused(server: Server, tmp_path: Path, body: bytes) -> None:
    def fragile(raw: bytes) -> bytes:
        return raw.decode().split(",")[1].encode()

    server.script["/published.txt"] = [Reply(body)]
    home = Home(f"{server.url}/published.txt", fragile)
    store = Store(None, tmp_path, timeout=5, attempts=1)
    with pytest.raises(DownloadError, match=r"published\.txt"):
        store.get(replace(FILE, home=home), "toy")
    assert left(store) == []


def test_the_home_is_asked_after_the_mirror(server: Server, tmp_path: Path) -> None:
    server.script["/home/toy.gz"] = [Reply(PACKED)]
    store = mirror(server, tmp_path)
    assert store.get(replace(FILE, home=Home(f"{server.url}/home/toy.gz")), "toy").is_file()
    assert server.asked == ["/toy/toy.csv.gz", "/home/toy.gz"]


def test_a_damaged_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.script["/toy/toy.csv.gz"] = [Reply(PACKED)]
    store = mirror(server, tmp_path)
    damaged = store.cache / FILE.path
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half")
    assert store.get(FILE, "toy").read_bytes() == PACKED


def test_the_folder_comes_before_cache_and_network(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "toy").mkdir(parents=True)
    (folder / FILE.path).write_bytes(PACKED)
    store = Store(folder, tmp_path / "cache", mirror=server.url)
    assert store.get(FILE, "toy") == folder / FILE.path
    assert server.asked == []


@pytest.mark.parametrize(
    ("name", "raw"),
    [("toy/toy.csv", CONTENT), ("toy/toy.csv.gz", gzip.compress(CONTENT, 1, mtime=99))],
)
def test_the_folder_may_hold_the_content_packed_otherwise(
    tmp_path: Path, name: str, raw: bytes
) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / name).write_bytes(raw)
    assert Store(tmp_path, tmp_path / "cache").get(FILE, "toy") == tmp_path / name


@pytest.mark.parametrize("raw", [b"not gzip", PACKED[:100], gzip.compress(b"other", mtime=0)])
def test_a_wrong_file_in_the_folder_is_an_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / FILE.path).write_bytes(raw)
    with pytest.raises(DataError, match=f"got {digest(raw)}.*unset EQUIGRAD_DATA"):
        Store(tmp_path, tmp_path / "cache").get(FILE, "toy")
    assert (tmp_path / FILE.path).read_bytes() == raw


def test_a_packed_only_file_is_not_taken_plain(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/toy.csv").write_bytes(CONTENT)
    assert Store(tmp_path, tmp_path).find(replace(FILE, plain_sha256="")) is None


def test_the_environment_describes_the_store(tmp_path: Path) -> None:
    store = Store.from_environment(
        {
            "EQUIGRAD_DATA": str(tmp_path / "data"),
            "EQUIGRAD_CACHE": str(tmp_path / "cache"),
            "EQUIGRAD_DATA_URL": "http://mirror.test/sets/",
        }
    )
    assert store.folder == tmp_path / "data"
    assert store.places() == [tmp_path / "data", tmp_path / "cache"]
    assert store.mirror == "http://mirror.test/sets"
    bare = Store.from_environment({})
    assert bare.folder is None
    assert bare.mirror == ""
    assert bare.cache.name == "equigrad"


@pytest.mark.parametrize("address", ["ftp:foo", "mirror.test/sets", "file:///tmp"])
def test_a_mirror_is_an_http_address(address: str) -> None:
    with pytest.raises(ConfigError, match="http:// or https://, got"):
        Store.from_environment({"EQUIGRAD_DATA_URL": address})


def test_checksums_of_files(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(PACKED)
    assert sha256(path) == digest(PACKED)
    assert gunzip_sha256(path) == digest(CONTENT)


def test_a_download_prints_nothing(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.script["/toy/toy.csv.gz"] = [Reply(PACKED)]
    mirror(server, tmp_path).get(FILE, "toy")
    assert capfd.readouterr() == ("", "")
