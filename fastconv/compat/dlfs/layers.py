"""The layers of the book's ``common/layers.py``."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, to_array
from fastconv._numbers import unit
from fastconv.compat._batch_norm import batch_norm_training, batch_norm_training_backward
from fastconv.compat.dlfs.util import images
from fastconv.layers._arguments import integer

# What the book adds to a variance, and to a probability before its logarithm.
_VARIANCE_EPSILON = 10e-7
_LOG_EPSILON = 1e-7


class Convolution:
    """Cross-correlation of images with filters, see `fastconv.functional.conv2d`.

    Parameters
    ----------
    W : ndarray, shape (FN, C, FH, FW)
    b : ndarray, shape (FN,)
    stride, pad : int
        The same along both axes.

    Attributes
    ----------
    W, b : ndarray
        The weights themselves, not copies.
    x : ndarray or None
        Input of the last forward pass.
    dW, db : ndarray or None
        Gradients, from the last backward pass.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Convolution(np.ones((2, 1, 3, 3)), np.array([0.0, 10.0]), pad=1)
    >>> layer.forward(np.ones((1, 1, 2, 2)))[0]
    array([[[ 4.,  4.],
            [ 4.,  4.]],
    <BLANKLINE>
           [[14., 14.],
            [14., 14.]]])
    >>> layer.backward(np.ones((1, 2, 2, 2))).shape, layer.dW.shape, layer.db
    ((1, 1, 2, 2), (2, 1, 3, 3), array([4., 4.]))
    """

    def __init__(self, W: Array, b: Array, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = integer("Convolution: stride", stride)
        self.pad = integer("Convolution: pad", pad, 0)
        self.x: Array | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: ArrayLike) -> Array:
        """Return the output, shape (N, FN, OH, OW), for images of shape (N, C, H, W)."""
        self.x = images("Convolution", "x", x)
        return F.conv2d(self.x, self.W, self.b, self.stride, self.pad)

    def backward(self, dout: ArrayLike) -> Array:
        """Fill `dW` and `db`, and return the gradient of the input.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        x = _kept("Convolution", self.x)
        dx, self.dW, self.db = F.conv2d_backward(dout, x, self.W, self.b, self.stride, self.pad)
        assert dx is not None, "it is asked for"
        return dx


class Pooling:
    """Maximum of each window, see `fastconv.functional.max_pool2d`.

    Parameters
    ----------
    pool_h, pool_w : int
        Size of the windows.
    stride, pad : int
        The same along both axes. Padding, of at most half a window, never is the maximum.

    Attributes
    ----------
    x : ndarray or None
        Input of the last forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Pooling(2, 2)
    >>> layer.forward(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    >>> layer.arg_max
    array([3, 3, 3, 3])
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h = integer("Pooling: pool_h", pool_h)
        self.pool_w = integer("Pooling: pool_w", pool_w)
        self.stride = integer("Pooling: stride", stride)
        self.pad = integer("Pooling: pad", pad, 0)
        self.x: Array | None = None
        self._indices: Array | None = None

    @property
    def arg_max(self) -> Array | None:
        """Position ``y * pool_w + x`` of each maximum in its window, in the order (image, y, x, channel), or None."""
        if self.x is None or self._indices is None:
            return None
        rows, columns = np.divmod(self._indices, self.x.shape[3])
        out_h, out_w = self._indices.shape[2:]
        rows -= (np.arange(out_h) * self.stride - self.pad)[:, None]
        columns -= np.arange(out_w) * self.stride - self.pad
        positions: Array = rows * self.pool_w + columns
        return positions.transpose(0, 2, 3, 1).reshape(-1)

    def forward(self, x: ArrayLike) -> Array:
        """Return the output, shape (N, C, OH, OW), for images of shape (N, C, H, W)."""
        self.x = images("Pooling", "x", x)
        out, self._indices = F.max_pool2d(
            self.x, (self.pool_h, self.pool_w), self.stride, self.pad, return_indices=True
        )
        return out

    def backward(self, dout: ArrayLike) -> Array:
        """Return the gradient of the input: that of each output goes to the first maximum of its window.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        x = _kept("Pooling", self.x)
        windows = (self.pool_h, self.pool_w), self.stride, self.pad
        return F.max_pool2d_backward(dout, x, *windows, indices=self._indices)


