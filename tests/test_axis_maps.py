"""Linear maps along axes: for all images or for each, and what the core refuses of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import every_setting

from fastconv import _core
from fastconv.functional._axis_maps import AxisMap, apply_maps, axis_map, identity


def dense(axis, images):
    """Return a map as matrices [image][output][input]."""
    matrices = np.zeros((images, axis.outputs, axis.inputs))
    if axis.begin is None:
        return matrices + np.eye(axis.inputs)
    for row in range(len(axis.begin) - 1):
        for tap in range(axis.begin[row], axis.begin[row + 1]):
            at = slice(None) if len(axis.begin) - 1 == axis.outputs else row // axis.outputs
            matrices[at, row % axis.outputs, axis.source[tap]] += axis.weight[tap]
    return matrices


@st.composite
def maps(draw, images):
    inputs, outputs, taps = draw(st.integers(0, 40)), draw(st.integers(0, 40)), draw(st.integers(0, 3))
    if draw(st.integers(0, 3)) == 0:
        return identity(inputs)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    lead = (images,) if draw(st.booleans()) else ()
    index = rng.integers(-1, inputs + 1, (*lead, outputs, taps))
    if taps and draw(st.booleans()):  # neighbours of one place after the other, which are copied at once
        index[..., 0] = np.arange(outputs) + draw(st.integers(-3, 3))
        index[..., 1:] = -1
    return axis_map(inputs, index, rng.integers(0, 2, index.shape) * 0.5 + 0.5, np.dtype(np.float64))


@settings(max_examples=150)
@given(data=st.data(), images=st.integers(0, 3), channels=st.sampled_from([1, 2, 5, 9]), last=st.booleans())
def test_maps_and_their_transposes_are_the_matrices(data, images, channels, last):
    axes = [data.draw(maps(images)) for _ in range(data.draw(st.integers(1, 2)))]
    matrices = [dense(axis, images) for axis in axes]
    for used, expected_matrices in [
        (axes, matrices),
        ([axis.transposed() for axis in axes], [matrix.transpose(0, 2, 1) for matrix in matrices]),
    ]:
        shape = (images, channels, *(axis.inputs for axis in used))
        x = np.random.default_rng(0).integers(-3, 4, shape).astype(np.float64)
        expected = x
        for number, matrix in enumerate(expected_matrices):
            expected = np.moveaxis(
                np.einsum("nij,n...j->n...i", matrix, np.moveaxis(expected, 2 + number, -1)), -1, 2 + number
            )
        for _ in every_setting():
            y = apply_maps(np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x, used, channels_last=last)
            np.testing.assert_array_equal(np.moveaxis(y, -1, 1) if last else y, expected)


class TestCoreRefuses:
    """No argument can make the C code leave an array."""

    X, Y = np.ones((2, 1, 1, 1, 4)), np.empty((2, 1, 1, 1, 2))
    GOOD = AxisMap(4, 2, np.array([0, 1, 2]), np.array([0, 3]), np.array([1.0, 1.0]))

    def resample(self, axis, x=X, y=Y):
        _core.resample(2, 1, False, (identity(1), identity(1), axis), x, y)

    def test_the_map_that_is_changed_below_is_good(self):
        self.resample(self.GOOD)

    @pytest.mark.parametrize(
        "changes",
        [
            {"begin": np.array([0, 1, 3])},
            {"begin": np.array([0, 3, 2])},
            {"begin": np.array([1, 1, 2])},
            {"begin": np.array([0, 1])},
            {"begin": np.array([0, 1, 1, 2])},
            {"begin": np.array([0, 0, 1, 1, 1, 1, 2])},
            {"begin": np.array([], np.int64)},
            {"source": np.array([0, 4])},
            {"source": np.array([-1, 0])},
            {"source": np.array([0, 1, 2])},
            {"weight": np.array([1.0])},
            {"inputs": 3},
            {"inputs": -4},
            {"outputs": 3},
            {"outputs": 2**61},
        ],
        ids=str,
    )
    def test_sizes_and_places(self, changes):
        with pytest.raises(ValueError, match="_core"):
            self.resample(self.GOOD._replace(**changes))

    def test_arrays_of_another_size(self):
        with pytest.raises(ValueError, match="_core: array must have 8 elements, got 6"):
            self.resample(self.GOOD, x=np.ones(6))
        with pytest.raises(ValueError, match="_core: array must have 4 elements, got 3"):
            self.resample(self.GOOD, y=np.ones(3))
        with pytest.raises(ValueError, match="_core: sizes, or indices, contradict each other"):
            self.resample(AxisMap(4, 2), x=np.ones(8), y=np.ones(4))

    def test_dtypes(self):
        with pytest.raises(TypeError, match="_core: weights must have the arrays' dtype"):
            self.resample(self.GOOD._replace(weight=np.ones(2, np.float32)))
        with pytest.raises(TypeError, match="_core: indices must be native int64"):
            self.resample(self.GOOD._replace(source=np.zeros(2, np.int32)))
