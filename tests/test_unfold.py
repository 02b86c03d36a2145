"""Windows as columns and back: unfold and fold."""

import numpy as np
import pytest
import strategies
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient


@st.composite
def windows(draw):
    """Images, and how windows lie on them."""
    case = draw(strategies.conv2d())
    last = case.options["data_format"] == "channels_last"
    shape = case.input_shape
    if last:
        shape = (*shape[:-3], shape[-1], *shape[-3:-1])
    kernel = case.weight_shape[:2] if last else case.weight_shape[2:]
    options = {name: case.options[name] for name in ("dilation", "padding", "stride")}
    x = np.random.default_rng(case.seed).integers(-9, 10, shape).astype(case.dtype)
    return x, {"kernel_size": kernel, **options}


@settings(max_examples=300)
@given(case=windows())
def test_unfold_and_fold_match_reference(case):
    x, options = case
    columns = F.unfold(x, **options)
    assert columns.dtype == x.dtype
    assert columns.flags.c_contiguous
    np.testing.assert_array_equal(columns, reference.unfold(x, **options))
    numbers = np.random.default_rng(1).integers(-9, 10, columns.shape).astype(x.dtype)
    size = x.shape[-2:]
    images = F.fold(numbers, size, **options)
    assert images.dtype == x.dtype
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, reference.fold(numbers, size, **options))
    np.testing.assert_array_equal(F.unfold_backward(numbers, x, **options), images)
    np.testing.assert_array_equal(F.fold_backward(x, numbers, size, **options), columns)


@settings(max_examples=200)
@given(case=windows())
def test_unfold_and_fold_are_those_of_torch_to_the_bit(torch, case):
    x, options = case
    assume(x.size)
    pads = np.ravel(options["padding"])
    assume(pads.dtype.kind == "i" and np.ndim(options["padding"]) < 2)
    values = {name: tuple(np.ravel(value).tolist()) for name, value in options.items()}
    values = {name: value if len(value) == 2 else value * 2 for name, value in values.items()}
    x = np.random.default_rng(2).standard_normal(x.shape).astype(x.dtype)
    expected = torch.nn.functional.unfold(torch.tensor(x), **values).numpy()
    columns = F.unfold(x, **options)
    assert_same_bits(columns, expected)
    expected = torch.nn.functional.fold(torch.tensor(columns), x.shape[-2:], **values).numpy()
    assert_same_bits(F.fold(columns, x.shape[-2:], **options), expected)


def test_arguments_by_position_are_those_of_torch(torch, rng):
    x = rng.standard_normal((2, 3, 9, 8))
    arguments = (2, 3), (2, 1), (1, 2), (2, 3)
    columns = F.unfold(x, *arguments)
    assert_same_bits(columns, torch.nn.functional.unfold(torch.tensor(x), *arguments).numpy())
    expected = torch.nn.functional.fold(torch.tensor(columns), (9, 8), *arguments).numpy()
    assert_same_bits(F.fold(columns, (9, 8), *arguments), expected)


def test_convolution_is_a_product_with_the_columns(rng):
    x, w = small_integers(rng, (2, 3, 7, 6)), small_integers(rng, (4, 3, 3, 2))
    y = (w.reshape(4, -1) @ F.unfold(x, (3, 2), 1, 1, 2)).reshape(2, 4, 4, 4)
    np.testing.assert_array_equal(y, reference.conv2d(x, w, stride=2, padding=1))


def test_fold_of_unfold_counts_the_windows_over_each_pixel():
    x = np.full((1, 1, 4, 5), 3.0)
    counts = [[1, 2, 2, 2, 1], [2, 4, 4, 4, 2], [2, 4, 4, 4, 2], [1, 2, 2, 2, 1]]
    np.testing.assert_array_equal(F.fold(F.unfold(x, 2), (4, 5), 2)[0, 0], 3.0 * np.array(counts))


def test_gradients_are_directional_derivatives(rng):
    check_gradient(F.unfold, rng.standard_normal((2, 3, 6, 5)), kernel_size=(2, 3), padding=1, stride=2)
    columns = rng.standard_normal((2, 18, 12))
    check_gradient(F.fold, columns, output_size=(6, 5), kernel_size=(2, 3), padding=1, stride=2)


class TestForms:
    def test_padding_may_differ_between_the_sides(self):
        columns = F.unfold(np.arange(1.0, 5).reshape(1, 2, 2), 2, padding=((1, 0), (0, 0)))
        np.testing.assert_array_equal(columns, [[0, 1], [0, 2], [1, 3], [2, 4]])

    def test_same_padding_has_a_window_for_each_pixel(self, rng):
        x = rng.standard_normal((2, 3, 5, 7))
        assert F.unfold(x, (4, 3), padding="same").shape == (2, 36, 35)

    def test_image_and_columns_without_a_batch_axis(self, rng):
        x = rng.standard_normal((1, 3, 5, 6))
        columns = F.unfold(x, 3)
        assert_same_bits(F.unfold(x[0], 3), columns[0])
        assert_same_bits(F.fold(columns[0], (5, 6), 3), F.fold(columns, (5, 6), 3)[0])

    def test_empty_batch(self):
        assert F.unfold(np.ones((0, 2, 4, 4)), 2).shape == (0, 8, 9)
        assert F.fold(np.ones((0, 8, 9)), 4, 2).shape == (0, 2, 4, 4)

    def test_no_channels(self):
        assert F.unfold(np.ones((2, 0, 4, 4)), 2).shape == (2, 0, 9)
        assert F.fold(np.ones((2, 0, 9)), 4, 2).shape == (2, 0, 4, 4)

    @pytest.mark.parametrize(("given", "result"), [("f2", "f2"), ("f4", "f4"), ("f8", "f8"), ("i8", "f8"), ("?", "f4")])
    def test_dtypes(self, given, result, rng):
        x = rng.integers(0, 2, (1, 2, 4, 4)).astype(given)
        columns = F.unfold(x, 3)
        assert columns.dtype == result
        assert F.fold(columns.astype(given), 4, 3).dtype == result

    def test_order_of_elements_in_memory_does_not_matter(self, rng):
        x = rng.standard_normal((2, 3, 6, 5))
        assert_same_bits(F.unfold(np.asfortranarray(x), 2), F.unfold(x, 2))

    def test_inputs_are_unchanged_and_not_shared(self, rng):
        x = rng.standard_normal((1, 1, 3, 3))
        copy = x.copy()
        columns = F.unfold(x, 1)
        columns[...] = 0
        images = F.fold(columns, 3, 1)
        images[...] = 1
        assert_same_bits(x, copy)
        np.testing.assert_array_equal(columns, 0)
