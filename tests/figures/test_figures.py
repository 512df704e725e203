"""Figures show the arrays they are given."""

import subprocess
import sys
from pkgutil import iter_modules

import numpy as np
import pytest

import galgen.figures
from galgen.figures.contact_sheet import draw_contact_sheet
from galgen.figures.display import Display
from galgen.figures.histograms import draw_histograms
from galgen.figures.latent import draw_corner, draw_kl_by_dimension
from galgen.figures.losses import draw_losses
from galgen.figures.reconstruction import draw_reconstruction
from galgen.figures.samples import draw_samples
from galgen.figures.saving import save
from galgen.figures.strips import draw_strips
from galgen.figures.traversal import draw_traversal
from tests.conftest import discs


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def test_reconstruction_shows_originals_reconstructions_and_residuals():
    originals = discs(4)[:, None]
    figure = draw_reconstruction(originals, 0.5 * originals, redshift=np.arange(4) / 10)
    axes = panels(figure)
    assert len(axes) == 12
    stretched = np.arcsinh(10 * originals[1, 0]) / np.arcsinh(10)
    np.testing.assert_allclose(axes[1].images[0].get_array(), stretched, rtol=1e-5)
    np.testing.assert_allclose(axes[9].images[0].get_array(), 0.5 * originals[1, 0], rtol=1e-5)
    assert [axis.get_title() for axis in axes[:4]] == [f"redshift {z / 10:.2f}" for z in range(4)]
    assert axes[4].get_ylabel() == "reconstruction"


def test_samples_label_their_redshifts():
    figure = draw_samples(discs(6).reshape(2, 3, 1, 32, 32), values=[0.1, 0.5, 2.25], peak=1.0)
    axes = panels(figure)
    assert [axis.get_title() for axis in axes] == [
        *("redshift 0.10", "redshift 0.50", "redshift 2.25"),
        *("", "", ""),
    ]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["galaxy 0", "galaxy 1"]
    assert len(panels(draw_samples(discs(6).reshape(2, 3, 1, 32, 32)))) == 6


def test_losses_show_what_metrics_csv_holds():
    rows = [
        {"epoch": e, **{f"{p}/{q}": e + len(q) for p in ("train", "val") for q in
         ("loss", "reconstruction", "kl")}, "train/beta": 0.1 * e, "val/beta": 0.5}
        for e in (1, 2, 3)
    ]  # fmt: skip
    figure = draw_losses({"run": rows})
    axes = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["train", "validation"]
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [5, 6, 7])
    np.testing.assert_allclose(axes[3].lines[0].get_ydata(), [0.1 * 3, 0.2 * 4, 0.3 * 5])
    assert axes[2].get_ylabel() == "KL [nats]"
    np.testing.assert_allclose(axes[4].lines[1].get_ydata(), [0.5, 0.5, 0.5])
    assert [axis.get_yscale() for axis in axes] == ["log"] * 4 + ["linear"] * 2


def test_losses_of_several_runs_are_told_apart_by_colour():
    curves = {
        name: [{"epoch": e, "train/loss": scale * e, "lr": 0.1} for e in (1, 2)]
        for name, scale in (("one", 1.0), ("two", 2.0))
    }
    figure = draw_losses(curves, scale="linear")
    one, two = figure.axes[0].lines
    np.testing.assert_allclose(two.get_ydata(), [2, 4])
    assert one.get_color() != two.get_color()
    assert figure.axes[0].get_yscale() == "linear"
    assert figure.axes[1].lines[:] == []
    legend = figure.legends[0]
    colours = {text.get_text(): line.get_color() for text, line in
               zip(legend.get_texts(), legend.get_lines(), strict=True)}  # fmt: skip
    assert (colours["one"], colours["two"]) == (one.get_color(), two.get_color())


