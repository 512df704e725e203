"""Downloads over a server that fails in every way, and archives that should not be unpacked."""

import errno
import hashlib
import itertools
from types import SimpleNamespace

import pytest

from galgen.data.surveys.cosmos import download as module
from galgen.data.surveys.cosmos.download import download
from galgen.errors import GalgenError
from tests.data.release_server import DATA, QUARTER, SIZE, md5

MD5 = md5(DATA)


@pytest.fixture
def fetched(server, tmp_path):
    """A download of DATA, by default with its size and checksum."""
    path = tmp_path / "folder" / "data"
    path.parent.mkdir()

    def fetch(*faults, size=SIZE, checksum=MD5):
        server.faults = iter(faults)
        download(server.url + "/data", path, size, checksum)

    return SimpleNamespace(fetch=fetch, path=path, part=path.with_name("data.part"))


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
