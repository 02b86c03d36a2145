r"""Convolution as a matrix: dense, sparse, or as a linear operator that builds none.

A convolution of one image is linear in it, so there is a matrix :math:`M` with ``M @ x.ravel() == conv2d(x).ravel()``;
its transpose maps a gradient of the output to that of the input, which is the transposed convolution. For one channel,
stride 1 and dilation 1 it is doubly blocked Toeplitz: the block of output row `i` and input row `y` depends on
``y - i`` alone and is itself a Toeplitz matrix, made of the kernel's row ``y - i + padding``.

- `toeplitz_matrix` builds the matrix as a NumPy array, or sparse.
- `toeplitz_operator` has the products with it and its transpose, computed by convolutions.
- `conv_matrix_1d` is the matrix of a 1-D convolution.

A dense matrix is quadratic in the image's size. One of more than `MEMORY_LIMIT` bytes is refused before anything is
allocated; assign another number to ``fastconv.toeplitz.MEMORY_LIMIT`` to move the limit. Sparse matrices and operators,
which are made for such sizes, have none.

Sparse matrices and operators need SciPy: ``pip install "fastconv[toeplitz]"``.
"""

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, Dtype, channels_last, to_array, to_arrays
from fastconv.geometry import Geometry, Shape, conv_geometry

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import LinearOperator

__all__ = ["MEMORY_LIMIT", "conv_matrix_1d", "toeplitz_matrix", "toeplitz_operator"]

#: Bytes that a dense matrix may take: 1 GiB.
MEMORY_LIMIT = 2**30


def toeplitz_matrix(
    weight: ArrayLike,
    input_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
    sparse: bool = False,
) -> "Array | csr_array":
    r"""Matrix of a 2-D convolution of one image.

    .. math::

        M_{(o, i, j), (c, y, x)} = w[o,\; c - g(o) \, C/G,\; u,\; v]
            \quad \text{where } y = i s_h + u r_h - p_t, \; x = j s_w + v r_w - p_l

    for channels `c` of the group :math:`g(o)` of output channel `o`, and zero where there is no such tap `(u, v)`.

    Parameters
    ----------
    weight : array_like, shape (c_out, c_in/groups, kh, kw)
        With ``data_format="channels_last"``: (kh, kw, c_in/groups, c_out).
    input_shape : tuple of int
        Shape of the image, (c_in, ih, iw); with ``data_format="channels_last"``: (ih, iw, c_in).
    stride, padding, dilation, groups, data_format
        As in `fastconv.functional.conv2d`.
    sparse : bool
        Return a SciPy CSR array. It has an entry for each tap that meets the image, those of weight 0 included: its
        structure depends on the shapes alone.

    Returns
    -------
    ndarray or scipy.sparse.csr_array, shape (c_out * oh * ow, c_in * ih * iw)
        Rows and columns are in the order of ``ravel()`` in the given data format. The dtype is that of the weights,
        integers and booleans promoted by ``np.result_type(..., np.float32)``. A sparse matrix of float16 weights is
        float32, since SciPy has no other.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.functional.conv2d`; also an `input_shape` that is not that of one image.
    ValueError
        A dense matrix of more than `MEMORY_LIMIT` bytes.
    ImportError
        `sparse` without SciPy.

    See Also
    --------
    toeplitz_operator : products with this matrix without the matrix.

    Notes
    -----
    ``c_out * c_in/groups * ty * tx`` entries, where `ty` counts the pairs of an output row and a kernel row that meet
    an input row, and `tx` does so for columns; without padding ``ty = oh * kh`` and ``tx = ow * kw``. Building takes up
    to 32 bytes for each entry besides the matrix.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section 4.1.
    R. M. Gray, "Toeplitz and Circulant Matrices: A Review", Foundations and Trends in Communications and Information
    Theory 2 (3), 2006.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> from fastconv.toeplitz import toeplitz_matrix
    >>> kernel = np.array([[[[1, 2], [3, 4]]]])
    >>> M = toeplitz_matrix(kernel, (1, 3, 3))
    >>> M
    array([[1., 2., 0., 3., 4., 0., 0., 0., 0.],
           [0., 1., 2., 0., 3., 4., 0., 0., 0.],
           [0., 0., 0., 1., 2., 0., 3., 4., 0.],
           [0., 0., 0., 0., 1., 2., 0., 3., 4.]])
    >>> image = np.arange(9.0).reshape(1, 3, 3)
    >>> M @ image.ravel()
    array([27., 37., 57., 67.])
    >>> F.conv2d(image, kernel).ravel()
    array([27., 37., 57., 67.])

    A sparse one, of an image whose dense matrix would take 9.8 GB:

    >>> toeplitz_matrix(kernel, (1, 224, 224), sparse=True).nnz
    198916
    """
    name = "toeplitz_matrix"
    last = channels_last(name, data_format)
    shape = _image_shape(name, input_shape, last)
    (w,), dtype = to_arrays(name, ("weight",), (weight,))
    geometry, _ = conv_geometry(name, shape, w.shape, stride, padding, dilation, groups, channels_last=last)
    return _matrix(name, w, geometry, last, dtype, sparse)


