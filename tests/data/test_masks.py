"""Pixels that do not count, and redshifts that are not known."""

import numpy as np
import pytest

from galgen.data.data_module import SurveyDataModule
from galgen.data.stamp_writing import write_stamps
from galgen.data.transforms import Peak, Physical


@pytest.fixture
def masked(tmp_path):
    """Write stamps with a hot pixel of weight 0; a third of the redshifts are marked unknown."""
    image = np.random.default_rng(0).random((40, 1, 32, 32)).astype(np.float32)
    weight = np.ones_like(image)
    image[:, :, 3, 4], weight[:, :, 3, 4] = 1e4, 0
    redshift = np.where(np.arange(40) % 3, 0.5, -99.0)
    block = {"image": image, "weight": weight, "redshift": redshift, "galaxy_id": np.arange(40)}
    write_stamps(tmp_path / "a.h5", [block], {"bands": ["a"], "unit": "counts"})
    return tmp_path / "a.h5"


@pytest.mark.parametrize("transform", [Physical(1.0), Peak()])
def test_a_model_never_sees_a_pixel_of_weight_0(masked, transform):
    module = SurveyDataModule("a", 32, transform, file=masked, batch_size=8)
    module.setup()
    batch = module.first("train", 8)
    assert (batch.image[:, :, 3, 4] == 0).all()
    assert 0.9 < float(batch.image.amax(dim=(1, 2, 3)).min()) <= 1


def test_a_mark_of_an_unknown_redshift_is_no_number(masked):
    module = SurveyDataModule("a", 32, Physical(1.0), file=masked, batch_size=8)
    module.setup()
    batch = module.first("train", 24)
    unknown = batch.redshift.isnan().numpy()
    np.testing.assert_array_equal(unknown, batch.index.numpy() % 3 == 0)
    assert 0 < unknown.sum() < 24
