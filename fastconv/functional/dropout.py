"""Dropout, of elements and of whole channels, and its gradients."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import FLOAT32, Array, channels_last, deliver, flag, number, output_buffer, to_array, to_arrays
from fastconv._memory import empty
from fastconv._random import check_seed, fresh_seed, generator

Rng: TypeAlias = "np.random.Generator | int | None"  # in quotes: numpy.random takes a while to import


def dropout(
    input: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
) -> Array:
    r"""Set each element to 0 with probability `p`, and scale the others so that the mean stays on average.

    .. math:: y = \frac{x m}{1 - p}, \quad m = 0 \text{ with probability } p \text{, else } 1

    Parameters
    ----------
    input : array_like, of any shape
    p : float
        From 0 to 1.
    training : bool
        Without it the output is the input.
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.
    rng : numpy.random.Generator or int, optional
        Where the random numbers come from. A generator moves on; a seed, an integer, gives the same mask at every call,
        in `dropout_backward` too. By default a fresh seed, see `fastconv.utils.set_random_seed`.
    mask : array_like, optional
        Which elements stay, those where it is not 0; its shape broadcasts to that of the input. No random numbers are
        drawn then.

    Returns
    -------
    ndarray, of the input's shape
        A new array, unless `inplace`. float16, float32 and float64 keep their dtype (float16 is computed in float32);
        integers and booleans become ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a `p` that is no number, an `rng` that is neither generator nor integer;
        `inplace` with what is no array or has no float dtype.
    ValueError
        A `p` outside of 0 to 1, a negative seed, a mask that does not broadcast; `inplace` with a read-only array.

    See Also
    --------
    dropout_backward : the gradient.
    dropout1d, dropout2d, dropout3d : whole channels.

    References
    ----------
    ``torch.nn.functional.dropout``. N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", Journal of Machine Learning Research 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.dropout(np.ones(4), 0.5, mask=[1, 0, 0, 1])
    array([2., 0., 0., 2.])
    >>> bool((F.dropout(np.ones(9), rng=1) == F.dropout(np.ones(9), rng=1)).all())
    True
    """
    return _forward("dropout", input, p, training, inplace, rng, mask, None)


def dropout_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
) -> Array:
    r"""Gradient of `dropout`, :math:`m / (1 - p)` times that of the output.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like or None
        Not looked at: it has the shape of `grad_output`.
    p, training
        As they were given to `dropout`.
    inplace : bool
        Accepted, so that the arguments of `dropout` can be passed on; changes nothing.
    rng : int
        The seed that was given to `dropout`.
    mask : array_like
        The mask that was given to `dropout`. In training, one of the two is needed: nothing else says what was dropped.

    Returns
    -------
    ndarray, of the input's shape

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also neither a mask nor a seed in training.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.dropout_backward([3.0, 3.0], None, 0.25, mask=[1, 0])
    array([4., 0.])
    """
    return _backward("dropout_backward", grad_output, p, training, rng, mask, None)


def dropout1d(
    input: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Set whole channels of signals to 0 with probability `p`, and scale the others as `dropout` does.

    Neighbouring values are alike, so that dropping single ones hides little.

    Parameters
    ----------
    input : array_like, shape (n, c, width) or (c, width)
        With ``data_format="channels_last"``: (n, width, c) or (width, c).
    p, training, inplace, rng, mask
        As in `dropout`.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `dropout`.

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also another number of axes.

    See Also
    --------
    dropout1d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.dropout1d``. J. Tompson et al., "Efficient Object Localization Using Convolutional Networks",
    CVPR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> y = F.dropout1d(np.ones((1, 50, 3)), rng=0)
    >>> sorted({tuple(channel.tolist()) for channel in y[0]})
    [(0.0, 0.0, 0.0), (2.0, 2.0, 2.0)]
    """
    return _forward("dropout1d", input, p, training, inplace, rng, mask, data_format)


def dropout1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Gradient of `dropout1d`; the arguments are as in `dropout_backward`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.dropout1d_backward([[3.0, 3.0], [3.0, 3.0]], None, 0.25, mask=[[1], [0]])
    array([[4., 4.],
           [0., 0.]])
    """
    return _backward("dropout1d_backward", grad_output, p, training, rng, mask, data_format)


def dropout2d(
    input: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Set whole channels of images to 0 with probability `p`, see `dropout1d`.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w)
        With ``data_format="channels_last"``: (n, h, w, c). With one axis less, it is a batch of signals, as in torch.
    p, training, inplace, rng, mask, data_format
        As in `dropout1d`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `dropout`.

    Raises
    ------
    TypeError, ValueError
        As `dropout1d`.

    See Also
    --------
    dropout2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.dropout2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.dropout2d(np.ones((1, 2, 1, 3)), 0.75, mask=np.reshape([1, 0], (1, 2, 1, 1)))[0, :, 0]
    array([[4., 4., 4.],
           [0., 0., 0.]])
    """
    return _forward("dropout2d", input, p, training, inplace, rng, mask, data_format)