def conv_matrix_1d(
    weight: ArrayLike,
    length: int,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
    sparse: bool = False,
) -> "Array | csr_array":
    r"""Matrix of a 1-D convolution of one signal.

    .. math::

        M_{(o, j), (c, x)} = w[o,\; c - g(o) \, C/G,\; v] \quad \text{where } x = j s + v r - p

    and zero where there is no such tap `v`. For one channel, stride 1 and dilation 1 it is a Toeplitz matrix. As in
    `fastconv.functional.conv2d` the kernel is not flipped: ``np.correlate``, not ``np.convolve``.

    Parameters
    ----------
    weight : array_like, shape (c_out, c_in/groups, k)
        With ``data_format="channels_last"``: (k, c_in/groups, c_out). In either format (k,) is the kernel of one input
        and one output channel.
    length : int
        Length of the signal.
    stride, padding, dilation : int, tuple or str
        The forms of `fastconv.functional.conv2d` for one axis: ``((1, 2),)`` pads by 1 before and 2 after.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
        The order of a signal: (c_in, length) or (length, c_in).
    sparse : bool
        As in `toeplitz_matrix`.

    Returns
    -------
    ndarray or scipy.sparse.csr_array, shape (c_out * out, c_in * length)
        As from `toeplitz_matrix`.

    Raises
    ------
    TypeError, ValueError, ImportError
        As `toeplitz_matrix`.

    References
    ----------
    R. M. Gray, "Toeplitz and Circulant Matrices: A Review", Foundations and Trends in Communications and Information
    Theory 2 (3), 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.toeplitz import conv_matrix_1d
    >>> conv_matrix_1d([1, 2, 3], 4, padding=1)
    array([[2., 3., 0., 0.],
           [1., 2., 3., 0.],
           [0., 1., 2., 3.],
           [0., 0., 1., 2.]])
    >>> signal = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    >>> conv_matrix_1d([1, 2, 3], 5) @ signal
    array([17., 12., 21.])
    >>> np.correlate(signal, [1, 2, 3])
    array([17., 12., 21.])
    """
    name = "conv_matrix_1d"
    last = channels_last(name, data_format)
    size, group_count = _integer(name, "length", length), _integer(name, "groups", groups)
    if size < 1:
        raise ValueError(f"{name}: length must be at least 1, got {length!r}")
    given = to_array(name, "weight", weight)
    if given.ndim not in (1, 3):
        form = "(k, c_in/groups, c_out)" if last else "(c_out, c_in/groups, k)"
        raise ValueError(f"{name}: weight must have shape {form} or (k,), got {given.shape}")
    one_channel = (-1, 1, 1) if last else (1, 1, -1)
    (w,), dtype = to_arrays(name, ("weight",), (given.reshape(one_channel) if given.ndim == 1 else given,))
    channels = w.shape[1] * group_count
    shape = (size, channels) if last else (channels, size)
    geometry, _ = conv_geometry(name, shape, w.shape, stride, padding, dilation, groups, axes=1, channels_last=last)
    return _matrix(name, w, geometry, last, dtype, sparse)


