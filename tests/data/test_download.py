"""Downloads over a server that fails in every way, and archives that should not be unpacked."""

import errno
import hashlib
import io
import itertools
import json
import re
import shutil
import socket
import struct
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from galgen.data.surveys.cosmos import download as module
from galgen.data.surveys.cosmos.download import download, fetch_release, unpack
from galgen.errors import GalgenError

NAME = "COSMOS_25.2_training_sample"
DATA = np.random.default_rng(0).bytes(1_000_003)
SIZE = len(DATA)
QUARTER = SIZE // 4


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


MD5 = md5(DATA)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; `server.faults` says what goes wrong, a word a request."""

    def do_GET(self):
        fault, asked = next(self.server.faults, ""), self.headers.get("Range", "")
        data = self.server.files.get(self.path)
        if fault == "short":
            data = data[:QUARTER]
        self.server.requests.append((self.path, asked))
        assert self.headers.get("Accept-Encoding") == "identity" or self.path == "/record"
        if fault == "redirect":
            return self.answer(302, {"Location": "/elsewhere" + self.path})
        if fault.isdigit() or data is None:
            return self.answer(int(fault or 404))
        start = int(asked[6:-1]) if asked and "no ranges" not in fault else 0
        start -= fault == "wrong range"
        if asked and start >= len(data):
            return self.answer(416, {"Content-Range": f"bytes */{len(data)}"})
        body = data[start:]
        headers = {"Content-Length": len(body)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if fault == "piece":
            headers["Content-Length"], body = QUARTER, body[:QUARTER]
        if fault == "corrupted":
            body = body[:-1] + b"?"
        if "chunked" in fault:
            headers = {"Transfer-Encoding": "chunked"}
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if "break" in fault:
            body = body[:QUARTER]
        self.answer(206 if start else 200, headers)
        self.wfile.write(body)
        self.server.sent.append(len(body))
        if "reset" in fault:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def answer(self, status: int, headers: dict | None = None):
        self.send_response(status)
        for name, value in (headers or {"Content-Length": 0}).items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSES", (0, 0, 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files = {"/data": DATA, "/elsewhere/data": DATA}
        server.faults, server.requests, server.sent = iter(()), [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def fetched(server, tmp_path):
    """A download of DATA, by default with its size and checksum."""
    path = tmp_path / "folder" / "data"
    path.parent.mkdir()

    def fetch(*faults, size=SIZE, checksum=MD5):
        server.faults = iter(faults)
        download(server.url + "/data", path, size, checksum)

    return SimpleNamespace(fetch=fetch, path=path, part=path.with_name("data.part"))


def tarball(path, names, filling=b"", **attributes) -> bytes:
    """Write an archive of files that hold their names and a filling, the last with attributes."""
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            contents = name.encode() + filling
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            for key, value in attributes.items() if name == names[-1] else ():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(contents))
    return path.read_bytes()


@pytest.fixture
def release(server, tmp_path):
    """A record with one release on the server, and a function that fetches it."""
    data = tarball(tmp_path / "made.tar.gz", ["a/catalog.fits", "a/images.fits"])
    file = {"key": f"{NAME}.tar.gz", "size": len(data), "checksum": md5(data)}
    file["links"] = {"self": server.url + "/archive"}
    server.files |= {"/archive": data, "/record": b""}
    folder = tmp_path / "releases"

    def fetch(checksum=None):
        if not server.files["/record"]:
            server.files["/record"] = json.dumps({"files": [file]}).encode()
        return fetch_release(NAME, folder, server.url + "/record", checksum)

    return SimpleNamespace(fetch=fetch, file=file, folder=folder, data=data)


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["503", "503"],
        ["429"],
        ["redirect"],
        ["chunked"],
        ["break", "redirect"],
        ["break", "503", "503", "break", "500"],
        ["break", "no ranges"],
        ["break", "break no ranges"],
        ["break", "wrong range"],
        ["break", "piece"],
        ["break reset"],
        ["break chunked"],
    ],
    ids=", ".join,
)
def test_the_file_arrives_whole(fetched, faults, known):
    size = SIZE if known else None
    fetched.fetch(*faults, size=size, checksum="sha256:" + hashlib.sha256(DATA).hexdigest())
    assert fetched.path.read_bytes() == DATA
    assert not fetched.part.exists()


def test_a_break_is_resumed_without_sending_a_byte_twice(fetched, server):
    fetched.fetch("break", "break")
    assert fetched.path.read_bytes() == DATA
    ranges = ["", f"bytes={QUARTER}-", f"bytes={2 * QUARTER}-"]
    assert server.requests == [("/data", asked) for asked in ranges]
    assert server.sent == [QUARTER, QUARTER, SIZE - 2 * QUARTER]


def test_a_second_call_goes_on_with_what_the_first_kept(fetched, server):
    with pytest.raises(GalgenError, match=r"503 Service Unavailable\. The part that arrived is"):
        fetched.fetch("break", *["503"] * 9)
    assert len(server.requests) == 4  # one more than there are pauses
    assert fetched.part.read_bytes() == DATA[:QUARTER]
    fetched.fetch()
    assert fetched.path.read_bytes() == DATA
    assert sum(server.sent) == SIZE


@pytest.mark.parametrize(
    ("there", "requests"), [(SIZE, 1), (SIZE + 1, 2)], ids=["complete", "too long"]
)
def test_a_part_that_holds_all(fetched, server, there, requests):
    fetched.part.write_bytes((DATA + b"+")[:there])
    fetched.fetch(size=None)
    assert fetched.path.read_bytes() == DATA
    assert len(server.requests) == requests


def test_a_file_that_is_there_is_checked_only(fetched, server):
    fetched.path.write_bytes(DATA)
    fetched.fetch()
    assert fetched.path.read_bytes() == DATA
    assert server.requests == []


@pytest.mark.parametrize(
    ("faults", "message", "requests"),
    [
        (["404"], "answers 404 Not Found", 1),
        (["403"], "answers 403 Forbidden", 1),
        (itertools.repeat("503"), "answers 503 Service Unavailable", 4),
        (itertools.repeat("break no ranges"), f"IncompleteRead\\({QUARTER} bytes", 4),
        (["short"], f"has {QUARTER} bytes, but {SIZE} were expected", 1),
    ],
    ids=["404", "403", "503 for ever", "never further", "wrong size"],
)
def test_what_the_server_does_not_give(fetched, server, faults, message, requests):
    fetched.part.write_bytes(DATA[:1000])
    with pytest.raises(GalgenError, match=message):
        fetched.fetch(*itertools.islice(faults, 20))
    assert len(server.requests) == requests
    assert DATA.startswith(fetched.part.read_bytes())
    assert not fetched.path.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1", r"Connection refused.* prepare\.release=<folder>"),
        ("127.0.0.1", "No scheme supplied"),
    ],
)
def test_an_address_without_a_server(fetched, server, caplog, url, message):
    server.url = url
    with pytest.raises(GalgenError, match=message):
        fetched.fetch()
    assert len(caplog.records) == (3 if ":" in url else 0)


@pytest.mark.parametrize("there", [0, QUARTER])
def test_a_wrong_file_is_deleted_and_fetched_again(fetched, there):
    fetched.part.write_bytes(DATA[:there])
    with pytest.raises(GalgenError, match=f"expected {MD5}, found md5:") as error:
        fetched.fetch("corrupted")
    assert md5(DATA[:-1] + b"?") in str(error.value)
    assert not fetched.part.exists()
    fetched.fetch()
    assert fetched.path.read_bytes() == DATA


def test_a_part_longer_than_the_file_is_deleted(fetched, server):
    fetched.part.write_bytes(DATA + b"+")
    with pytest.raises(GalgenError, match=f"expected {SIZE} bytes, found {SIZE + 1}"):
        fetched.fetch()
    assert not fetched.part.exists()
    assert server.requests == []


@pytest.mark.parametrize("checksum", ["sha1:" + "0" * 40, "md5:0", "0" * 32, "sha1:"])
def test_a_checksum_of_another_kind(fetched, server, checksum):
    with pytest.raises(GalgenError, match=f"'{checksum}': must be md5"):
        fetched.fetch(checksum=checksum)
    assert server.requests == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_stop_keeps_the_part(fetched, monkeypatch, error):
    with monkeypatch.context() as patch:
        stop = iter([None, None, error])

        def update(*_, **__):
            if found := next(stop):
                raise found

        patch.setattr(module.progress.Progress, "update", update)
        with pytest.raises(type(error)):
            fetched.fetch()
    assert fetched.part.read_bytes() == DATA[: 3 * module.CHUNK]
    fetched.fetch()
    assert fetched.path.read_bytes() == DATA


def test_a_release_is_fetched_once(release, server):
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: release.fetch(), range(2)))
    assert folders == [release.folder / NAME] * 2
    assert [path for path, _ in server.requests] == ["/record", "/archive"]
    assert (folders[0] / "catalog.fits").read_text() == "a/catalog.fits"
    assert {path.name for path in release.folder.iterdir()} == {NAME, f"{NAME}.lock"}
    assert release.fetch() == folders[0]
    assert len(server.requests) == 2


def test_an_interrupted_unpacking_is_done_again_without_a_download(release, server, monkeypatch):
    leftover = release.folder / f"{NAME}.part" / "half"
    leftover.mkdir(parents=True)

    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            release.fetch()
    assert {path.name for path in release.folder.iterdir()} == {f"{NAME}.lock", f"{NAME}.tar.gz"}
    folder = release.fetch()
    assert {path.name for path in folder.iterdir()} == {"catalog.fits", "images.fits"}
    assert [path for path, _ in server.requests] == ["/record", "/archive", "/record"]


def test_a_given_checksum_takes_precedence(release):
    release.file["checksum"] = "md5:" + "0" * 32
    right = "sha256:" + hashlib.sha256(release.data).hexdigest().upper()
    with pytest.raises(GalgenError, match=f"expected md5:0+, found {md5(release.data)}"):
        release.fetch()
    assert (release.fetch(right) / "images.fits").read_text() == "a/images.fits"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"<html>", "does not answer with a record's metadata"),
        (b"[1]", "does not answer with a record's metadata"),
        (b'{"files": [{"key": "%s.tar.gz"}]}' % NAME.encode(), "does not answer with a record's"),
        (b'{"files": []}', f"holds no {NAME}.tar.gz, only nothing"),
        (b'{"files": [{"key": "other"}]}', f"holds no {NAME}.tar.gz, only other"),
        (
            b'{"files": [{"key": "%s.tar.gz", "size": 1, "links": {"self": ""}}]}' % NAME.encode(),
            f"gives no checksum of {NAME}.tar.gz",
        ),
    ],
    ids=["not JSON", "no object", "no size", "no file", "other file", "no checksum"],
)
def test_a_record_that_does_not_say_enough(release, server, record, message):
    server.files["/record"] = record
    with pytest.raises(GalgenError, match=re.escape(message)):
        release.fetch()
    assert len(server.requests) == 1


def test_a_disk_that_is_too_small(release, server, monkeypatch):
    release.file["size"] = 4_000_000_000
    leftover = release.folder / f"{NAME}.part"
    leftover.mkdir(parents=True)
    with open(release.folder / f"{NAME}.tar.gz.part", "wb") as part:
        part.truncate(1_000_000_000)

    def usage(_):
        return SimpleNamespace(free=0 if leftover.exists() else 12_900_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(GalgenError, match=r"releases: .*needs 13\.0 GB, and 12\.9 GB are free"):
        release.fetch()
    assert len(server.requests) == 1


@pytest.mark.parametrize("names", [["catalog.fits"], ["catalog.fits", "images/1.fits"]])
@pytest.mark.parametrize("prefix", ["", "./", "top/", "./top/", f"{NAME}/"])
def test_a_single_top_folder_is_left_out(tmp_path, prefix, names):
    tarball(tmp_path / "a.tar.gz", [prefix + name for name in names], mode=0o6777)
    (tmp_path / f"{NAME}.part" / "leftover").mkdir(parents=True)
    unpack(tmp_path / "a.tar.gz", tmp_path / NAME)
    for name in names:
        assert (tmp_path / NAME / name).read_text() == prefix + name
    assert (tmp_path / NAME / names[-1]).stat().st_mode & 0o7777 == 0o755
    assert len(list((tmp_path / NAME).iterdir())) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", NAME}


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("../x", {}, "'../x' is a link, a device or outside"),
        ("a/../../x", {}, "'a/../../x' is a link, a device or outside"),
        ("/tmp/galgen-x", {}, "'/tmp/galgen-x' is a link, a device or outside"),
        ("a/x", {"type": tarfile.SYMTYPE, "linkname": "ok"}, "'a/x' is a link"),
        ("a/x", {"type": tarfile.LNKTYPE, "linkname": "a/ok"}, "'a/x' is a link"),
        ("a/x", {"type": tarfile.FIFOTYPE}, "'a/x' is a link, a device"),
        ("a/x", {"type": tarfile.CHRTYPE}, "'a/x' is a link, a device"),
    ],
)
def test_archives_that_lead_outside_are_refused(tmp_path, name, attributes, message):
    inner = tmp_path / "1" / "2"
    inner.mkdir(parents=True)
    tarball(inner / "a.tar.gz", ["a/ok", name], **attributes)
    with pytest.raises(GalgenError, match=re.escape(message)):
        unpack(inner / "a.tar.gz", inner / NAME)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [inner / "a.tar.gz"]
    assert not (inner / f"{NAME}.part").exists()


@pytest.mark.parametrize("damage", ["truncated", "tail cut", "bit", "stretch", "html", "empty"])
def test_damaged_archives(tmp_path, damage):
    path = tmp_path / "a.tar.gz"
    data = bytearray(tarball(path, ["a/1", "a/2"], filling=DATA[:200_000]))
    half = len(data) // 2
    if damage == "bit":
        data[half] ^= 1
    if damage == "stretch":
        data[half // 2 : half] = bytes(half - half // 2)
    kept = {"truncated": data[:half], "tail cut": data[:-5], "html": b"<html>", "empty": b""}
    path.write_bytes(kept.get(damage, data))
    with pytest.raises(GalgenError, match=r"a\.tar\.gz: cannot be unpacked, "):
        unpack(path, tmp_path / NAME)
    assert list(tmp_path.iterdir()) == [path]
