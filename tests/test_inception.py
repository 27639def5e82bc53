"""Inception's features beside torch-fidelity's; without torch what needs none."""

import hashlib
import io
import socket
import sys

import numpy as np
import pytest

from specjax._core.checks import UserError
from specjax.evaluate import frechet, inception


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def network(torch):
    return pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not installed"
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory, torch, network):
    """Random weights of torch-fidelity's network, in a file."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.set_num_threads(1)  # threads that wait for each other's cores are slow
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # Without a file it would download one: give back what it has.
        patch.setattr(network, "load_state_dict_from_url", lambda *args, **kwargs: None)
        patch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
        made = network.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(made.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def opened(weights, network):
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*args, **kwargs):
            raise AssertionError("the network was asked for")

        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(network, "load_state_dict_from_url", refuse)
        return inception.open_inception(weights, device="cpu")


def images(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def theirs(weights, torch, network):
    """torch-fidelity's own features of images of 8 bits."""
    made = network.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )

    def features(pixels):
        with torch.no_grad():
            (found,) = made(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
        return found.numpy()

    return features


@pytest.mark.thorough
def test_features_are_those_of_torch_fidelity(theirs, opened):
    pixels = images(3, 0)
    mine = opened(pixels / 127.5 - 1)
    np.testing.assert_allclose(mine, theirs(pixels), rtol=1e-5, atol=1e-6)
    assert mine.std(0).max() > 0


def test_grey_is_repeated(theirs, opened):
    grey = images(1, 1)[..., :1]
    expected = theirs(np.repeat(grey, 3, -1))
    for shape in ((1, 8, 8, 1), (1, 8, 8)):
        given = (grey / 127.5 - 1).reshape(shape).astype(np.float32)
        np.testing.assert_allclose(opened(given), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "features"), [(10, 4), pytest.param(60, 16, marks=pytest.mark.slow)])
def test_the_distance_is_that_of_torch_fidelity(opened, torch, n, features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    # The first features only: n exceeds them, so that no covariance is singular.
    a, b = (opened(images(n, seed) / 127.5 - 1)[:, :features] for seed in (2, 3))
    stats = [fid_features_to_statistics(torch.from_numpy(x.astype(np.float64))) for x in (a, b)]
    expected = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_only_the_published_weights_give_the_fid(weights, opened, network, monkeypatch):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert opened.source["sha256"] == digest
    assert opened.distance_name == "feature Fréchet (Inception with the weights random.pth)"
    assert inception.PUBLISHED in network.URL_INCEPTION_V3
    monkeypatch.setattr(inception, "PUBLISHED", digest[:8])
    assert opened.distance_name == "FID"


def test_pixels_are_rounded_and_clipped():
    ends = np.array([-1.2, -1.0, -1.0 + 0.49 / 127.5, -1.0 + 0.51 / 127.5, 1.0, 1.5])
    pixels = inception.to_pixels(ends.reshape(1, 1, 6))
    assert pixels[0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    back = inception.to_pixels((every / 127.5 - 1).astype(np.float32))
    np.testing.assert_array_equal(back, np.repeat(every[..., None], 3, -1))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((3, 400)),
        np.zeros((3, 4, 4, 2)),
        np.zeros((0, 4, 4)),
        np.zeros((3, 4, 4), np.uint8),
        np.full((3, 4, 4), np.nan),
    ],
)
def test_what_is_no_image_is_refused(samples):
    opened = inception.Inception(None, "cpu", {"file": "x.pth", "sha256": ""})
    with pytest.raises(UserError, match="samples"):
        opened(samples)


def saved(value):
    buffer = io.BytesIO()
    pytest.importorskip("torch").save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        lambda: b"",
        lambda: b"<html>not found</html>",
        lambda: saved({"x": pytest.approx}),  # a function: code that a file could run
        lambda: saved({"weight": pytest.importorskip("torch").zeros(2)}),
        lambda: saved([1, 2]),
    ],
)
def test_other_files_are_refused(tmp_path, network, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content())
    with pytest.raises(UserError, match=r"x\.pth"):
        inception.open_inception(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth"):
        inception.open_inception(tmp_path / "none.pth")


@pytest.mark.parametrize("module", ["torch", "torch_fidelity"])
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, module):
    path = tmp_path / "x.pth"
    path.write_bytes(b"")
    for name in [module, *(name for name in sys.modules if name.startswith(f"{module}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"specjax\[evaluate\]"):
        inception.open_inception(path)
