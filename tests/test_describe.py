"""What is said of a stamp file."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import join_stamps, write_stamps
from galgen.describe import describe
from tests.conftest import discs


@pytest.fixture
def stamps():
    """Twelve stamps of ten galaxies, one constant, two alike, in two shards."""
    images = discs(12)
    images[3], images[7] = 0, images[8]
    columns = {
        "galaxy_id": np.array([0, 0, 0, *range(1, 10)]),
        "redshift": np.array([np.nan, np.nan, *np.linspace(0.1, 1, 10)], "f4"),
        "magnitude": np.linspace(20, 25, 12),
        "extra": np.arange(12),
    }
    shards = [Path("s/0.h5"), Path("s/1.h5")]
    for shard, rows in zip(shards, (slice(0, 5), slice(5, 12)), strict=True):
        block = {"image": images[rows]} | {name: column[rows] for name, column in columns.items()}
        write_stamps(shard, [block], {})
    attrs = {"survey": "mine", "unit": "counts/s", "pixel_scale": 0.03, "zero_point": [25.94]}
    join_stamps(Path("s.h5"), shards, attrs, {"psf": np.ones((2, 5, 5), "f4")})
    return StampFile("s.h5")


def test_the_facts(stamps):
    facts = describe(stamps)
    images = discs(12)
    images[3], images[7] = 0, images[8]
    assert facts["stamps"] == "12 of 32 x 32 px"
    assert facts["unit"] == "counts/s"
    assert facts["pixel scale"] == "0.03 arcsec"
    assert facts["zero point"] == "25.94 mag (AB) of one unit"
    assert facts["parents"] == "10 galaxies, 1 in several stamps (at most 3)"
    assert facts["redshift"] == "0.1 to 1, median 0.55, 2 unknown"
    assert facts["magnitude (AB)"] == "20 to 25, median 22.5"
    assert facts["other columns"] == "extra, galaxy_id"
    assert facts["'psf'"] == "2 x 1 x 5 x 5"
    assert facts["pixels that are zero"] == f"{(images == 0).mean():.2%}"
    assert facts["constant stamps"] == "1"
    assert facts["exact copies of another stamp"] == "1"
    assert facts["sha256"] == hashlib.sha256(Path("s.h5").read_bytes()).hexdigest()
    shards = Path("s/0.h5").read_bytes() + Path("s/1.h5").read_bytes()
    assert facts["sha256 of 2 shards"] == hashlib.sha256(shards).hexdigest()


def test_a_file_of_any_band_is_described_without_another_word(stamps, command):
    with h5py.File("s.h5", "a") as file:
        file.attrs["bands"] = ["r"]
    code, printed = command("describe", "data.file=s.h5")
    assert code == 0, printed


def test_the_command_writes_its_pictures_beside_the_file_or_elsewhere(stamps, command):
    code, printed = command("describe", "data.file=s.h5")
    assert code == 0, printed
    assert Path("s.stamps.png").read_bytes().startswith(b"\x89PNG")
    assert Path("s.histograms.png").exists()
    assert command("describe", "data.file=s.h5", "out=there")[0] == 0
    assert sorted(path.name for path in Path("there").iterdir()) == [
        "s.histograms.png",
        "s.stamps.png",
    ]


def test_a_file_of_images_alone(command):
    with h5py.File("images.h5", "w") as file:
        file["pictures"] = discs(3)
    code, printed = command("describe", "data.file=images.h5")
    assert code == 0
    assert "unknown, the file has no galaxy ids" in printed
    assert not Path("images.histograms.png").exists()


def test_a_survey_that_is_not_there_yet(command):
    code, printed = command("describe", "data=cosmos")
    assert code == 1
    assert "python -m galgen.prepare data=cosmos" in printed
