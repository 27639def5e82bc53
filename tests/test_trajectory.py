import numpy as np
import pytest

import specjax as sx


def test_trajectories_of_one_variance_are_straight_lines():
    found = sx.trajectory(sx.wiener(sx.Spectrum(np.ones(3))), (3,), n=4, steps=12)
    np.testing.assert_allclose(found.length_ratio, 1, atol=1e-5)
    assert found.deviation.max() < 1e-4
    assert found.turning[:, :-1].max() < 2e-3  # of float32
    np.testing.assert_allclose(found.explained, 1, atol=1e-6)


def test_trajectories_of_two_variances_bend_in_a_plane():
    """x_i(s) / x_i(s_0) = sqrt((lambda_i + s^2) / (lambda_i + s_0^2)), in the limit of steps."""
    lam = np.array([1.0, 1.0, 0.01, 0.01])
    found = sx.trajectory(sx.wiener(sx.Spectrum(lam)), (4,), n=3, steps=400, seed=1)
    start = np.random.default_rng(1).standard_normal((3, 4), np.float32)
    s = np.asarray(found.schedule.sigmas)
    paths = (start * s[0])[:, None] * np.sqrt(
        (lam + s[:, None] ** 2) / (lam + s[0] ** 2)
    )  # [n, S + 1, d]
    length = np.linalg.norm(np.diff(paths, axis=1), axis=-1).sum(1)
    chord = np.linalg.norm(paths[:, -1] - paths[:, 0], axis=-1)
    np.testing.assert_allclose(found.length_ratio, length / chord, rtol=1e-4)
    np.testing.assert_allclose(found.explained[:, 1], 1, atol=1e-5)
    # It bends where s^2 passes between the variances.
    bend = s[1:-1][found.bend.argmax()]
    assert 0.05 < bend < 1.5
    assert len(found.plot().axes) == 3
    assert "chords" in repr(found)


def test_a_black_box_has_trajectories_and_mistakes_are_told():
    box = sx.BlackBox(lambda x, alpha, sigma: x / (1 + sigma**2), (2,))
    found = sx.trajectory(box, n=2, steps=6)
    np.testing.assert_allclose(found.length_ratio, 1, atol=1e-5)
    for name, wrong in (("steps", {"steps": 2}), ("n", {"n": 0}), ("seed", {"seed": -1})):
        with pytest.raises(sx.UserError, match=name):
            sx.trajectory(box, **wrong)