def dropout2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Gradient of `dropout2d`; the arguments are as in `dropout_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.dropout2d_backward(np.ones((1, 2, 1, 1)), None, 0.75, mask=np.reshape([1, 0], (1, 2, 1, 1))).ravel()
    array([4., 0.])
    """
    return _backward("dropout2d_backward", grad_output, p, training, rng, mask, data_format)


def dropout3d(
    input: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Set whole channels of volumes to 0 with probability `p`, see `dropout1d`.

    Parameters
    ----------
    input : array_like, shape (n, c, d, h, w) or (c, d, h, w)
        With ``data_format="channels_last"``: (n, d, h, w, c) or (d, h, w, c).
    p, training, inplace, rng, mask, data_format
        As in `dropout1d`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `dropout`.

    Raises
    ------
    TypeError, ValueError
        As `dropout1d`.

    See Also
    --------
    dropout3d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.dropout3d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.dropout3d(np.ones((2, 1, 1, 3)), 0.75, mask=np.reshape([1, 0], (2, 1, 1, 1)))[:, 0, 0]
    array([[4., 4., 4.],
           [0., 0., 0.]])
    """
    return _forward("dropout3d", input, p, training, inplace, rng, mask, data_format)


def dropout3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: Rng = None,
    mask: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    """Gradient of `dropout3d`; the arguments are as in `dropout_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.dropout3d_backward(np.ones((2, 1, 1, 1)), None, 0.75, mask=np.reshape([1, 0], (2, 1, 1, 1))).ravel()
    array([4., 0.])
    """
    return _backward("dropout3d_backward", grad_output, p, training, rng, mask, data_format)


# Numbers of axes with the batch, and whether one axis less means no batch.
_AXES = {"dropout1d": (3, True), "dropout2d": (4, False), "dropout3d": (5, True)}


def _forward(
    name: str,
    input: Any,
    p: float,
    training: bool,
    inplace: bool,
    rng: Rng,
    mask: Any,
    data_format: str | None,
) -> Array:
    (x,), dtype = to_arrays(name, ("input",), (input,))
    probability = _probability(name, p)
    shape = _mask_shape(name, x.shape, data_format)
    out = input if flag(name, "inplace", inplace) else None
    y = output_buffer(name, "input", out, x.shape, dtype)
    if not flag(name, "training", training) or probability == 0:
        np.copyto(y, x)
    else:
        kept = random_mask(_generator(name, rng), shape, probability) if mask is None else _given(name, mask, x.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity * 0 is NaN, without a warning as in the core
            np.multiply(x, kept, out=y)
            y *= 0.0 if probability == 1 else 1 / (1 - probability)
    return deliver(y, out, dtype)


def _backward(
    name: str, grad_output: Any, p: float, training: bool, rng: Rng, mask: Any, data_format: str | None
) -> Array:
    if flag(name, "training", training) and mask is None and (rng is None or isinstance(rng, np.random.Generator)):
        forward = name.removesuffix("_backward")
        raise ValueError(f"{name}: mask or a seed as rng must be given, as it was to {forward}, got {rng!r}")
    return _forward(name, grad_output, p, training, False, rng, mask, data_format)


def random_mask(random: "np.random.Generator", shape: tuple[int, ...], p: float) -> Array:
    """Draw a mask of booleans that are False with probability `p`."""
    numbers, kept = empty(shape, FLOAT32), empty(shape, np.dtype(np.bool_))
    random.random(out=numbers, dtype=np.float32)
    np.greater_equal(numbers, p, out=kept)
    return kept


def _given(name: str, mask: Any, shape: tuple[int, ...]) -> Array:
    array = to_array(name, "mask", mask)
    kept: Array = array if array.dtype == np.bool_ else array != 0
    try:
        np.broadcast_to(kept, shape)
    except ValueError:
        raise ValueError(f"{name}: mask must broadcast to shape {shape}, got shape {kept.shape}") from None
    return kept


def _mask_shape(name: str, shape: tuple[int, ...], data_format: str | None) -> tuple[int, ...]:
    if data_format is None:
        return shape
    last = channels_last(name, data_format)
    axes, unbatched = _AXES[name.removesuffix("_backward")]
    if len(shape) not in (axes - 1, axes):
        raise ValueError(f"{name}: input must have {axes - 1} or {axes} axes, got shape {shape}")
    batch = () if unbatched and len(shape) < axes else shape[:1]
    spatial = (1,) * (len(shape) - len(batch) - 1)
    return (*batch, *spatial, shape[-1]) if last else (*batch, shape[len(batch)], *spatial)


def _probability(name: str, p: Any) -> float:
    probability = number(name, "p", p)
    if not 0 <= probability <= 1:
        raise ValueError(f"{name}: p must be from 0 to 1, got {p}")
    return probability


def _generator(name: str, rng: Rng) -> "np.random.Generator":
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, int | np.integer)):
        raise TypeError(f"{name}: rng must be a numpy.random.Generator or an integer, got {rng!r}")
    return generator(fresh_seed() if rng is None else check_seed(name, rng))
