"""Max unpooling over one to three axes, and its gradient."""

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import assert_same_bits, every_setting, image_as, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient

SIZES = {1: (16,), 2: (4, 6), 3: (2, 4, 6)}
AXES = pytest.mark.parametrize("axes", SIZES)


def functions(axes):
    return getattr(F, f"max_unpool{axes}d"), getattr(F, f"max_unpool{axes}d_backward")


@settings(max_examples=400)
@given(case=strategies.max_unpool())
def test_values_and_gradient_match_reference(case):
    forward, backward = case.functions(F, "max_unpool")
    reference_forward, reference_backward = case.functions(reference, "max_unpool")
    x, indices = case.input(), case.indices()
    expected = reference_forward(x, indices, **case.options)
    gy = case.grad_output(expected.shape)
    gradient = reference_backward(gy, x, indices, **case.options)
    for setting in every_setting():
        note(setting)
        y = forward(x, indices, **case.options)
        assert y.dtype == case.dtype
        np.testing.assert_array_equal(y, expected)
        gx = backward(gy, x, indices, **case.options)
        assert gx.dtype == case.dtype
        np.testing.assert_array_equal(gx, gradient)


@AXES
def test_undoes_max_pooling_but_for_what_was_not_the_maximum(axes, isa, threads, dtype, data_format, rng):
    x = image_as(rng.standard_normal((3, *SIZES[axes], 21)), data_format, dtype)
    y, indices = getattr(F, f"max_pool{axes}d")(x, 2, return_indices=True, data_format=data_format)
    forward, _ = functions(axes)
    back = forward(y, indices, 2, data_format=data_format)
    assert back.shape == x.shape
    kept = back != 0
    assert np.count_nonzero(kept) == y.size
    np.testing.assert_array_equal(back[kept], x[kept])
    pooled, _ = getattr(F, f"max_pool{axes}d")(
        np.where(kept, back, -np.inf), 2, None, 0, 1, False, True, data_format=data_format
    )
    assert_same_bits(pooled, y)


@AXES
def test_last_of_several_values_stays(axes, isa, threads, dtype, data_format):
    pooled = (2,) * axes
    x = image_as(np.arange(1.0, 2**axes * 20 + 1).reshape(1, *pooled, 20), data_format, dtype)
    forward, backward = functions(axes)
    y = forward(x, np.full(x.shape, 3), 2, data_format=data_format)
    expected = np.zeros((1, 4**axes, 20))
    expected[0, 3] = np.arange((2**axes - 1) * 20 + 1, 2**axes * 20 + 1)
    expected = expected.reshape(1, *(4,) * axes, 20)
    np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))
    gx = backward(y, x, np.full(x.shape, 3), 2, data_format=data_format)
    np.testing.assert_array_equal(
        gx,
        image_as(
            np.broadcast_to(expected.max(axis=tuple(range(1, axes + 1)), keepdims=True), (1, *pooled, 20)),
            data_format,
            dtype,
        ),
    )


def test_a_value_of_many_pixels_is_found_by_every_thread(isa, threads, dtype, data_format, rng):
    x = image_as(rng.standard_normal((2, 40, 40, 65)), data_format, dtype)
    y, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True, data_format=data_format)
    options = {"stride": 2, "padding": 1, "output_size": (40, 40), "data_format": data_format}
    np.testing.assert_array_equal(
        F.max_unpool2d(y, indices, 3, **options), reference.max_unpool2d(y, indices, 3, **options)
    )
    np.testing.assert_array_equal(F.max_unpool2d_backward(x, y, indices, 3, **options), y)


@settings(max_examples=60)
@given(case=strategies.max_unpool())
def test_gradient_is_a_directional_derivative_where_no_index_occurs_twice(case, isa):
    forward, backward = case.functions(F, "max_unpool")
    last = case.options["data_format"] == "channels_last"
    x = case.input().astype(np.float64)
    pixels = int(np.prod(x.shape[-case.axes - 1 : -1] if last else x.shape[-case.axes :]))
    if pixels > case.pixels:
        return
    positions = np.random.default_rng(case.seed).permutation(case.pixels)[:pixels]
    shape = x.shape[-case.axes - 1 : -1] if last else x.shape[-case.axes :]
    indices = np.broadcast_to(positions.reshape((*shape, 1) if last else shape), x.shape)
    check_gradient(
        lambda value: forward(value, indices, **case.options),
        x,
        backward=lambda gy, value: backward(gy, value, indices, **case.options),
        directions=1,
    )


