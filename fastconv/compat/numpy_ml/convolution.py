"""numpy-ml's convolutional layers."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array
from fastconv.compat.numpy_ml import activations
from fastconv.compat.numpy_ml.base import LayerBase, check_init
from fastconv.compat.numpy_ml.utils import Pads, resolve_pads
from fastconv.layers._arguments import integer, integers


class _Convolution(LayerBase):
    """A linear map of windows, then an activation: ``W`` and ``b``, made at the first forward pass."""

    functions: ClassVar[tuple[Callable[..., Array], Callable[..., tuple[Array | None, ...]]]]
    """The map and its gradients."""

    def __init__(
        self, out_ch: int, kernel: Any, pad: Any, stride: int, act_fn: object, init: str, optimizer: Any
    ) -> None:
        super().__init__(optimizer)
        layer = type(self).__name__
        self.pad = pad
        self.init = check_init(layer, init)
        self.in_ch: int | None = None
        self.out_ch = integer(f"{layer}: out_ch", out_ch)
        self.stride = integer(f"{layer}: stride", stride)
        self.act_fn = activations.get(layer, act_fn)
        self.parameters = {"W": None, "b": None}
        # A pad that no input could have is refused here, not at the first forward pass.
        resolve_pads(layer, pad, (1,) * len(kernel), kernel, 1, 0)

    @abstractmethod
    def _kernel(self) -> tuple[int, ...]:
        """Return the size of the kernel on each axis."""

    @abstractmethod
    def _window(self, sizes: Sequence[int]) -> dict[str, Any]:
        """Return stride, padding and dilation as the functions take them, for inputs of such sizes."""

    def _weight(self, W: Array) -> Array:
        """Return W, or a gradient of W, in the order of axes of the functions, or back."""
        return W

    def _init_params(self, X: Array) -> None:
        self.in_ch = X.shape[-1]
        kernel = self._kernel()
        self.parameters["W"] = self._initial((*kernel, self.in_ch, self.out_ch), self.init)
        self.parameters["b"] = np.zeros((1,) * (len(kernel) + 1) + (self.out_ch,))
        self._make_gradients()

    def _arguments(self, X: Array) -> tuple[Array, Array, Array]:
        W, b = (np.asarray(self.parameters[name]) for name in ("W", "b"))
        expected = {"W": (*self._kernel(), X.shape[-1], self.out_ch), "b": (1,) * (X.ndim - 1) + (self.out_ch,)}
        for name, value in (("W", W), ("b", b)):
            if value.shape != expected[name]:
                raise ValueError(
                    f"{type(self).__name__}: parameters[{name!r}] must have shape {expected[name]} for X of shape "
                    f"{X.shape}, got {value.shape}"
                )
        return X, self._weight(W), b.reshape(-1)

    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        forward, _ = self.functions
        Z = forward(*self._arguments(X), **self._window(X.shape[1:-1]), data_format="channels_last")
        derived = {"Z": Z}
        if X.ndim == 4:
            derived |= {"out_rows": Z.shape[1], "out_cols": Z.shape[2]}
        return self.act_fn.fn(Z), derived

    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        _, backward = self.functions
        dZ = dLdy * self.act_fn.grad(derived["Z"])
        dX, dW, db = backward(dZ, *self._arguments(X), **self._window(X.shape[1:-1]), data_format="channels_last")
        assert dX is not None, "it is asked for"
        assert dW is not None, "it is asked for"
        assert db is not None, "there is a bias"
        return dX, {"W": self._weight(dW), "b": db.reshape(np.shape(self.parameters["b"]))}


class _Dilated(_Convolution):
    """A convolution of windows with pixels between those that count."""

    def __init__(
        self, out_ch: int, kernel: Any, pad: Any, stride: int, dilation: int, act_fn: object, init: str, optimizer: Any
    ) -> None:
        super().__init__(out_ch, kernel, pad, stride, act_fn, init, optimizer)
        self.dilation = integer(f"{type(self).__name__}: dilation", dilation, 0)

    def _window(self, sizes: Sequence[int]) -> dict[str, Any]:
        pads = resolve_pads(type(self).__name__, self.pad, sizes, self._kernel(), self.stride, self.dilation)
        return {"stride": self.stride, "padding": pads, "dilation": self.dilation + 1}


class Conv1D(_Dilated):
    """Cross-correlation of signals with a bias and an activation, see `fastconv.functional.conv1d`.

    Parameters
    ----------
    out_ch : int
        Number of output channels.
    kernel_width : int
    pad : int, pair of int, "same" or "causal"
        A pair is (before, after). "same" and "causal" give as many outputs as inputs, "causal" by zeros before the
        input alone.
    stride : int
    dilation : int
        Elements inserted between those of the kernel.
    act_fn : str or object, optional
        "relu", "sigmoid", "tanh", "affine(slope=1, intercept=0)", "leaky relu(alpha=0.3)", or an object with
        ``fn(z)`` and ``grad(z)``. By default the identity.
    init : str
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal" or "std_normal".
    optimizer : object, optional
        See `LayerBase`.

    Notes
    -----
    ``parameters["W"]`` has shape (kernel_width, in_ch, out_ch), ``parameters["b"]`` has shape (1, 1, out_ch). Inputs
    have shape (n_ex, l_in, in_ch).

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv1D(4, 3, pad="causal", dilation=1)
    >>> layer.forward(np.ones((2, 10, 5))).shape, layer.parameters["W"].shape
    ((2, 10, 4), (3, 5, 4))
    """

    inputs = "(n_ex, l_in, in_ch)"
    hyperparameter_names = ("pad", "init", "in_ch", "out_ch", "stride", "dilation", "act_fn", "kernel_width")
    functions = F.conv1d, F.conv1d_backward

    def __init__(
        self,
        out_ch: int,
        kernel_width: int,
        pad: Any = 0,
        stride: int = 1,
        dilation: int = 0,
        act_fn: object = None,
        init: str = "glorot_uniform",
        optimizer: Any = None,
    ) -> None:
        self.kernel_width = integer("Conv1D: kernel_width", kernel_width)
        super().__init__(out_ch, self._kernel(), pad, stride, dilation, act_fn, init, optimizer)

    def _kernel(self) -> tuple[int, ...]:
        return (self.kernel_width,)


class Conv2D(_Dilated):
    """Cross-correlation of images with a bias and an activation, see `fastconv.functional.conv2d`.

    Parameters
    ----------
    out_ch : int
        Number of output channels.
    kernel_shape : pair of int
    pad : int, tuple of int or "same"
        (rows, columns) on both sides each, or (top, bottom, left, right). "same" gives as many outputs as inputs, with
        any stride.
    stride : int
    dilation : int
        Pixels inserted between those of the kernel.
    act_fn, optimizer, init
        As for `Conv1D`.

    Notes
    -----
    ``parameters["W"]`` has shape (kernel_rows, kernel_cols, in_ch, out_ch), ``parameters["b"]`` has shape
    (1, 1, 1, out_ch). Inputs have shape (n_ex, in_rows, in_cols, in_ch).

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2D(4, (3, 3), pad="same", act_fn="relu")
    >>> Y = layer.forward(np.ones((2, 8, 8, 3)))
    >>> layer.backward(np.ones_like(Y)).shape, layer.gradients["W"].shape
    ((2, 8, 8, 3), (3, 3, 3, 4))
    >>> layer.update()
    """

    inputs = "(n_ex, in_rows, in_cols, in_ch)"
    hyperparameter_names = ("pad", "init", "in_ch", "out_ch", "stride", "dilation", "act_fn", "kernel_shape")
    functions = F.conv2d, F.conv2d_backward

    def __init__(
        self,
        out_ch: int,
        kernel_shape: Any,
        pad: Any = 0,
        stride: int = 1,
        dilation: int = 0,
        act_fn: object = None,
        optimizer: Any = None,
        init: str = "glorot_uniform",
    ) -> None:
        self.kernel_shape = integers("Conv2D: kernel_shape", kernel_shape, 2)
        super().__init__(out_ch, self.kernel_shape, pad, stride, dilation, act_fn, init, optimizer)

    def _kernel(self) -> tuple[int, ...]:
        return self.kernel_shape


class Deconv2D(_Convolution):
    """Transposed convolution of images with a bias and an activation, see `fastconv.functional.conv_transpose2d`.

    Parameters
    ----------
    out_ch : int
        Number of output channels.
    kernel_shape : pair of int
    pad : int, tuple of int or "same"
        Rows and columns cut off the output, in the forms of `Conv2D`. "same" leaves ``stride * (in - 1) + 1`` of them.
    stride : int
    act_fn, optimizer, init
        As for `Conv1D`.

    Notes
    -----
    ``parameters["W"]`` has shape (kernel_rows, kernel_cols, in_ch, out_ch), ``parameters["b"]`` has shape
    (1, 1, 1, out_ch). The output has ``stride * (in - 1) + kernel - top - bottom`` rows, and columns likewise. Half of
    what is cut off is cut on either side, whatever (top, bottom) says, with an odd row at the top: as in numpy-ml.

    Examples
    --------
    >>> import numpy as np
    >>> Deconv2D(4, (2, 2), stride=2).forward(np.ones((2, 8, 8, 3))).shape
    (2, 16, 16, 4)
    """

    inputs = "(n_ex, in_rows, in_cols, in_ch)"
    hyperparameter_names = ("pad", "init", "in_ch", "out_ch", "stride", "act_fn", "kernel_shape")
    functions = F.conv_transpose2d, F.conv_transpose2d_backward

    def __init__(
        self,
        out_ch: int,
        kernel_shape: Any,
        pad: Any = 0,
        stride: int = 1,
        act_fn: object = None,
        optimizer: Any = None,
        init: str = "glorot_uniform",
    ) -> None:
        self.kernel_shape = integers("Deconv2D: kernel_shape", kernel_shape, 2)
        super().__init__(out_ch, self.kernel_shape, pad, stride, act_fn, init, optimizer)

    def _kernel(self) -> tuple[int, ...]:
        return self.kernel_shape

    def _weight(self, W: Array) -> Array:
        return W.swapaxes(2, 3)

    def _window(self, sizes: Sequence[int]) -> dict[str, Any]:
        # "same" refers to the image with stride - 1 zeros between its pixels.
        inserted = [self.stride * (size - 1) + 1 for size in sizes]
        pads: Pads = resolve_pads("Deconv2D", self.pad, inserted, self.kernel_shape, 1, 0)
        cuts = tuple((sum(pair) - sum(pair) // 2, sum(pair) // 2) for pair in pads)
        return {"stride": self.stride, "padding": cuts}
