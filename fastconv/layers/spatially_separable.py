"""Convolution whose kernels are products of a column and a row."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

import math
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike

from fastconv import initializers
from fastconv._checks import to_array
from fastconv.layers._arguments import integer
from fastconv.layers._convolution import Integers, TwoStepConvolution
from fastconv.layers.base import Array, LayerOptions, Shape, WeightSpec


class SpatiallySeparableConv2D(TwoStepConvolution):
    r"""A `Conv2D` whose kernels are products of a column and a row, computed by the one and then the other.

    .. math:: kernel[p, q, c, o] = column[p, c, o] \; row[q, o]

    A k x 1 convolution to all filters comes first, then a 1 x k convolution of each filter's image with its row: ``k *
    (in_channels + 1)`` weights and products for a filter where `Conv2D` has ``k * k * in_channels``.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size, strides, dilation_rate : int or pair of int
        For (height, width).
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    activation : str or ActivationFunction, optional
    use_bias : bool
    column_initializer, row_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    In both data formats ``params["column_kernel"]`` has shape ``(kh, 1, in_channels, filters)``,
    ``params["row_kernel"]`` has shape ``(1, kw, 1, filters)``, and ``params["bias"]`` has shape ``(filters,)``.

    Examples
    --------
    >>> import numpy as np
    >>> sobel = SpatiallySeparableConv2D.from_kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    >>> sobel.params["column_kernel"].ravel(), sobel.params["row_kernel"].ravel()
    (array([1., 2., 1.], dtype=float32), array([-1.,  0.,  1.], dtype=float32))
    >>> image = np.zeros((1, 3, 4, 1))
    >>> image[0, :, 2:] = 5
    >>> sobel(image)[0, :, :, 0]
    array([[20., 20.]], dtype=float32)
    """

    regularized = ("column_kernel", "row_kernel", "bias")
    steps = ("column_kernel", "row_kernel")

    def __init__(
        self,
        filters: int,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Integers = 1,
        activation: object = None,
        use_bias: bool = True,
        column_initializer: object = "glorot_uniform",
        row_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            **options,
        )
        layer = type(self).__name__
        self.filters = integer(f"{layer}: filters", filters)
        self.column_initializer = initializers.get(column_initializer, f"{layer}: column_initializer")
        self.row_initializer = initializers.get(row_initializer, f"{layer}: row_initializer")

    @classmethod
    def from_kernel(cls, kernel: ArrayLike, **arguments: Any) -> Self:
        """Return a built layer, without a bias, that does what a `Conv2D` with `kernel` does.

        Integers are split into integers.

        Parameters
        ----------
        kernel : array_like, shape (kh, kw) or (kh, kw, in_channels, filters)
            Each filter must be a product of a column (of all its channels) and a row: a matrix of rank one, with
            ``kh * in_channels`` rows.
        **arguments
            Of the constructor, but for `filters`, `kernel_size` and `use_bias`.

        Raises
        ------
        TypeError
            A kernel that is no array of real numbers.
        ValueError
            A kernel of another shape, not finite, or of another rank; the text gives its singular values.

        Examples
        --------
        >>> SpatiallySeparableConv2D.from_kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
        Traceback (most recent call last):
            ...
        ValueError: SpatiallySeparableConv2D.from_kernel: kernel must have rank one, got singular values 5.37228, ...
        """
        where = f"{cls.__name__}.from_kernel"
        array = to_array(where, "kernel", kernel)
        if array.ndim not in (2, 4) or array.size == 0:
            raise ValueError(
                f"{where}: kernel must have shape (kh, kw) or (kh, kw, in_channels, filters), got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{where}: kernel must be finite, got {array}")
        eps = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
        kh, kw, channels, filters = shape = (*array.shape, 1, 1)[:4]
        # One matrix for each filter: [p][c] by [q].
        matrices = array.astype(np.float64).reshape(shape).transpose(3, 0, 2, 1).reshape(filters, kh * channels, kw)
        columns, rows = zip(*(_split(where, matrix, eps) for matrix in matrices), strict=True)
        layer = cls(filters, (kh, kw), use_bias=False, **arguments)
        layer.params["column_kernel"] = np.stack(columns, axis=-1).reshape(kh, 1, channels, filters)
        layer.params["row_kernel"] = np.stack(rows, axis=-1).reshape(1, kw, 1, filters)
        layer.build(layer._join(None, (None, None), channels))
        return layer

    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        kh, kw = self.kernel_size
        return {
            "column_kernel": WeightSpec((kh, 1, channels, self.filters), self.column_initializer),
            "row_kernel": WeightSpec((1, kw, 1, self.filters), self.row_initializer),
        }

    def _output_channels(self, channels: int) -> int:
        return self.filters

    def multiply_adds(self, input_shape: Shape) -> int:
        kh, kw = self.kernel_size
        height, width = (size or 1 for size in self._split(self.output_shape(input_shape))[1])
        input_width = self._split(input_shape)[1][1] or 1
        return self.filters * height * (input_width * kh * self._known_channels(input_shape) + width * kw)

    def _step_arguments(self, channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        (sh, sw), (rh, rw) = self.strides, self.dilation_rate
        column = {**self._arguments(), "stride": (sh, 1), "dilation": (rh, 1)}
        row = {**self._arguments(), "stride": (1, sw), "dilation": (1, rw), "groups": self.filters}
        return column, row


def _split(where: str, matrix: Array, eps: float) -> tuple[Array, Array]:
    """Return column and row whose product is a matrix, which may be rounded by `eps`."""
    if matrix.any():
        i, j = np.unravel_index(np.abs(matrix).argmax(), matrix.shape)
        row = matrix[i] / matrix[i, j]
        if (matrix == np.rint(matrix)).all():
            whole = matrix[np.flatnonzero(matrix.any(axis=1))[0]]
            row = whole / math.gcd(*map(int, whole))
        if row.sum() < 0:  # what smooths stands with positive numbers: Sobel's [1 2 1]
            row = -row
        column = matrix[:, j] / row[j]
        if (np.abs(np.outer(column, row) - matrix) <= 4 * eps * np.abs(matrix).max()).all():
            return column + 0.0, row + 0.0  # no zero with a sign
    values = ", ".join(f"{value:.6g}" for value in np.linalg.svd(matrix, compute_uv=False))
    raise ValueError(f"{where}: kernel must have rank one, got singular values {values}")
