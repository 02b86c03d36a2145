"""Stride, padding and dilation as users write them become the right windows."""

import itertools

import numpy as np
import pytest

from fastconv.geometry import conv_geometry, linear_geometry, pool_geometry


def conv(size, kernel, **options):
    """Geometry and output height of an image of `size` pixels a side."""
    geometry, shape = conv_geometry("conv2d", (1, 1, size, size), (1, 1, kernel, kernel), **options)
    return geometry, shape[2]


class TestForms:
    @pytest.mark.parametrize("spelling", [2, (2,), [2], (2, 2), [2, 2], np.int64(2), np.array(2), np.array([2, 2])])
    @pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
    def test_one_number_stands_for_every_axis(self, name, spelling):
        expected = conv_geometry("conv2d", (2, 3, 9, 11), (4, 3, 3, 2), **{name: (2, 2)})
        assert conv_geometry("conv2d", (2, 3, 9, 11), (4, 3, 3, 2), **{name: spelling}) == expected

    def test_numbers_in_a_tuple_are_height_and_width(self):
        geometry, shape = conv_geometry("conv2d", (2, 3, 20, 30), (4, 3, 3, 5), (1, 2), (3, 4), (5, 6))
        assert geometry.stride == (1, 1, 2)
        assert geometry.dilation == (1, 5, 6)
        assert geometry.pad_lo == geometry.pad_hi == (0, 3, 4)
        assert shape == (2, 4, 20 + 6 - 10, (30 + 8 - 24 - 1) // 2 + 1)

    @pytest.mark.parametrize(
        ("padding", "before", "after"),
        [
            (((1, 2), (0, 1)), (0, 1, 0), (0, 2, 1)),
            ([[1, 2], [0, 1]], (0, 1, 0), (0, 2, 1)),
            (np.array([[1, 2], [0, 1]]), (0, 1, 0), (0, 2, 1)),
            (((1, 2),), (0, 1, 1), (0, 2, 2)),
            ((1, (0, 2)), (0, 1, 0), (0, 1, 2)),
            ((1, 2), (0, 1, 2), (0, 1, 2)),
            ("valid", (0, 0, 0), (0, 0, 0)),
        ],
    )
    def test_only_a_tuple_in_a_tuple_is_before_and_after(self, padding, before, after):
        geometry, _ = conv_geometry("conv2d", (1, 1, 9, 9), (1, 1, 3, 3), padding=padding)
        assert (geometry.pad_lo, geometry.pad_hi) == (before, after)

    def test_layouts_describe_one_geometry(self):
        first, first_shape = conv_geometry("conv2d", (2, 6, 9, 8), (4, 3, 5, 2), 2, 1, 1, 2)
        last, last_shape = conv_geometry("conv2d", (2, 9, 8, 6), (5, 2, 3, 4), 2, 1, 1, 2, channels_last=True)
        assert first == last
        assert first_shape == (2, 4, 4, 5)
        assert last_shape == (2, 4, 5, 4)

    def test_unbatched_input_is_one_image(self):
        geometry, shape = conv_geometry("conv2d", (3, 9, 9), (4, 3, 3, 3))
        assert geometry.batch == 1
        assert shape == (4, 7, 7)

    def test_one_and_three_axes_share_the_code(self):
        geometry, shape = conv_geometry("conv1d", (2, 3, 10), (4, 3, 3), 2, ((1, 2),), axes=1)
        assert geometry.input == (1, 1, 10)
        assert geometry.kernel == (1, 1, 3)
        assert (geometry.pad_lo, geometry.pad_hi) == ((0, 0, 1), (0, 0, 2))
        assert shape == (2, 4, 6)
        geometry, shape = conv_geometry("conv3d", (2, 3, 5, 6, 7), (4, 3, 1, 2, 3), (1, 2, 3), axes=3)
        assert geometry.stride == (1, 2, 3)
        assert shape == (2, 4, 5, 3, 2)


class TestSizes:
    def test_output_counts_the_windows_that_fit(self):
        for size, kernel, stride, dilation, pad in itertools.product(
            range(1, 8), range(1, 4), (1, 2, 3), (1, 2), (0, 2)
        ):
            window = dilation * (kernel - 1) + 1
            fitting = len([start for start in range(0, size + 2 * pad, stride) if start + window <= size + 2 * pad])
            if fitting:
                assert conv(size, kernel, stride=stride, dilation=dilation, padding=pad)[1] == fitting

    def test_same_is_the_rule_of_tensorflow(self):
        # size, kernel, stride, dilation: before, after. By hand from total = (out - 1) * s + r * (k - 1) + 1 - size.
        cases = {
            (5, 3, 1, 1): (1, 1),
            (5, 2, 1, 1): (0, 1),
            (5, 3, 2, 1): (1, 1),
            (6, 3, 2, 1): (0, 1),
            (224, 7, 2, 1): (2, 3),
            (7, 2, 3, 1): (0, 1),
            (6, 2, 3, 1): (0, 0),
            (5, 3, 1, 2): (2, 2),
            (6, 1, 3, 1): (0, 0),
        }
        for (size, kernel, stride, dilation), pads in cases.items():
            geometry, out = conv(size, kernel, stride=stride, padding="same", dilation=dilation)
            assert (geometry.pad_lo[1], geometry.pad_hi[1]) == pads
            assert out == -(-size // stride)

    def test_ceil_mode_adds_a_window_for_the_remainder_unless_it_starts_past_the_input(self):
        for size, kernel, stride, pad in itertools.product(range(1, 9), range(1, 6), range(1, 5), range(3)):
            # torch refuses a window that overhangs the padded input by a whole stride, even if it is the first.
            if pad > kernel // 2 or kernel - (size + 2 * pad) >= stride:
                continue
            # Windows from the first on, up to the first that covers the padded input's end; those that start inside.
            starts = [0]
            while starts[-1] + kernel < size + 2 * pad:
                starts.append(starts[-1] + stride)
            expected = len([start for start in starts if start < size + pad])
            _, shape = pool_geometry("max_pool2d", (1, 1, size, size), kernel, stride, pad, ceil_mode=True)
            assert shape[2] == expected, (size, kernel, stride, pad)

    def test_ceil_mode_keeps_the_padding_that_was_given(self):
        geometry, shape = pool_geometry("avg_pool2d", (1, 1, 5, 5), 2, 2, 0, ceil_mode=True)
        assert shape == (1, 1, 3, 3)
        assert geometry.pad_hi == (0, 0, 0)

    @pytest.mark.parametrize("stride", [None, (), []])
    def test_pooling_stride_defaults_to_the_kernel(self, stride):
        geometry, _ = pool_geometry("max_pool2d", (1, 1, 9, 9), (2, 3), stride)
        assert geometry.stride == geometry.kernel == (1, 2, 3)

    def test_pooling_has_one_group_for_each_channel(self):
        geometry, shape = pool_geometry("max_pool2d", (4, 6, 8, 3), 2, channels_last=True)
        assert (geometry.in_channels, geometry.out_channels, geometry.groups) == (3, 3, 3)
        assert shape == (4, 3, 4, 3)

    def test_pooling_same_may_exceed_half_of_the_kernel(self):
        _, shape = pool_geometry("max_pool2d", (1, 1, 9, 9), 2, 1, "same", 3)
        assert shape == (1, 1, 9, 9)

    def test_linear_is_a_convolution_of_pixels(self):
        geometry, shape = linear_geometry("linear", (2, 7, 3), (3, 5), channels_last=True)
        assert shape == (2, 7, 5)
        assert (geometry.batch, geometry.in_channels, geometry.out_channels) == (14, 3, 5)
        assert linear_geometry("linear", (2, 7, 3), (3,))[1] == (2, 7)
        assert linear_geometry("linear", (3,), (5, 3))[1] == (5,)

    def test_repeated_call_is_a_look_up(self):
        arguments = ("conv2d", (2, 3, 9, 9), (4, 3, 3, 3), [1, 2], "same")
        assert conv_geometry(*arguments)[0] is conv_geometry(*arguments)[0]


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"stride": 0}, ValueError, r"^conv2d: stride must be at least 1, got 0$"),
            ({"stride": ()}, ValueError, r"stride must be an integer or 2 integers, got \(\)"),
            ({"stride": (1, 2, 3)}, ValueError, r"stride must be an integer or 2 integers, got \(1, 2, 3\)"),
            ({"stride": ((1, 1), 1)}, ValueError, r"stride must be an integer or 2 integers"),
            ({"stride": 1.5}, TypeError, r"stride must consist of integers, got 1\.5"),
            ({"stride": (1, 2.0)}, TypeError, r"stride must consist of integers, got 2\.0"),
            ({"stride": None}, TypeError, r"stride must consist of integers, got None"),
            ({"stride": "same"}, TypeError, r"stride must consist of integers, got 'same'"),
            ({"stride": 2**31}, ValueError, r"stride must be at most 2147483647, got 2147483648"),
            ({"dilation": (0, 1)}, ValueError, r"dilation must be at least 1, got \(0, 1\)"),
            ({"padding": -1}, ValueError, r"padding must be at least 0, got -1"),
            ({"padding": ((0, 1), (-1, 0))}, ValueError, r"padding must be at least 0, got \(\(0, 1\), \(-1, 0\)\)"),
            ({"padding": "full"}, ValueError, r"padding must be .*'valid' or 'same', got 'full'"),
            ({"padding": (1, 2, 3)}, ValueError, r"padding must be .*, got \(1, 2, 3\)"),
            ({"padding": ((1, 2), (1,))}, ValueError, r"padding must be .*, got \(\(1, 2\), \(1,\)\)"),
            ({"padding": (((1, 2),), 1)}, ValueError, r"padding must be "),
            ({"padding": ("same", "valid")}, ValueError, r"padding must be "),
            ({"groups": 0}, ValueError, r"groups must be a positive integer, got 0"),
            ({"groups": 4}, ValueError, r"groups must divide the 6 input channels, got 4"),
            ({"groups": 3.0}, TypeError, r"groups must consist of integers, got 3\.0"),
            ({"dilation": 4}, ValueError, r"output height is \(5 \+ 0 \+ 0 - \(4\*\(3 - 1\) \+ 1\)\)//1 \+ 1 = -3; "),
            ({"padding": 2**31 - 1}, MemoryError, r"output of shape \(1, 4, 4294967297, 4294967297\)"),
        ],
    )
    def test_conv_argument_out_of_range(self, options, error, message):
        with pytest.raises(error, match=message):
            conv_geometry("conv2d", (1, 6, 5, 5), (4, 6, 3, 3), **options)

    @pytest.mark.parametrize(
        ("input_shape", "weight_shape", "groups", "message"),
        [
            ((5, 5), (4, 3, 3, 3), 1, r"input must have shape \(n, c, h, w\) or \(c, h, w\), got \(5, 5\)"),
            ((1, 3, 5, 5, 5), (4, 3, 3, 3), 1, r"input must have shape .*, got \(1, 3, 5, 5, 5\)"),
            ((1, 3, 0, 5), (4, 3, 3, 3), 1, r"input must have a positive height, got shape \(1, 3, 0, 5\)"),
            (
                (1, 3, 5, 5),
                (64, 4, 3, 3),
                1,
                r"weight must have shape \(64, 3, kh, kw\) for 3 input channels, got \(64, 4, 3, 3\)",
            ),
            ((1, 6, 5, 5), (4, 6, 3, 3), 2, r"\(4, 3, kh, kw\) for 6 input channels in 2 groups, got \(4, 6, 3, 3\)"),
            ((1, 3, 5, 5), (3, 3), 1, r"weight must have shape \(c_out, 3, kh, kw\) .*, got \(3, 3\)"),
            ((1, 3, 5, 5), (0, 3, 3, 3), 1, r"weight must have positive c_out and kernel size, got shape"),
            ((1, 3, 5, 5), (4, 3, 3, 0), 1, r"weight must have positive c_out and kernel size, got shape"),
            ((1, 6, 5, 5), (4, 2, 3, 3), 3, r"groups must divide the 4 output channels, got 3"),
            (
                (1, 3, 5, 5),
                (4, 3, 7, 3),
                1,
                r"^conv2d: output height is \(5 \+ 0 \+ 0 - 7\)//1 \+ 1 = -1; "
                r"kernel_size must not exceed the padded input$",
            ),
        ],
    )
    def test_shapes_that_contradict_each_other(self, input_shape, weight_shape, groups, message):
        with pytest.raises(ValueError, match=message):
            conv_geometry("conv2d", input_shape, weight_shape, groups=groups)

    def test_channels_last_forms_are_named(self):
        with pytest.raises(ValueError, match=r"input must have shape \(n, h, w, c\) or \(h, w, c\), got \(5, 5\)"):
            conv_geometry("conv2d", (5, 5), (3, 3, 1, 4), channels_last=True)
        with pytest.raises(ValueError, match=r"weight must have shape \(kh, kw, 3, 4\) for 3 input channels"):
            conv_geometry("conv2d", (1, 5, 5, 3), (3, 3, 1, 4), channels_last=True)

    def test_refusal_does_not_depend_on_earlier_calls(self):
        conv_geometry("conv2d", (1, 1, 5, 5), (1, 1, 3, 3), stride=(1, 1))
        with pytest.raises(TypeError, match="stride must consist of integers"):
            conv_geometry("conv2d", (1, 1, 5, 5), (1, 1, 3, 3), stride=(1.0, 1.0))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0,), r"kernel_size must be at least 1, got 0"),
            (((),), r"kernel_size must be an integer or 2 integers, got \(\)"),
            ((2, 0), r"stride must be at least 1, got 0"),
            ((3, 1, 2), r"padding must be at most half of kernel_size, 3//2 = 1 for height, got 2"),
            ((3, 1, ((0, 1), (0, 2))), r"padding must be at most half of kernel_size, 3//2 = 1 for width, got 2"),
            ((6,), r"output height is \(5 \+ 0 \+ 0 - 6\)//6 \+ 1 = 0; kernel_size must not exceed"),
            ((7, 1, 0, 1, True), r"output height is ceil\(\(5 \+ 0 \+ 0 - 7\)/1\) \+ 1 = -1"),
        ],
    )
    def test_pool_argument_out_of_range(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            pool_geometry("max_pool2d", (1, 1, 5, 5), *arguments)

    def test_pooling_needs_a_channel(self):
        with pytest.raises(ValueError, match=r"input must have at least one channel, got shape \(1, 0, 5, 5\)"):
            pool_geometry("max_pool2d", (1, 0, 5, 5), 2)

    @pytest.mark.parametrize(
        ("input_shape", "weight_shape", "channels_last", "message"),
        [
            ((), (5, 3), False, r"input must have at least one axis, got shape \(\)"),
            ((2, 3), (5, 3, 1), False, r"weight must have one or two axes, got shape \(5, 3, 1\)"),
            ((2, 3), (5, 4), False, r"weight must have shape \(out, 3\) for 3 input features, got \(5, 4\)"),
            ((2, 3), (5, 3), True, r"weight must have shape \(3, out\) for 3 input features, got \(5, 3\)"),
        ],
    )
    def test_linear_shapes_that_contradict_each_other(self, input_shape, weight_shape, channels_last, message):
        with pytest.raises(ValueError, match=message):
            linear_geometry("linear", input_shape, weight_shape, channels_last)