def toeplitz_operator(
    weight: ArrayLike,
    input_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
) -> "LinearOperator":
    r"""Products with the matrix of a 2-D convolution and with its transpose, without the matrix.

    .. math:: x \mapsto M x = \mathrm{conv2d}(x, w), \qquad y \mapsto M^T y

    with :math:`M` of `toeplitz_matrix`. What SciPy does with linear operators, it then does with a layer of any size:
    ``svds``, ``lsqr``, ``eigsh`` of ``A.T @ A``.

    Parameters
    ----------
    weight, input_shape, stride, padding, dilation, groups, data_format
        As in `toeplitz_matrix`. The weights are copied.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, shape (c_out * oh * ow, c_in * ih * iw)
        ``A @ x`` is `fastconv.functional.conv2d`, ``A.T @ y`` its input gradient; the columns of a matrix go through it
        as one batch. The dtype is that of the matrix; a product has the ``np.result_type`` of both its factors.

    Raises
    ------
    TypeError, ValueError, ImportError
        As `toeplitz_matrix`, but for the memory limit.

    See Also
    --------
    toeplitz_matrix : the matrix itself.

    Notes
    -----
    A product costs ``2 * oh * ow * c_out * kh * kw * c_in / groups`` operations. Factors are real.

    References
    ----------
    H. Sedghi, V. Gupta, P. M. Long, "The Singular Values of Convolutional Layers", arXiv:1805.10408, for a use.

    Examples
    --------
    The largest singular value of a layer from 56x56x8 to 56x56x8, whose dense matrix would take 5 GB in float64:

    >>> import numpy as np
    >>> from scipy.sparse.linalg import svds
    >>> from fastconv.toeplitz import toeplitz_operator
    >>> rng = np.random.default_rng(0)
    >>> A = toeplitz_operator(rng.standard_normal((8, 8, 3, 3)), (8, 56, 56), padding=1)
    >>> A.shape
    (25088, 25088)
    >>> u, s, vt = svds(A, k=1, tol=0.05, v0=rng.standard_normal(25088))
    >>> bool(np.linalg.norm(A.T @ u[:, 0] - s[0] * vt[0]) < 0.01 * s[0])
    True
    """
    name = "toeplitz_operator"
    last = channels_last(name, data_format)
    shape = _image_shape(name, input_shape, last)
    (checked,), dtype = to_arrays(name, ("weight",), (weight,))
    geometry, output_shape = conv_geometry(
        name, shape, checked.shape, stride, padding, dilation, groups, channels_last=last
    )
    _check_scipy(name)
    from scipy.sparse.linalg import LinearOperator

    # A copy: the operator stays what it is when training changes the weights in place.
    w = checked.astype(dtype)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "data_format": data_format}
    rows, columns = _matrix_shape(geometry)

    def product(x: Array) -> Array:
        batch = x.shape[1:]
        images = np.asarray(x).T.reshape(*batch, *shape)
        return F.conv2d(images, w, **options).reshape(*batch, rows).T

    def transposed_product(y: Array) -> Any:
        batch = y.shape[1:]
        grad_output = np.asarray(y).T.reshape(*batch, *output_shape)
        # Of the input, only shape and dtype matter.
        images = np.empty((*batch, *shape), np.result_type(w, grad_output))
        grad_input: Any = F.conv2d_backward(grad_output, images, w, needs="input", **options)[0]
        return grad_input.reshape(*batch, columns).T

    return LinearOperator(
        (rows, columns),
        matvec=product,
        matmat=product,
        rmatvec=transposed_product,
        rmatmat=transposed_product,
        dtype=dtype,
    )


def _integer(function: str, name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} must be an integer, got {value!r}") from None


def _image_shape(function: str, input_shape: Any, channels_last: bool) -> Shape:
    try:
        shape = tuple(map(operator.index, input_shape))
    except TypeError:
        raise TypeError(f"{function}: input_shape must consist of integers, got {input_shape!r}") from None
    if len(shape) != 3 or min(shape) < 0:
        form = "(h, w, c)" if channels_last else "(c, h, w)"
        raise ValueError(f"{function}: input_shape must be {form}, the shape of one image, got {input_shape!r}")
    return shape