@AXES
class TestForms:
    def test_empty_batch_gives_an_empty_batch(self, axes, isa, threads, data_format):
        forward, backward = functions(axes)
        x = image_as(np.ones((0, *SIZES[axes], 3)), data_format, np.float32)
        y = forward(x, x.astype(np.int64), 2, data_format=data_format)
        assert y.shape == image_as(np.ones((0, *(2 * size for size in SIZES[axes]), 3)), data_format, int).shape
        assert backward(y, x, x.astype(np.int64), 2, data_format=data_format).shape == x.shape

    def test_inputs_are_unchanged(self, axes, isa, data_format, rng):
        forward, backward = functions(axes)
        x = image_as(rng.standard_normal((2, *SIZES[axes], 17)), data_format, np.float32)
        indices = rng.integers(0, np.prod(SIZES[axes]), x.shape)
        copies = x.copy(), indices.copy()
        backward(forward(x, indices, 2, data_format=data_format), x, indices, 2, data_format=data_format)
        assert_same_bits(x, copies[0])
        assert_same_bits(indices, copies[1])

    @pytest.mark.parametrize(("code", "result"), [("f2", "f2"), ("u1", "f4"), ("?", "f4"), ("i8", "f8")])
    def test_result_has_the_promoted_dtype_and_indices_may_have_any(self, axes, code, result, rng):
        forward, backward = functions(axes)
        x = rng.integers(0, 2, (2, 3, *SIZES[axes])).astype(code)
        y = forward(x, np.zeros(x.shape, np.uint8), 2)
        assert y.dtype == result
        assert backward(y, x, np.zeros(x.shape, np.int16), 2).dtype == result

    def test_order_of_elements_in_memory_does_not_matter(self, axes, rng):
        forward, backward = functions(axes)
        x = small_integers(rng, (2, 3, *SIZES[axes]))
        indices = rng.integers(0, np.prod(SIZES[axes]), x.shape)
        turned = np.asfortranarray(x), np.asfortranarray(indices)
        y = forward(x, indices, 2)
        assert_same_bits(forward(*turned, 2), y)
        assert_same_bits(backward(np.asfortranarray(y), *turned, 2), backward(y, x, indices, 2))


