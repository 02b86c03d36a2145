"""Normalization layers."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

import fastconv.functional as F
from fastconv import initializers
from fastconv._numbers import finite, not_negative, unit
from fastconv.functional._batch_norm import Statistics, normalize, normalize_backward
from fastconv.functional.normalization import given_statistics
from fastconv.layers._arguments import data_format as check_data_format
from fastconv.layers._arguments import integer
from fastconv.layers._windows import Window, own_place, whole
from fastconv.layers.base import Array, Call, Layer, LayerOptions, Shape, WeightSpec


class _Normalization(Layer):
    """A layer that normalizes, and then multiplies with gamma and adds beta."""

    regularized = ("gamma", "beta")

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: object,
        gamma_initializer: object,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        layer = type(self).__name__
        self.epsilon = not_negative(f"{layer}: epsilon", epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer, f"{layer}: beta_initializer")
        self.gamma_initializer = initializers.get(gamma_initializer, f"{layer}: gamma_initializer")

    def _parameter_shape(self, input_shape: Shape) -> tuple[int, ...]:
        """Return the shape of gamma and beta: the sizes of the axes that they belong to."""
        raise NotImplementedError(f"{type(self).__name__} must define _parameter_shape")

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        shape = self._parameter_shape(input_shape)
        specs = {}
        if self.scale:
            specs["gamma"] = WeightSpec(shape, self.gamma_initializer)
        if self.center:
            specs["beta"] = WeightSpec(shape, self.beta_initializer)
        return specs

    def _parameters(self) -> tuple[Array | None, Array | None]:
        return self.weight("gamma") if self.scale else None, self.weight("beta") if self.center else None

    def _keep(self, gradients: tuple[Array, Array | None, Array | None]) -> Array:
        """Fill `grads`, and return the gradient of the input."""
        grad_x, grad_gamma, grad_beta = gradients
        if grad_gamma is not None:
            self.grads["gamma"] = grad_gamma
        if grad_beta is not None:
            self.grads["beta"] = grad_beta
        return grad_x

    def _axis_of(self, axis: int, shape: Shape) -> int:
        """Return an axis counted from the front; the batch has none that could be normalized."""
        position = axis + len(shape) if axis < 0 else axis
        if not 0 < position < len(shape):
            raise ValueError(
                f"{self.name}: axis must be one of input's behind the batch's, got {axis} for shape {shape}"
            )
        return position

    def _size_of(self, axis: int, shape: Shape) -> int:
        size = shape[self._axis_of(axis, shape)]
        if size is None:
            raise ValueError(f"{self.name}: input must have a known size on axis {axis}, got shape {shape}")
        return size


class _ChannelNormalization(_Normalization):
    """One with a gamma and a beta for each channel; the channels' axis may be any but the batch's."""

    axis: int

    def _parameter_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return (self._size_of(self.axis, input_shape),)

    def _arranged(self, x: Array) -> tuple[Array, bool]:
        """Return an array whose channels are first or last, and whether they are last."""
        axis = self._axis_of(self.axis, x.shape)
        if axis == 1 and x.ndim > 2:
            return x, False
        return np.moveaxis(x, axis, -1), True

    def _restored(self, y: Array) -> Array:
        """Return an output or gradient with its axes as the input has them."""
        axis = self._axis_of(self.axis, y.shape)
        return y if axis == 1 and y.ndim > 2 else np.moveaxis(y, -1, axis)


class _Saved(NamedTuple):
    x: Array
    statistics: Statistics


class BatchNormalization(_ChannelNormalization):
    """Each channel with mean 0 and variance 1 over the batch, see `fastconv.functional.batch_norm`.

    In training it is ``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with mean and variance of the batch, and
    ``state["moving_mean"]`` and ``state["moving_variance"]`` follow them,
    ``moving = momentum * moving + (1 - momentum) * batch``. Else the moving statistics take their place. With
    ``trainable = False`` the layer always runs as without training.

    Parameters
    ----------
    axis : int
        The channels' axis.
    momentum : float
        From 0 to 1: how much of the moving statistics a batch leaves.
    epsilon : float
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    moving_mean_initializer, moving_variance_initializer : str or Initializer
    **options
        ``name``, ``dtype``, ``input_shape``, ``trainable``, ``gamma_regularizer`` and ``beta_regularizer``, see
        `Layer`.

    Notes
    -----
    All weights have one entry for each channel. The moving variance is that of the batch itself, with the divisor m
    for m values, as in Keras; torch's running variance has m - 1. A batch with a single value per channel has variance
    0.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNormalization(momentum=0.5)
    >>> layer(np.array([[1.0], [3.0]]), training=True).round(3).ravel()
    array([-1.,  1.], dtype=float32)
    >>> layer.state["moving_mean"], layer.state["moving_variance"]
    (array([1.], dtype=float32), array([1.], dtype=float32))
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        self.axis = integer("BatchNormalization: axis", axis, minimum=-(2**31))
        self.momentum = unit("BatchNormalization: momentum", momentum)
        self.moving_mean_initializer = initializers.get(
            moving_mean_initializer, "BatchNormalization: moving_mean_initializer"
        )
        self.moving_variance_initializer = initializers.get(
            moving_variance_initializer, "BatchNormalization: moving_variance_initializer"
        )

    def state_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        shape = self._parameter_shape(input_shape)
        return {
            "moving_mean": WeightSpec(shape, self.moving_mean_initializer),
            "moving_variance": WeightSpec(shape, self.moving_variance_initializer),
        }

    def window(self, input_shape: Shape) -> Window:
        return own_place(max(len(input_shape) - 2, 0))

    def run_rectified(self, x: Array, addend: Array | None, training: bool) -> tuple[Array, Call | None]:
        """Return ``relu(y + addend)``, where `addend` has the input's shape, and what `run_rectified_backward` needs.

        It is what `run`, a sum and a ReLU return, in one pass over memory less for each of the two.
        """
        x = self._ready(x)
        y, saved = self._normalized(x, training, None if addend is None else self._convert("addend", addend), True)
        # Without an addend the sign of the ReLU's input can be found again from what the layer keeps anyway.
        kept = y if addend is not None or saved.statistics.constant else None
        return y, Call(y.shape, (saved, kept)) if training else None

    def run_rectified_backward(self, call: Call, grad_y: Array, plain: bool) -> tuple[Array, Array]:
        """Fill `grads`, and return the gradients of the input and of the addend of one call of `run_rectified`.

        Parameters
        ----------
        call, grad_y
        plain : bool
            Whether `grad_y` is the gradient of the ReLU's input already.
        """
        saved, y = call.saved
        grad = self._ready_gradient(call, grad_y)
        if not plain and y is not None:
            grad = F.relu_backward(grad, y)
        grad_x = self._gradients(saved, grad, rectified=not plain and y is None)
        if not self.trainable:
            self.grads.clear()
        return grad_x, grad

    def _forward(self, x: Array, training: bool) -> tuple[Array, _Saved]:
        return self._normalized(x, training)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> Array:
        return self._gradients(saved, grad_y)

    def _normalized(
        self, x: Array, training: bool, addend: Array | None = None, rectified: bool = False
    ) -> tuple[Array, _Saved]:
        constants = None
        if not (training and self.trainable):
            moving = {name: self.state[name] for name in ("moving_mean", "moving_variance")}
            constants = given_statistics(self.name, moving, self._size_of(self.axis, x.shape))
        arranged, last = self._arranged(x)
        added = None if addend is None else self._arranged(addend)[0]
        y, statistics = normalize(arranged, *self._parameters(), constants, self.epsilon, last, added, rectified)
        if constants is None and x.size > 0:
            self._move("moving_mean", statistics.mean)
            self._move("moving_variance", statistics.variance)
        return self._restored(y), _Saved(x, statistics)

    def _gradients(self, saved: _Saved, grad_y: Array, rectified: bool = False) -> Array:
        arranged, last = self._arranged(saved.x)
        grad, _ = self._arranged(grad_y)
        gradients = normalize_backward(
            grad, arranged, *self._parameters(), saved.statistics, self.epsilon, last, rectified
        )
        return self._restored(self._keep(gradients))

    def _move(self, name: str, statistic: Array) -> None:
        """Replace a moving statistic: what a user assigned, and may share, is not written to."""
        moving = self.momentum * np.asarray(self.state[name], np.float64) + (1 - self.momentum) * statistic
        self.state[name] = moving.astype(self.dtype)


