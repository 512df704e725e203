"""Stamp files: the three layouts, and files that are none."""

import errno
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import join_stamps, write_stamps
from galgen.errors import GalgenError
from tests.conftest import SHARED, discs

REDSHIFT = np.linspace(0.1, 1, 6, dtype=np.float32)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_round_trip(tmp_path):
    images = discs(6)
    blocks = [
        {"image": images[rows], "redshift": REDSHIFT[rows], "psf": images[rows, :5, :5]}
        for rows in (slice(0, 4), slice(4, 6))
    ]
    path = tmp_path / "folder" / "survey.h5"
    write_stamps(path, iter(blocks), {"survey": "mine", "pixel_scale": 0.03})
    stamps = StampFile(path)
    assert (len(stamps), stamps.size, stamps.peak_normalised) == (6, 32, False)
    np.testing.assert_array_equal(stamps.read(slice(0, 6), 32)[:, 0], images)
    np.testing.assert_array_equal(stamps.read(slice(0, 6), 5, "psf")[:, 0], images[:, :5, :5])
    np.testing.assert_array_equal(stamps.columns["redshift"], REDSHIFT)
    assert stamps.attrs == {
        "galgen_schema": 2,
        "survey": "mine",
        "pixel_scale": 0.03,
        "bands": ["unknown"],
    }


def test_rows_in_any_order_and_crops(tmp_path):
    images = discs(6)
    stamps = StampFile(write(tmp_path / "s.h5", a=images))
    rows = np.array([4, 0, 4, 2])
    np.testing.assert_array_equal(stamps.read(rows, 20)[:, 0], images[rows][:, 6:26, 6:26])


@pytest.mark.parametrize("names", [("images", "zphot"), ("a", "b"), ("z", "pictures")])
def test_the_original_layout_is_told_by_rank_not_by_name(tmp_path, names):
    path = write(tmp_path / "s.h5", **{names[0]: discs(6), names[1]: REDSHIFT})
    stamps = StampFile(path)
    assert stamps.peak_normalised
    np.testing.assert_array_equal(stamps.columns["redshift"], REDSHIFT)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
@pytest.mark.parametrize(
    ("name", "n", "size", "columns"),
    [("cosmos_with_zphot", 110, 158, ["redshift"]), ("deepfield_augmented", 240, 128, [])],
)
def test_the_original_files(name, n, size, columns):
    stamps = StampFile(SHARED / "data" / "seed_layout" / f"{name}.h5")
    assert (len(stamps), stamps.size, list(stamps.columns)) == (n, size, columns)
    images = stamps.read(slice(0, n), size)
    np.testing.assert_allclose(images.max(axis=(2, 3)), np.ones((n, 1)))
    assert images.min() == 0


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"z": REDSHIFT}, "has none"),
        ({"a": discs(6), "b": discs(6)}, "has 2"),
        ({"a": discs(6), "b": REDSHIFT, "c": REDSHIFT}, "cannot tell the redshift"),
        ({"a": discs(6), "z": REDSHIFT[:5]}, "6 stamps but 5 values"),
        ({"a": discs(6), "z": np.full(6, b"high")}, "'z' does not hold numbers"),
        ({"a": np.zeros((0, 32, 32))}, "empty"),
        ({"a": np.zeros((3, 32, 30))}, "32 x 30"),
        ({"a": np.zeros((3, 32, 32), "S1")}, "does not hold numbers"),
    ],
)
def test_files_that_are_no_survey_are_refused(tmp_path, datasets, message):
    with pytest.raises(GalgenError, match=message):
        StampFile(write(tmp_path / "s.h5", **datasets))


def test_missing_and_foreign_and_truncated_files_are_refused(tmp_path):
    with pytest.raises(GalgenError, match="no such file"):
        StampFile(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(GalgenError, match="cannot be read as HDF5"):
        StampFile(tmp_path / "text.h5")
    whole = write(tmp_path / "s.h5", a=discs(50)).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GalgenError, match="truncated"):
        StampFile(tmp_path / "cut.h5")


@pytest.mark.parametrize("rows", [slice(0, 6), np.array([0, 3])])
def test_pixels_that_are_not_finite_are_refused_with_their_row(tmp_path, rows):
    images = discs(6)
    images[3, 0, 0] = np.nan
    stamps = StampFile(write(tmp_path / "s.h5", a=images))
    with pytest.raises(GalgenError, match=r"1 stamps .* first is row 3"):
        stamps.read(rows, 32)


def test_a_newer_schema_is_refused(tmp_path):
    path = write(tmp_path / "s.h5", image=discs(2))
    with h5py.File(path, "a") as file:
        file.attrs["galgen_schema"] = 99
    with pytest.raises(GalgenError, match="newer galgen"):
        StampFile(path)


@pytest.fixture
def joined(tmp_path):
    """Two shards of 4 and 2 stamps, joined."""
    images, shards = discs(6), [tmp_path / "set" / "shards" / f"{i}.h5" for i in range(2)]
    for shard, rows in zip(shards, (slice(0, 4), slice(4, 6)), strict=True):
        write_stamps(shard, [{"image": images[rows], "redshift": REDSHIFT[rows]}], {})
    path = tmp_path / "set" / "survey.h5"
    join_stamps(path, shards, {"survey": "mine"}, {"psf": np.ones((1, 3, 3), "f4")})
    return path, images


