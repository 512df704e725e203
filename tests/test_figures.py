"""Figures show the arrays they are given."""

import numpy as np
import pytest

from galgen import figures
from tests.conftest import discs


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def test_reconstruction_shows_originals_reconstructions_and_residuals():
    originals = discs(4)
    figure = figures.reconstruction(originals, 0.5 * originals, redshift=np.arange(4) / 10)
    axes = panels(figure)
    assert len(axes) == 12
    stretched = np.arcsinh(10 * originals[1]) / np.arcsinh(10)
    np.testing.assert_allclose(axes[1].images[0].get_array(), stretched, rtol=1e-5)
    np.testing.assert_allclose(axes[9].images[0].get_array(), 0.5 * originals[1], rtol=1e-5)
    assert [axis.get_title() for axis in axes[:4]] == [f"z = {z / 10:.2f}" for z in range(4)]
    assert axes[4].get_ylabel() == "reconstruction"


def test_samples_label_their_redshifts():
    figure = figures.samples(discs(6).reshape(2, 3, 32, 32), redshifts=[0.1, 0.5, 2.25], peak=1.0)
    axes = panels(figure)
    assert [axis.get_title() for axis in axes] == ["z = 0.10", "z = 0.50", "z = 2.25", "", "", ""]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["galaxy 0", "galaxy 1"]
    assert len(panels(figures.samples(discs(6).reshape(2, 3, 32, 32)))) == 6


def test_losses_show_what_metrics_csv_holds():
    rows = [
        {"epoch": e, **{f"{p}/{q}": e + len(q) for p in ("train", "val") for q in
         ("loss", "reconstruction", "kl")}, "train/beta": 0.1 * e, "val/beta": 0.5}
        for e in (1, 2, 3)
    ]  # fmt: skip
    axes = figures.losses(rows).axes
    assert [line.get_label() for line in axes[0].lines] == ["train", "val"]
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [5, 6, 7])
    np.testing.assert_allclose(axes[3].lines[0].get_ydata(), [0.1 * 3, 0.2 * 4, 0.3 * 5])
    assert axes[2].get_ylabel() == "KL per galaxy [nats]"


def test_an_image_without_light_can_be_drawn(tmp_path):
    dark = np.zeros((2, 8, 8), np.float32)
    figures.save(figures.reconstruction(dark, dark), tmp_path / "f" / "dark.png")
    assert (tmp_path / "f" / "dark.png").read_bytes()[:4] == b"\x89PNG"


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = figures.samples(discs(1)[None])
    with pytest.raises(ValueError, match="supported"):
        figures.save(figure, tmp_path / "picture.nonsense")
    assert list(tmp_path.iterdir()) == []


def test_a_contact_sheet_tells_what_is_known_of_each_galaxy():
    magnitude, redshift = np.array([20.0, np.nan, 22.0]), np.array([0.5, 1.5, np.nan])
    figure = figures.contact_sheet(discs(3), 0.05, magnitude, redshift)
    shown = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert shown == ["20.0 mag, z 0.50", "z 1.50", "22.0 mag"]
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(1 / 0.05)


def test_histograms_count_every_value():
    figure = figures.histograms({"redshift": np.linspace(0, 1, 50), "size": np.ones(7)})
    counts = [sum(bar.get_height() for bar in axis.patches) for axis in figure.axes]
    assert counts == [50, 7]