@AXES
class TestErrors:
    @pytest.mark.parametrize("index", [-2, -1, 2**40, -(2**63), 2**63 - 1])
    @pytest.mark.parametrize("place", [0, -1])
    def test_index_outside_of_the_output(self, axes, index, place, isa, threads, dtype, data_format):
        forward, backward = functions(axes)
        x = image_as(np.ones((2, *SIZES[axes], 18)), data_format, dtype)
        indices = np.zeros(x.shape, np.int64)
        indices.flat[place] = index
        gy = image_as(np.ones((2, *(2 * size for size in SIZES[axes]), 18)), data_format, dtype)
        text = f"indices must be positions in .*pixels, got values from {min(index, 0)} to {max(index, 0)}"
        with pytest.raises(ValueError, match=f"^max_unpool{axes}d: {text}"):
            forward(x, indices, 2, data_format=data_format)
        with pytest.raises(ValueError, match=f"^max_unpool{axes}d_backward: {text}"):
            backward(gy, x, indices, 2, data_format=data_format)

    def test_first_index_past_the_end(self, axes):
        forward, _ = functions(axes)
        pixels = 2**axes
        x = np.ones((1, *(1,) * axes))
        assert forward(x, np.full(x.shape, pixels - 1), 2).flat[-1] == 1
        product = " * ".join(["2"] * axes) + (f" = {pixels}" if axes > 1 else "")
        with pytest.raises(
            ValueError,
            match=rf"positions in {product} pixels, got values from {pixels} to {pixels}$".replace("*", r"\*"),
        ):
            forward(x, np.full(x.shape, pixels), 2)

    @pytest.mark.parametrize(
        ("arguments", "error", "text"),
        [
            ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
            ({"kernel_size": 2, "stride": 0}, ValueError, "stride must be at least 1, got 0"),
            ({"kernel_size": 2, "padding": 2}, ValueError, "padding must be at most half of kernel_size"),
            ({"kernel_size": 2, "output_size": 3}, ValueError, "output_size must consist of . or . integers, got 3"),
            ({"kernel_size": 2, "output_size": (1.5,)}, TypeError, "output_size must consist of integers"),
            ({"kernel_size": 2, "output_size": (1,) * 6}, ValueError, "output_size must consist of . or . integers"),
        ],
        ids=str,
    )
    def test_argument_out_of_range(self, axes, arguments, error, text):
        forward, _ = functions(axes)
        x = np.ones((1, *SIZES[axes]))
        with pytest.raises(error, match=f"^max_unpool{axes}d: {text}"):
            forward(x, np.zeros(x.shape, int), **arguments)

    @pytest.mark.parametrize("size", [2, 6])
    def test_output_size_a_stride_away(self, axes, size):
        forward, _ = functions(axes)
        x = np.ones((1, *(2,) * axes))
        with pytest.raises(ValueError, match=rf"output_size must be more than 4 - 2 and less than 4 \+ 2 for .*{size}"):
            forward(x, np.zeros(x.shape, int), 2, output_size=(size,) * axes)

    def test_output_without_pixels(self, axes):
        forward, _ = functions(axes)
        x = np.ones((1, *(1,) * axes))
        with pytest.raises(ValueError, match="output must have at least one pixel on each axis"):
            forward(x, np.zeros(x.shape, int), 2, padding=1)

    def test_indices_of_another_shape_or_kind(self, axes):
        forward, backward = functions(axes)
        x = np.ones((1, *SIZES[axes]))
        with pytest.raises(ValueError, match=f"^max_unpool{axes}d: indices must have shape .*, that of the input"):
            forward(x, np.zeros(x.shape[:-1], int), 2)
        with pytest.raises(TypeError, match=f"^max_unpool{axes}d: indices must be integers, got float64"):
            forward(x, x, 2)
        with pytest.raises(ValueError, match=r"_backward: grad_output must have shape .*, that of the output"):
            backward(x, x, np.zeros(x.shape, int), 2)


class TestSameAsTorch:
    @AXES
    @pytest.mark.parametrize("batch", [(2,), (), (0,)], ids=str)
    @pytest.mark.parametrize(
        "options",
        [
            {"kernel_size": 2},
            {"kernel_size": 3},
            {"kernel_size": 3, "stride": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1},
        ],
        ids=str,
    )
    def test_values_and_gradient(self, torch, axes, options, batch, rng):
        x = rng.standard_normal((*batch, 3, *(size + 5 for size in SIZES[axes])))
        y, indices = getattr(F, f"max_pool{axes}d")(x, **options, return_indices=True)
        tensor, positions = torch.tensor(y, requires_grad=True), torch.tensor(indices)
        name = f"max_unpool{axes}d"
        size = x.shape[-axes:]
        expected = getattr(torch.nn.functional, name)(tensor, positions, **options, output_size=size)
        forward, backward = functions(axes)
        back = forward(y, indices, **options, output_size=size)
        np.testing.assert_array_equal(back, expected.detach().numpy())
        gy = rng.standard_normal(back.shape)
        expected.backward(torch.tensor(gy))
        gx = backward(gy, y, indices, **options, output_size=size)
        np.testing.assert_array_equal(gx, tensor.grad.numpy())

    def test_sizes(self, torch, rng):
        x = rng.standard_normal((2, 3, 7, 6))
        y, indices = F.max_pool2d(x, 2, return_indices=True)
        for arguments in [(2,), (2, 2), (2, [2, 2], 0, (7, 6)), ((2, 2), None, 0, x.shape)]:
            expected = torch.nn.functional.max_unpool2d(torch.tensor(y), torch.tensor(indices), *arguments)
            np.testing.assert_array_equal(F.max_unpool2d(y, indices, *arguments), expected.numpy())
