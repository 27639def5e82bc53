from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

import specjax as sx
from specjax.report.figures import save_figure, spectrum_figure
from specjax.report.figures.spectrum import MOST_POINTS


def panel(figure, title):
    found = [axes for axes in figure.axes if axes.get_title("left").startswith(title)]
    assert len(found) == 1, title
    return found[0]


def line(axes, label):
    return next(x for x in axes.lines if x.get_label().startswith(label))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def title(figure):
    return figure.get_suptitle()


def digits():
    data = sx.data.open("digits")
    spectrum = data.spectrum()
    return data, replace(spectrum, intervals=sx.bootstrap(data.samples, spectrum, replicates=50))


def test_eigenvalues_law_and_shares():
    lam = 8.0 * np.arange(1, 101) ** -2.0
    spectrum = sx.Spectrum(np.append(lam[::-1], [0.0, 0.0]), source={"name": "made"})
    figure = spectrum_figure(spectrum)
    drawn = line(panel(figure, "Eigenvalues"), "eigenvalues")
    np.testing.assert_allclose(drawn.get_ydata(), lam)
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(1, 101))
    law = line(panel(figure, "Eigenvalues"), "∝ rank^(-2.00)")
    np.testing.assert_allclose(law.get_ydata(), lam[[0, -1]])
    assert "2 zeros left out" in panel(figure, "Eigenvalues").get_xlabel()
    share = np.cumsum(lam) / lam.sum()
    marks = [mark for mark in panel(figure, "Variance").lines if mark.get_gid() == "share"]
    for mark, part in zip(marks, (0.9, 0.99, 0.999), strict=True):
        rank = np.searchsorted(share, part) + 1
        assert mark.get_xdata()[0] == rank
        assert f"{100 * part:g} % in {rank}" in texts(panel(figure, "Variance"))
    assert "made: 102 dimensions" in title(figure)


def test_intervals_are_drawn_in_percent_of_the_eigenvalues():
    _, spectrum = digits()
    band = panel(spectrum_figure(spectrum), "95 % intervals (bootstrap, re-diagonalised)")
    edges = band.collections[0].get_datalim(band.transData)
    positive = spectrum.eigenvalues > 0
    upper = 100 * (spectrum.intervals.upper[positive] / spectrum.eigenvalues[positive] - 1)
    np.testing.assert_allclose(edges.y1, min(upper.max(), 1e4))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["exact", "shift-invariant", "colour", "sound", "none"])
def test_the_mean_and_the_vectors_are_drawn_where_they_can_be(kind, tmp_path):
    rng = np.random.default_rng(0)
    shape = {"colour": (40, 6, 5, 3), "sound": (40, 32), "none": (40, 3)}.get(kind, (40, 6, 5))
    x = np.cumsum(rng.normal(size=shape), 1)
    method = kind if kind == "shift-invariant" else "exact"
    spectrum = sx.Spectrum.from_samples(x, method=method)
    figure = spectrum_figure(spectrum)
    titles = [axes.get_title("center") for axes in figure.axes]
    assert ("eigenvector 7" in titles) == (kind != "none")
    if kind == "exact":
        mean = next(axes for axes in figure.axes if axes.get_title("center") == "mean")
        shown = mean.images[0].get_array()
        np.testing.assert_allclose(np.corrcoef(shown.ravel(), x.mean(0).ravel())[0, 1], 1)
    path = save_figure(figure, tmp_path / "spectrum.png")
    assert imread(path).std() > 0.05


@pytest.mark.thorough
def test_large_spectra_are_thinned_and_low_ranks_are_marked(tmp_path):
    large = spectrum_figure(sx.Spectrum.power_law(200_000, 1.0))
    drawn = line(panel(large, "Eigenvalues"), "eigenvalues")
    assert len(drawn.get_xdata()) <= MOST_POINTS
    np.testing.assert_allclose(drawn.get_xdata()[[0, -1]], [1, 200_000])
    x = np.random.default_rng(0).normal(size=(90, 40)) * np.arange(1, 41) ** -1.0
    low = sx.Spectrum.from_samples(x, method="low-rank", rank=5)
    figure = spectrum_figure(low)
    marks = [x for x in panel(figure, "Eigenvalues").lines if x.get_gid() == "tail"]
    assert marks[0].get_xdata()[0] == 5
    assert "40 dimensions" in title(figure)


@pytest.mark.parametrize("eigenvalues", [[1.0], [2.0, 1.0], [1.0, 0.0], [1.0, 1.0, 1.0]])
def test_tiny_spectra_can_be_drawn(eigenvalues, tmp_path):
    figure = spectrum_figure(sx.Spectrum(eigenvalues))
    assert save_figure(figure, tmp_path / "tiny.png").exists()


@pytest.mark.thorough
def test_equal_spectra_make_equal_files(tmp_path):
    _, spectrum = digits()
    one, two = (save_figure(spectrum_figure(spectrum), tmp_path / f"{i}.svg") for i in "ab")
    assert one.read_bytes() == two.read_bytes()
