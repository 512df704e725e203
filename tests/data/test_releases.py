"""Releases: fetched once, checked, unpacked safely."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from galgen.data.surveys.cosmos import download as module
from galgen.data.surveys.cosmos.download import fetch_release, unpack
from galgen.errors import GalgenError
from tests.data.release_server import DATA, md5

NAME = "COSMOS_25.2_training_sample"


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
