"""Detection against scipy."""

import numpy as np
import pytest
from scipy import ndimage

from galgen.evaluation.morphology.segmentation import detect


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (3, 3)])
def test_segments_are_numbered_as_scipy_does(shape):
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    image[shape[0] // 2 - 1 :, shape[1] // 2 - 1 : shape[1] // 2 + 2] += 5
    segments, galaxy = detect(image, 0.3)
    smooth = ndimage.uniform_filter(image, 3)
    inner = np.zeros(shape, bool)
    inner[1:-1, 1:-1] = True
    expected, _ = ndimage.label((smooth > 0.45) & inner, np.ones((3, 3)))
    np.testing.assert_array_equal(segments, expected)
    if shape != (3, 3):
        assert galaxy == segments[shape[0] // 2 + 3, shape[1] // 2]
