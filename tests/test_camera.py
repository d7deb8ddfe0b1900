"""Look directions and mounts, by hand and against SciPy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ManifestError
from dronesense.geotag.camera import NAMED_MOUNTS, camera_to_body, directions
from dronesense.model import LineCamera, Mount


def fan(samples: int, fov_deg: float) -> LineCamera:
    """A fan of pixels by the formula of the conventions page."""
    tangent = (2 * (np.arange(samples) + 0.5) / samples - 1) * np.tan(np.radians(fov_deg / 2))
    return LineCamera(samples, np.column_stack([np.degrees(np.arctan(tangent)), np.zeros(samples)]))


def test_angles_become_tangents() -> None:
    look = LineCamera(2, np.array([[45.0, 0.0], [-45.0, 45.0]]))
    np.testing.assert_allclose(
        directions(look), [[0.0, 0.5**0.5, 0.5**0.5], [3**-0.5, -(3**-0.5), 3**-0.5]], atol=1e-15
    )


def test_edges_of_the_fan_are_the_field_of_view() -> None:
    vectors = directions(fan(10, 40.0), [-0.5, 9.5])
    np.testing.assert_allclose(
        np.degrees(np.arctan2(vectors[:, 1], vectors[:, 2])), [-20.0, 20.0], atol=1e-12
    )


@given(sample=st.floats(-0.5, 9.5))
def test_fractions_follow_the_tangent_plane(sample: float) -> None:
    vector = directions(fan(10, 60.0), [sample])[0]
    expected = (2 * (sample + 0.5) / 10 - 1) * np.tan(np.radians(30.0))
    assert vector[1] / vector[2] == pytest.approx(expected, abs=1e-12)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-15)


def test_pixel_centers_are_the_integers() -> None:
    camera = LineCamera(3, np.array([[-10.0, 1.0], [2.0, 0.5], [11.0, -1.0]]))
    np.testing.assert_allclose(directions(camera, [0, 1, 2]), directions(camera), rtol=1e-15)


@pytest.mark.parametrize("sample", [-0.51, 9.51, float("nan")])
def test_samples_beyond_the_detector_are_refused(sample: float) -> None:
    with pytest.raises(ValueError, match="sample indices"):
        directions(fan(10, 40.0), [sample])


def test_camera_of_one_pixel() -> None:
    np.testing.assert_allclose(directions(fan(1, 10.0), [-0.5, 0.0, 0.5]), [[0, 0, 1]] * 3)


def test_look_to_the_horizon_is_refused() -> None:
    with pytest.raises(ManifestError, match="90"):
        directions(LineCamera(1, np.array([[90.0, 0.0]])))


def test_named_mounts_are_rotations() -> None:
    for name, matrix in NAMED_MOUNTS.items():
        np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))
        assert np.linalg.det(matrix) == pytest.approx(1.0)
        np.testing.assert_allclose(camera_to_body(Mount(rotation=name)), matrix, atol=1e-15)


@given(angles=st.tuples(*[st.floats(-20.0, 20.0)] * 3), name=st.sampled_from(sorted(NAMED_MOUNTS)))
def test_boresight_is_composed_after_the_mount(angles: tuple[float, float, float], name: str) -> None:
    boresight = Rotation.from_euler("ZYX", angles[::-1], degrees=True).as_matrix()
    mount = Mount(rotation=name, boresight_deg=angles)
    np.testing.assert_allclose(camera_to_body(mount), NAMED_MOUNTS[name] @ boresight, atol=1e-12)


def test_unknown_mount_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ManifestError, match='"nadir-18"') as caught:
        camera_to_body(Mount(rotation="nadir-18"))
    assert 'did you mean "nadir-180"?' in str(caught.value)