class LayerNormalization(_Normalization):
    """Mean 0 and variance 1 over some axes of each input, see `fastconv.functional.layer_norm`.

    Parameters
    ----------
    axis : int or sequence of int
        The axes that are normalized over, and that gamma and beta have.
    epsilon : float
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    **options
        ``name``, ``dtype``, ``input_shape``, ``trainable``, ``gamma_regularizer`` and ``beta_regularizer``, see
        `Layer`.

    Notes
    -----
    Axes that are not the last ones cost copies.

    Examples
    --------
    >>> import numpy as np
    >>> LayerNormalization()(np.array([[1.0, 3.0], [50.0, 10.0]])).round(3)
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        where = "LayerNormalization: axis"
        entries = axis if isinstance(axis, list | tuple) else (axis,)
        self.axis = tuple(integer(where, entry, minimum=-(2**31)) for entry in entries)
        if not self.axis:
            raise ValueError(f"{where} must name at least one axis, got {axis!r}")

    def window(self, input_shape: Shape) -> Window | None:
        axes = self._axes_of(input_shape)
        spatial = max(len(input_shape) - 2, 0)
        return own_place(spatial) if axes == (len(input_shape) - 1,) else None

    def _axes_of(self, shape: Shape) -> tuple[int, ...]:
        axes = tuple(self._axis_of(axis, shape) for axis in self.axis)
        if len(set(axes)) < len(axes):
            raise ValueError(f"{self.name}: axis must name each axis once, got {self.axis} for shape {shape}")
        return axes

    def _parameter_shape(self, input_shape: Shape) -> tuple[int, ...]:
        self._axes_of(input_shape)
        return tuple(self._size_of(axis, input_shape) for axis in self.axis)

    def _last(self, x: Array) -> Array:
        """Return an array whose last axes are those that are normalized over."""
        return np.moveaxis(x, self._axes_of(x.shape), range(-len(self.axis), 0))

    def _restored(self, y: Array) -> Array:
        return np.moveaxis(y, range(-len(self.axis), 0), self._axes_of(y.shape))

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        gamma, beta = self._parameters()
        y = F.layer_norm(self._last(x), self._parameter_shape(x.shape), gamma, beta, self.epsilon)
        return self._restored(y), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array:
        shape = self._parameter_shape(saved.shape)
        gradients = F.layer_norm_backward(
            self._last(grad_y), self._last(saved), shape, *self._parameters(), self.epsilon
        )
        return self._restored(self._keep(gradients))


class GroupNormalization(_ChannelNormalization):
    """Mean 0 and variance 1 over each group of channels of an image, see `fastconv.functional.group_norm`.

    Parameters
    ----------
    groups : int
        Divides the number of channels; -1 stands for one group for each channel.
    axis : int
        The channels' axis.
    epsilon : float
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    **options
        ``name``, ``dtype``, ``input_shape``, ``trainable``, ``gamma_regularizer`` and ``beta_regularizer``, see
        `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GroupNormalization(2)(np.array([[1.0, 3.0, 50.0, 10.0]])).round(3)
    array([[-1.,  1.,  1., -1.]], dtype=float32)
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        self.groups = groups if groups == -1 else integer("GroupNormalization: groups", groups)
        self.axis = integer("GroupNormalization: axis", axis, minimum=-(2**31))

    def output_shape(self, input_shape: Shape) -> Shape:
        (channels,) = self._parameter_shape(input_shape)
        if channels % self.groups:
            raise ValueError(f"{self.name}: groups must divide the {channels} channels of input, got {self.groups}")
        return input_shape

    def window(self, input_shape: Shape) -> Window | None:
        axis = self._axis_of(self.axis, input_shape)
        return whole([size for position, size in enumerate(input_shape) if position not in (0, axis)])

    def _arguments(self, shape: Shape, last: bool) -> dict[str, Any]:
        gamma, beta = self._parameters()
        return {
            "num_groups": self._size_of(self.axis, shape) if self.groups == -1 else self.groups,
            "weight": gamma,
            "bias": beta,
            "eps": self.epsilon,
            "data_format": "channels_last" if last else "channels_first",
        }

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        arranged, last = self._arranged(x)
        return self._restored(F.group_norm(arranged, **self._arguments(x.shape, last))), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array:
        arranged, last = self._arranged(saved)
        grad, _ = self._arranged(grad_y)
        gradients = F.group_norm_backward(grad, arranged, **self._arguments(saved.shape, last))
        return self._restored(self._keep(gradients))


class LocalResponseNormalization(Layer):
    """Division by a power of the mean square of neighbouring channels, see `fastconv.functional.local_response_norm`.

    Keras has no such layer; the arguments are those of ``torch.nn.LocalResponseNorm``. It has no weights.

    Parameters
    ----------
    size : int
        Number of channels in a sum.
    alpha, beta, k : float
        ``y = x / (k + alpha / size * sum) ** beta``. The alpha of Krizhevsky et al. is alpha / size here.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS
    2012, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> LocalResponseNormalization(3, alpha=3.0, beta=1.0)(np.array([[[1.0, 2.0, 3.0]]])).round(4)
    array([[[0.1667, 0.1333, 0.2143]]], dtype=float32)
    """

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        layer = type(self).__name__
        self.size = integer(f"{layer}: size", size)
        self.alpha = finite(f"{layer}: alpha", alpha)
        self.beta = finite(f"{layer}: beta", beta)
        self.k = finite(f"{layer}: k", k)
        self.data_format = check_data_format(layer, data_format)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 3:
            raise ValueError(f"{self.name}: input must have at least 3 axes, got shape {input_shape}")
        return input_shape

    def _how(self) -> dict[str, Any]:
        names = ("size", "alpha", "beta", "k", "data_format")
        return {name: getattr(self, name) for name in names}

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        return F.local_response_norm(x, **self._how()), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        return F.local_response_norm_backward(grad_y, saved, **self._how()) if needs_input else None
