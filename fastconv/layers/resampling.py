"""Layers that enlarge images, signals and volumes."""

from typing import Any, Unpack

import fastconv.functional as F
from fastconv.layers._arguments import integers, one_of
from fastconv.layers._images import ImageLayer
from fastconv.layers.base import Array, LayerOptions, Shape


class _UpSampling(ImageLayer):
    """A whole multiple of the elements on each spatial axis."""

    interpolation = "nearest"

    def __init__(self, size: Any, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self._factors = integers(f"{type(self).__name__}: size", size, self.spatial)
        self.size = self._factors if self.spatial > 1 else self._factors[0]

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, sizes, channels = self._split(input_shape)
        outputs = tuple(
            None if size is None else size * factor for size, factor in zip(sizes, self._factors, strict=True)
        )
        return self._join(batch, outputs, channels)

    def _arguments(self) -> dict[str, Any]:
        # An output's centre is never near the border of two inputs: no rounding can take the wrong one.
        mode = "nearest-exact" if self.interpolation == "nearest" else self.interpolation
        return {"scale_factor": self._factors, "mode": mode, "data_format": self.data_format}

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        return F.interpolate(x, **self._arguments()), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        return F.interpolate_backward(grad_y, saved, **self._arguments()) if needs_input else None


class UpSampling1D(_UpSampling):
    """Each element of a signal several times in a row, see `fastconv.functional.interpolate`.

    Parameters
    ----------
    size : int
        How many times.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling1D(3)(np.array([[[1.0], [2.0]]]))[0, :, 0]
    array([1., 1., 1., 2., 2., 2.], dtype=float32)
    """

    spatial = 1

    def __init__(self, size: int = 2, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(size, data_format, **options)


class UpSampling2D(_UpSampling):
    """Images with a multiple of the rows and columns, see `fastconv.functional.interpolate`.

    Parameters
    ----------
    size : int or pair of int
        Factors of height and width.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    interpolation : {"nearest", "bilinear"}
        "nearest" repeats each pixel; "bilinear" mixes neighbours by the distance of the pixels' centres.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0]]).reshape(1, 1, 2, 1)
    >>> UpSampling2D(2)(x)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]], dtype=float32)
    >>> UpSampling2D((1, 2), interpolation="bilinear")(x)[0, :, :, 0]
    array([[1.  , 1.25, 1.75, 2.  ]], dtype=float32)
    """

    def __init__(
        self,
        size: int | tuple[int, int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        if interpolation in ("bicubic", "lanczos3", "lanczos5"):
            raise NotImplementedError(f"UpSampling2D: interpolation {interpolation!r} is not supported, use 'bilinear'")
        super().__init__(size, data_format, **options)
        self.interpolation = one_of("UpSampling2D: interpolation", interpolation, "nearest", "bilinear")


class UpSampling3D(_UpSampling):
    """Each element of a volume several times along each axis, see `fastconv.functional.interpolate`.

    Parameters
    ----------
    size : int or three int
        Factors of depth, height and width.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling3D((1, 2, 3))(np.zeros((2, 4, 4, 4, 3))).shape
    (2, 4, 8, 12, 3)
    """

    spatial = 3

    def __init__(
        self,
        size: int | tuple[int, int, int] = (2, 2, 2),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, **options)