def test_an_image_without_light_can_be_drawn(tmp_path):
    dark = np.zeros((2, 1, 8, 8), np.float32)
    save(draw_reconstruction(dark, dark), tmp_path / "f" / "dark.png")
    assert (tmp_path / "f" / "dark.png").read_bytes()[:4] == b"\x89PNG"


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = draw_samples(discs(1)[None, None])
    with pytest.raises(ValueError, match="supported"):
        save(figure, tmp_path / "picture.nonsense")
    assert list(tmp_path.iterdir()) == []


def test_a_contact_sheet_tells_what_is_known_of_each_galaxy():
    magnitude, redshift = np.array([20.0, np.nan, 22.0]), np.array([0.5, 1.5, np.nan])
    figure = draw_contact_sheet(discs(3)[:, None], Display(pixel_scale=0.05), magnitude, redshift)
    shown = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert shown == ["20.0 mag\nredshift 0.50", "redshift 1.50", "22.0 mag"]
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(0.5 / 0.05)  # of 1.6 arcsec
    assert 'bar\xa00.5"' in figure.texts[0].get_text()


@pytest.mark.parametrize("stretch", ["asinh", "linear", "log"])
def test_a_stretch_keeps_zero_and_the_peak_and_the_order(stretch):
    image = np.linspace(0, 2, 64).reshape(8, 8)
    figure = draw_samples(image[None, None, None], display=Display(stretch=stretch))
    shown = figure.axes[0].images[0].get_array().ravel()
    np.testing.assert_allclose([shown[0], shown[-1]], [0, 1], atol=1e-12)
    assert (np.diff(shown) > 0).all()
    assert (shown[32] > 0.51) == (stretch != "linear")
    assert f"{stretch} stretch" in figure.texts[-1].get_text()
    assert figure.axes[0].images[0].origin == "lower"


def test_zoom_shows_the_middle_and_the_bar_keeps_to_scale():
    image = discs(1)[None]
    display = Display(zoom=2, pixel_scale=0.1)
    figure = draw_samples(image[None], display=display)
    assert figure.axes[0].images[0].get_array().shape == (16, 16)
    assert np.ptp(figure.axes[0].lines[0].get_xdata()) == pytest.approx(5)  # 0.5 arcsec


@pytest.mark.parametrize("bad", [{"cmap": "hottest"}, {"stretch": "sqrt"}, {"zoom": 0.5}])
def test_a_display_that_there_is_not(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Display(**bad)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_spike_of_a_first_epoch_leaves_the_panel(scale):
    rows = [{"epoch": e, "train/loss": 1e6 if e == 1 else 20 - 0.1 * e} for e in range(1, 101)]
    axis = draw_losses({"run": rows}, scale).axes[0]
    assert axis.get_ylim()[1] == pytest.approx(2 * 19.8, rel=0.01)
    assert axis.get_yscale() == scale


def test_samples_of_each_its_redshift():
    figure = draw_samples(discs(4).reshape(2, 2, 1, 32, 32), np.array([[0.1, 0.2], [0.3, 0.4]]))
    titles = [axis.get_title() for axis in panels(figure)]
    assert titles == ["redshift 0.10", "redshift 0.20", "redshift 0.30", "redshift 0.40"]


def test_reconstructions_tell_predicted_redshifts_and_numbers():
    figure = draw_reconstruction(
        discs(2)[:, None], discs(2)[:, None], np.array([0.5, np.nan]), np.array([0.6, 0.7]), [3, 9]
    )
    axes = panels(figure)
    assert axes[0].get_title() == "redshift 0.50\npredicted 0.60"
    assert axes[1].get_title() == "predicted 0.70"
    assert axes[5].get_xlabel() == "no. 9"


def test_a_traversal_labels_dimensions_and_values():
    images = discs(6).reshape(2, 3, 1, 32, 32)
    figure = draw_traversal(images, np.array([-3.0, 0, 3]), [7, 2], np.array([1.5, 0.25]))
    axes = panels(figure)
    assert [axis.get_title() for axis in axes[:3]] == ["-3.0", "+0.0", "+3.0"]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == [
        "latent 7\n1.50 nats",
        "latent 2\n0.25 nats",
    ]


def test_a_corner_plot_bins_the_pairs_it_says():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(4000, 2)) * [1.0, 0.2] + [0, 1]
    figure = draw_corner(latent, ["a", "b"], limit=4.0)
    pair = next(axis for axis in figure.axes if axis.get_ylabel() == "b")
    counts = pair.collections[0].get_array().filled(0)
    assert counts.sum() == (np.abs(latent) < 4).all(axis=1).sum()
    row, _ = np.unravel_index(counts.argmax(), counts.shape)
    assert row == int((1 + 4) / 8 * 40)  # b is around 1
    redshift = np.where(latent[:, 0] > 0, 2.0, 1.0)
    coloured = draw_corner(latent, ["a", "b"], redshift, "redshift", 4.0)
    means = next(a for a in coloured.axes if a.get_ylabel() == "b").collections[0].get_array()
    assert np.nanmean(means[:, 25:]) == 2.0
    assert np.nanmean(means[:, :15]) == 1.0