def test_a_joined_file_is_read_like_one_and_may_be_moved(joined, tmp_path, monkeypatch):
    path, images = joined
    moved = (tmp_path / "set").rename(tmp_path / "elsewhere") / path.name
    monkeypatch.chdir(moved.parent)
    (tmp_path / "link.h5").symlink_to(moved)
    for name in (moved, moved.name, tmp_path / "link.h5"):
        stamps = StampFile(name)
        rows = np.array([5, 0, 3])
        np.testing.assert_array_equal(stamps.read(rows, 32)[:, 0], images[rows])
        np.testing.assert_array_equal(stamps.columns["redshift"], REDSHIFT)
        assert stamps.stacks == {"image": (6, 1, 32, 32), "psf": (1, 1, 3, 3)}
        assert [shard.name for shard in stamps.shards] == ["0.h5", "1.h5"]
    assert moved.stat().st_size < images.nbytes  # the stamps are not written twice


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda shard: shard.unlink(), "1.h5 is missing"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:900]), "1.h5: damaged or truncated"),
        (lambda shard: write_stamps(shard, [{"image": discs(1)}], {}), "has only 1 stamps"),
    ],
)
def test_a_damaged_shard_is_told(joined, damage, message):
    path, _ = joined
    damage(path.parent / "shards" / "1.h5")
    with pytest.raises(GalgenError, match=message):
        StampFile(path)


def test_noise_is_stored_as_it_is_and_empty_sky_compressed(tmp_path):
    noise = np.random.default_rng(0).normal(size=(2, 32, 32)).astype("f4")
    write_stamps(tmp_path / "s.h5", [{"image": noise, "weight": np.zeros_like(noise)}], {})
    with h5py.File(tmp_path / "s.h5") as file:
        assert (file["image"].compression, file["weight"].compression) == (None, "gzip")
        assert file["image"].chunks == (1, 1, 32, 32)


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def blocks():
        yield {"image": discs(2)}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stamps(tmp_path / "s.h5", blocks(), {})
    assert list(tmp_path.glob("s.h5*")) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    """In a process of its own: HDF5 may crash the one in which a write fails."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from galgen.data.stamp_writing import write_stamps
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # writing more fails
        images = np.random.default_rng(0).random((20, 64, 64)).astype("f4")
        try:
            write_stamps(Path("full.h5"), ({"image": images} for _ in range(30)), {})
        except OSError as error:
            sys.exit(f"{error.errno} {error.filename}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"{errno.EFBIG} full.h5"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", [1e-50, 1e40])
@pytest.mark.parametrize("rows", [slice(0, 6), np.array([4, 1])])
def test_pixels_that_float32_cannot_hold_are_told(tmp_path, scale, rows):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["image"] = discs(6).astype("f8") * scale
    with pytest.raises(GalgenError, match=r"float32 cannot hold.*Multiply the images"):
        StampFile(path).read(rows, 32)


def test_doubles_that_fit_are_read_as_they_are(tmp_path):
    path, images = tmp_path / "s.h5", discs(6).astype("f8")
    images[0, 0, 0] = 1e-60  # beside light that float32 does hold
    images[1] = 0
    with h5py.File(path, "w") as file:
        file["image"] = images
    np.testing.assert_array_equal(StampFile(path).read(slice(0, 6), 32)[:, 0], images.astype("f4"))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1, 2, 2**63], np.uint64), "larger than int64"),
        (np.array([1, 2, 2.0**53]), "too large for float64"),
        (np.array([1, 2, 2**24], "f4"), "too large for float32"),
        (np.array([1, np.nan, 2]), "no whole numbers.*row 1"),
        (np.array([1, 1.5, 2]), "no whole numbers.*row 1"),
        (np.array([b"a", b"b", b"c"]), "does not hold numbers but text"),
    ],
)
def test_ids_that_could_be_mixed_up_are_refused(tmp_path, ids, message):
    path = tmp_path / "s.h5"
    write_stamps(path, [{"image": discs(3), "galaxy_id": ids}], {})
    with pytest.raises(GalgenError, match=message):
        StampFile(path)


@pytest.mark.parametrize("ids", [np.array([2**63 - 1, 5, 5], np.uint64), np.array([3.0, 1, 1])])
def test_other_ids_are_kept_exactly(tmp_path, ids):
    path = tmp_path / "s.h5"
    write_stamps(path, [{"image": discs(3), "galaxy_id": ids}], {})
    found = StampFile(path).columns["galaxy_id"]
    assert found.dtype == np.int64
    assert found.tolist() == [int(number) for number in ids]


def test_a_column_of_one_and_ids_beside_it_are_read(tmp_path):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["zphot"] = discs(3), np.array([[0.1], [0.2], [0.3]])
        file["galaxy_id"] = np.array([7, 7, 8])
    columns = StampFile(path).columns
    assert columns["redshift"].tolist() == [0.1, 0.2, 0.3]
    assert columns["galaxy_id"].tolist() == [7, 7, 8]


def test_a_crop_larger_than_the_stamps_is_refused(tmp_path):
    write_stamps(tmp_path / "s.h5", [{"image": np.zeros((3, 32, 32), "f4")}], {})
    stamps = StampFile(tmp_path / "s.h5")
    assert stamps.read(slice(2), 32).shape == (2, 1, 32, 32)
    with pytest.raises(ValueError, match=r"size=64: 'image' of .*s\.h5 is 32 px wide"):
        stamps.read(slice(2), 64)