class Affine:
    """``x @ W + b``, where all axes of an input but the first count as one, see `fastconv.functional.linear`.

    Parameters
    ----------
    W : ndarray, shape (inputs, outputs)
    b : ndarray, shape (outputs,)

    Attributes
    ----------
    W, b : ndarray
        The weights themselves, not copies.
    x : ndarray or None
        Input of the last forward pass, with two axes.
    original_x_shape : tuple of int or None
        The shape that it had.
    dW, db : ndarray or None
        Gradients, from the last backward pass.

    Examples
    --------
    >>> import numpy as np
    >>> Affine(np.ones((4, 2)), np.array([0.0, 1.0])).forward(np.ones((1, 1, 2, 2)))
    array([[4., 5.]])
    """

    def __init__(self, W: Array, b: Array) -> None:
        self.W = W
        self.b = b
        self.x: Array | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: ArrayLike) -> Array:
        """Return the output, shape (N, outputs)."""
        array = _batch("Affine", x)
        self.original_x_shape = array.shape
        self.x = _flat(array)
        return F.linear(self.x, self.W, self.b, data_format="channels_last")

    def backward(self, dout: ArrayLike) -> Array:
        """Fill `dW` and `db`, and return the gradient of the input, in the shape that it had.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        x = _kept("Affine", self.x)
        dx, self.dW, self.db = F.linear_backward(dout, x, self.W, self.b, data_format="channels_last")
        assert dx is not None, "it is asked for"
        assert self.original_x_shape is not None, "there was a forward pass"
        return dx.reshape(self.original_x_shape)


class Relu:
    """``max(x, 0)``, see `fastconv.functional.relu`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Relu()
    >>> layer.forward(np.array([-1.0, 2.0])), layer.backward(np.array([5.0, 5.0])), layer.mask
    (array([0., 2.]), array([0., 5.]), array([ True, False]))
    """

    def __init__(self) -> None:
        self._out: Array | None = None

    @property
    def mask(self) -> Array | None:
        """Where the last input was not positive, or None."""
        return None if self._out is None else self._out <= 0

    def forward(self, x: ArrayLike) -> Array:
        """Return the output, of the input's shape."""
        self._out = F.relu(x)
        return self._out

    def backward(self, dout: ArrayLike) -> Array:
        """Return the gradient of the input, a new array.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        return F.relu_backward(dout, _kept("Relu", self._out))


class Sigmoid:
    """``1 / (1 + exp(-x))``, see `fastconv.functional.sigmoid`.

    Attributes
    ----------
    out : ndarray or None
        Output of the last forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Sigmoid()
    >>> layer.forward(np.array([0.0])), layer.backward(np.array([8.0]))
    (array([0.5]), array([2.]))
    """

    def __init__(self) -> None:
        self.out: Array | None = None

    def forward(self, x: ArrayLike) -> Array:
        """Return the output, of the input's shape."""
        self.out = F.sigmoid(x)
        return self.out

    def backward(self, dout: ArrayLike) -> Array:
        """Return the gradient of the input.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        out = _kept("Sigmoid", self.out)
        return F.sigmoid_backward(dout, None, output=out)


class SoftmaxWithLoss:
    r"""Mean cross-entropy of the softmax of scores, see `fastconv.functional.softmax`.

    .. math:: loss = -\frac{1}{N} \sum_n \log(y_{n, t_n} + 10^{-7}), \quad y = \mathrm{softmax}(x)

    The gradient is that of the loss without :math:`10^{-7}`, as in the book.

    Attributes
    ----------
    loss : float or None
        Of the last forward pass.
    y : ndarray or None
        Its probabilities, of the shape of the scores.
    t : ndarray or None
        Its targets, as they were given.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SoftmaxWithLoss()
    >>> round(float(layer.forward(np.zeros((1, 4)), np.array([2]))), 4)
    1.3863
    >>> layer.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """

    def __init__(self) -> None:
        self.loss: np.floating[Any] | None = None
        self.y: Array | None = None
        self.t: Array | None = None

    def forward(self, x: ArrayLike, t: ArrayLike) -> "np.floating[Any]":
        """Return the loss.

        Parameters
        ----------
        x : array_like, shape (N, classes) or (classes,)
            Scores.
        t : array_like
            As many targets as scores, one-hot: the largest of a row counts. Or one label for each row.

        Raises
        ------
        TypeError
            Labels that are no integers.
        ValueError
            Scores or targets of another shape, labels out of range.
        """
        scores = to_array("SoftmaxWithLoss", "x", x)
        if scores.ndim not in (1, 2):
            raise ValueError(f"SoftmaxWithLoss: x must have axes (N, classes) or (classes,), got shape {scores.shape}")
        targets = to_array("SoftmaxWithLoss", "t", t)
        labels = _labels(targets, scores.shape)
        self.t = targets
        self.y = F.softmax(scores)
        found = np.take_along_axis(np.atleast_2d(self.y), labels[:, None], axis=1)
        self.loss = -np.log(found + found.dtype.type(_LOG_EPSILON)).mean()
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of the scores, ``dout * (y - t) / N`` with one-hot targets t.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        y, t = _kept("SoftmaxWithLoss", self.y), _kept("SoftmaxWithLoss", self.t)
        samples, classes = np.atleast_2d(y).shape
        one_hot = t.reshape(y.shape) if t.size == y.size else np.eye(classes, dtype=y.dtype)[t].reshape(y.shape)
        gradient: Array = (y - one_hot) * (dout / samples)
        return gradient.astype(y.dtype, copy=False)


class Dropout:
    """Set a random part of the input to 0 in training, and scale it down by as much otherwise.

    ``x * mask`` in training, with each entry of the mask 0 with probability `dropout_ratio` and else 1; otherwise
    ``x * (1 - dropout_ratio)``. (`fastconv.functional.dropout` scales up in training.) The mask comes from
    ``np.random.rand``: after ``np.random.seed`` it is that of the book.

    Parameters
    ----------
    dropout_ratio : float
        From 0 to 1.

    Attributes
    ----------
    mask : ndarray of bool, or None
        Of the last forward pass in training.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.25).forward(np.ones(3), train_flg=False)
    array([0.75, 0.75, 0.75])
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = unit("Dropout: dropout_ratio", dropout_ratio)
        self.mask: Array | None = None

    def forward(self, x: ArrayLike, train_flg: bool = True) -> Array:
        """Return the output, of the input's shape; `train_flg` says whether this is training."""
        array = to_array("Dropout", "x", x)
        if not train_flg:
            return array * (1.0 - self.dropout_ratio)
        # The global generator, as in the book: its scripts seed it.
        self.mask = np.random.rand(*array.shape) > self.dropout_ratio  # noqa: NPY002
        return array * self.mask

    def backward(self, dout: ArrayLike) -> Array:
        """Return the gradient of the input of the last forward pass in training.

        Raises
        ------
        RuntimeError
            If there was none.
        """
        mask = _kept("Dropout", self.mask)
        gradient = to_array("Dropout", "dout", dout)
        check_shape("Dropout", "dout", gradient, mask.shape, ", that of the output")
        return gradient * mask