def _matrix_shape(geometry: Geometry) -> tuple[int, int]:
    return geometry.out_channels * math.prod(geometry.output), geometry.in_channels * math.prod(geometry.input)


def _matrix(
    function: str, weight: Array, geometry: Geometry, channels_last: bool, dtype: Dtype, sparse: bool
) -> "Array | csr_array":
    shape = _matrix_shape(geometry)
    if sparse:
        _check_scipy(function)
        from scipy.sparse import coo_array, get_index_dtype

        values, *positions = _entries(weight, geometry, channels_last)
        index = get_index_dtype(maxval=max(shape))
        rows, columns = (np.broadcast_to(numbers.astype(index), values.shape).ravel() for numbers in positions)
        return coo_array((values.ravel(), (rows, columns)), shape).tocsr()
    size = math.prod(shape) * dtype.itemsize
    if size > MEMORY_LIMIT:
        raise ValueError(
            f"{function}: a dense matrix must take at most {MEMORY_LIMIT} bytes (fastconv.toeplitz.MEMORY_LIMIT), got "
            f"{shape[0]} * {shape[1]} * {dtype.itemsize} = {size} bytes; take a sparse matrix or an operator instead"
        )
    values, rows, columns = _entries(weight, geometry, channels_last)
    matrix = np.zeros(shape, dtype)
    matrix[rows, columns] = values
    return matrix


def _entries(weight: Array, geometry: Geometry, channels_last: bool) -> tuple[Array, Array, Array]:
    """Values, rows and columns of the entries; rows and columns are broadcast to the values' shape.

    The axes: group, pairs of output row and kernel row, pairs of output column and kernel column, output channel and
    input channel of the group.
    """
    groups = geometry.groups
    _, kh, kw = geometry.kernel
    i, u, y = _meetings(geometry, 1)
    j, v, x = _meetings(geometry, 2)
    per_group, co_per_group = geometry.in_channels // groups, geometry.out_channels // groups
    if channels_last:
        weights = weight.reshape(kh, kw, per_group, groups, co_per_group).transpose(3, 4, 2, 0, 1)
    else:
        weights = weight.reshape(groups, co_per_group, per_group, kh, kw)
    g = np.arange(groups)[:, np.newaxis, np.newaxis]
    i, u, y = (numbers[:, np.newaxis] for numbers in (i, u, y))
    rows = _numbered(groups, geometry.out_channels, geometry.output, channels_last)[g, :, i, j]
    columns = _numbered(groups, geometry.in_channels, geometry.input, channels_last)[g, :, y, x]
    return weights[g, :, :, u, v], rows[..., :, np.newaxis], columns[..., np.newaxis, :]


def _meetings(geometry: Geometry, axis: int) -> tuple[Array, Array, Array]:
    """Output, tap and input element wherever the three meet on an axis, in order of outputs, then taps."""
    size, kernel, pad = geometry.input[axis], geometry.kernel[axis], geometry.pad_lo[axis]
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    outputs = np.arange(geometry.output[axis])
    # Output o meets input o * stride + tap * dilation - pad, from 0 to size - 1, in a run of taps.
    origins = outputs * stride - pad
    first = np.maximum(-(origins // dilation), 0)
    stop = np.minimum((size - 1 - origins) // dilation + 1, kernel)
    counts = np.maximum(stop - first, 0)
    output = np.repeat(outputs, counts)
    within_run = np.arange(output.size) - np.repeat(np.cumsum(counts) - counts, counts)
    tap = first[output] + within_run
    return output, tap, origins[output] + tap * dilation


def _numbered(groups: int, channels: int, sizes: Shape, channels_last: bool) -> Array:
    """Return the numbers that the elements of an image have when it is flat, as [group][channel][row][column]."""
    _, height, width = sizes
    numbers = np.arange(channels * height * width)
    if channels_last:
        return numbers.reshape(height, width, groups, channels // groups).transpose(2, 3, 0, 1)
    return numbers.reshape(groups, channels // groups, height, width)


def _check_scipy(function: str) -> None:
    try:
        import scipy.sparse.linalg  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{function}: sparse matrices and operators need scipy: pip install "fastconv[toeplitz]"'
        ) from error