@pytest.mark.parametrize("dimensions", [1, 3])
def test_a_corner_plot_of_few_dimensions(dimensions):
    latent = np.random.default_rng(1).normal(size=(50, dimensions))
    figure = draw_corner(latent, list("abc")[:dimensions])
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == dimensions * (dimensions + 1) // 2 + (dimensions > 1)


def test_runs_of_large_losses_are_not_cut_out():
    curves = {
        name: [{"epoch": e, "train/loss": loss} for e in range(1, n + 1)]
        for name, n, loss in (("long", 700, 10.0), ("short", 2, 7000.0))
    }
    axis = draw_losses(curves).axes[0]
    assert axis.get_ylim()[1] > 7000


def test_a_bin_of_one_galaxy_is_seen():
    figure = draw_corner(np.zeros((1, 2)), ["a", "b"])
    mesh = next(axis for axis in figure.axes if axis.get_ylabel() == "b").collections[0]
    mesh.update_scalarmappable()
    filled = mesh.get_array().filled(0).ravel() > 0
    assert mesh.get_facecolors()[filled, :3].mean() < 0.75


def test_kl_is_drawn_sorted_with_the_active_dimensions_in_colour():
    axis = draw_kl_by_dimension(np.array([0.1, 2, 1]), np.array([False, True, True])).axes[0]
    assert [bar.get_height() for bar in axis.patches] == [2, 1, 0.1]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "2", "0"]
    assert len({bar.get_facecolor() for bar in axis.patches[:2]}) == 1
    assert axis.patches[2].get_facecolor() != axis.patches[0].get_facecolor()
    assert axis.get_title().startswith("2 of 3 dimensions active")


def test_histograms_count_every_value():
    figure = draw_histograms({"redshift": np.linspace(0, 1, 50), "size": np.ones(7)})
    counts = [sum(bar.get_height() for bar in axis.patches) for axis in figure.axes]
    assert counts == [50, 7]


def test_strips_colour_each_galaxy_on_its_own_scale():
    scale = np.array([[1, 0.1, 0.5], [20, 2, 10]])[:, :, None, None]
    images = scale * discs(1)
    images[:, :, 0, 0] = scale[:, :, 0, 0]
    strips = draw_strips(images[:, :, None], Display(cmap="gray"))
    assert strips.shape == (3, 32, 32 + 2 + 32, 4)
    assert strips.dtype == np.uint8
    np.testing.assert_array_equal(strips[:, :, :32], strips[:, :, 34:])
    assert (strips[:, :, 32:34] == 0).all()
    assert strips[0, -1, 0, :3].sum() == 3 * 255  # the first row is the lowest
    assert (np.diff(strips[[1, 2, 0], -1, 0].astype(int).sum(axis=1)) > 0).all()


def test_no_figure_imports_torch_before_it_draws():
    of_training = ("evaluation_figures", "training_pictures")
    names = [module.name for module in iter_modules(galgen.figures.__path__)]
    drawn = ", ".join(f"galgen.figures.{name}" for name in names if name not in of_training)
    script = f"import sys, {drawn}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