class BatchNormalization:
    """Each feature with mean 0 and variance 1 over the batch, then scaled and shifted.

    All axes of an input but the first count as one: an image has as many features as values, not as channels.
    ``gamma * (x - mean) / sqrt(variance + 10e-7) + beta``, with mean and variance of the batch in training and the
    running ones otherwise, see `fastconv.functional.batch_norm`.

    Parameters
    ----------
    gamma, beta : array_like
        One number for each feature, or one for all.
    momentum : float
        From 0 to 1: how much of the running statistics a batch leaves.
    running_mean, running_var : array_like, optional
        One number for each feature, by default 0.

    Attributes
    ----------
    gamma, beta : ndarray
        The weights themselves, not copies.
    running_mean, running_var : ndarray or None
        Replaced in each forward pass in training, ``momentum * running + (1 - momentum) * batch``, where the variance
        has the divisor N. None before the first pass.
    dgamma, dbeta : ndarray or None
        Gradients, from the last backward pass, one number for each feature.
    input_shape : tuple of int or None
        Shape of the last input.
    batch_size : int or None
        Its first size, if that was in training.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNormalization(np.ones(1), np.zeros(1))
    >>> layer.forward(np.array([[1.0], [3.0]])).round(3).ravel(), layer.running_mean
    (array([-1.,  1.]), array([0.2]))
    """

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = unit("BatchNormalization: momentum", momentum)
        self.input_shape: tuple[int, ...] | None = None
        self.running_mean = running_mean
        self.running_var = running_var
        self.batch_size: int | None = None
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None
        self._x: Array | None = None

    def forward(self, x: ArrayLike, train_flg: bool = True) -> Array:
        """Return the output, of the input's shape; `train_flg` says whether this is training."""
        array = _batch("BatchNormalization", x)
        flat = _flat(array)
        self.input_shape = array.shape
        features = flat.shape[1]
        if self.running_mean is None or self.running_var is None:
            self.running_mean, self.running_var = np.zeros((2, features))
        gamma, beta = self._weights(flat)
        if not train_flg:
            running = self.running_mean, self.running_var
            return F.batch_norm(flat, *running, gamma, beta, eps=_VARIANCE_EPSILON).reshape(array.shape)
        self._x, self.batch_size = flat, len(flat)
        out, mean, variance = batch_norm_training(flat, gamma, beta, _VARIANCE_EPSILON)
        if len(flat) > 0:
            self.running_mean = self.momentum * np.asarray(self.running_mean) + (1 - self.momentum) * mean
            self.running_var = self.momentum * np.asarray(self.running_var) + (1 - self.momentum) * variance
        return out.reshape(array.shape)

    def backward(self, dout: ArrayLike) -> Array:
        """Fill `dgamma` and `dbeta`, and return the gradient of the input of the last forward pass in training.

        Raises
        ------
        RuntimeError
            If there was none.
        """
        x = _kept("BatchNormalization", self._x)
        gradient = _batch("BatchNormalization", dout, "dout")
        gamma, beta = self._weights(x)
        dx, self.dgamma, self.dbeta = batch_norm_training_backward(_flat(gradient), x, gamma, beta, _VARIANCE_EPSILON)
        return dx.reshape(gradient.shape)

    def _weights(self, x: Array) -> tuple[Array, Array]:
        """Return gamma and beta with one number for each feature of `x`."""
        features = x.shape[1:]
        gamma, beta = (
            np.broadcast_to(array, features) if array.ndim == 0 or array.shape == (1,) else array
            for array in (
                to_array("BatchNormalization", "gamma", self.gamma),
                to_array("BatchNormalization", "beta", self.beta),
            )
        )
        return gamma, beta


def _kept(layer: str, value: Array | None) -> Array:
    """Return what a forward pass kept."""
    if value is None:
        raise RuntimeError(f"{layer}: backward needs a forward pass before it")
    return value


def _batch(layer: str, value: Any, name: str = "x") -> Array:
    """Return an array with a batch axis and others behind it."""
    array = to_array(layer, name, value)
    if array.ndim < 2:
        raise ValueError(f"{layer}: {name} must have a batch axis and others behind it, got shape {array.shape}")
    return array


def _flat(array: Array) -> Array:
    """Return an array with all axes but the first as one; its size is written out, since -1 fails for no samples."""
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _labels(t: Array, shape: tuple[int, ...]) -> Array:
    """Return the label of each row of scores of `shape`."""
    classes = shape[-1]
    if t.size == int(np.prod(shape)):
        rows: Array = t.reshape(-1, classes).argmax(axis=1)
        return rows
    samples = shape[0] if len(shape) == 2 else 1
    if t.size != samples:
        raise ValueError(
            f"SoftmaxWithLoss: t must hold {samples} labels or one-hot rows of shape {shape}, got shape {t.shape}"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(f"SoftmaxWithLoss: t must hold integers as labels, got dtype {t.dtype}")
    if t.size and not (t.min() >= 0 and t.max() < classes):
        raise ValueError(
            f"SoftmaxWithLoss: t must hold labels from 0 to {classes - 1}, got values from {t.min()} to {t.max()}"
        )
    return t.reshape(-1)
