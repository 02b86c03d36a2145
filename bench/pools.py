"""Pooling as entries: maxima, means and global means, and their gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from entry import Array, Entry, title

import fastconv.functional as F
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Ncnn, OnnxPeer, Peer, TensorFlow, Torch

TOLERANCE = 1e-5  # of operands near 1; sums of at most a few thousand terms, whose rounding is random


@dataclass(frozen=True)
class Pool:
    """Pooling of square windows in float32; `shape` is the input's, channels last; kernel 0 is the whole image.

    `what` is "max" or "average", `direction` "forward" or "input".
    """

    what: str
    shape: tuple[int, int, int, int]
    kernel: int = 0
    stride: int = 0
    padding: int = 0
    direction: str = "forward"
    dtype: str = "float32"

    def __str__(self) -> str:
        window = f"{self.kernel}x{self.kernel}" + f" stride {self.stride}" * (self.stride != self.kernel)
        return f"{'x'.join(map(str, self.shape))}, {self.what} {window if self.kernel else 'of the image'}"


class Pooling(Entry):
    """One pass of pooling."""

    def __init__(self, case: Pool) -> None:
        self.case, self.title, self.direction = case, title(case), case.direction
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal(case.shape, np.float32)
        self.kernel, self.stride = case.kernel or case.shape[1], case.stride or case.shape[1]
        windows, pixels = self._windows(self.x), self._windows(np.arange(self.x.size).reshape(self.x.shape))
        if case.what == "max":
            self.y = np.ascontiguousarray(windows.max(axis=(3, 4)))
        else:
            self.y = windows.mean(axis=(3, 4), dtype=np.float64).astype(np.float32)
        self.gy = rng.standard_normal(self.y.shape, np.float32)
        self.expected = self.y if case.direction == "forward" else self._gradient(windows, pixels)
        self.read = self.x.nbytes if case.direction == "forward" else self.gy.nbytes
        self.written = self.expected.nbytes
        self.tags = ("memory-bound", *["max pooling"] * (case.what == "max"))

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether maxima are equal; means and gradients may round."""
        if self.case.what == "max" and self.direction == "forward":
            return np.array_equal(result, self.expected)
        return result.shape == self.expected.shape and np.allclose(result, self.expected, TOLERANCE, TOLERANCE)

    def own(self, data_format: str) -> list[Contestant]:
        """Return the plain function; a gradient of maxima gets their indices, as torch's does."""
        last = data_format == "channels_last"
        x, gy = (a if last else np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (self.x, self.gy))
        window: tuple[int, ...] = (self.kernel, self.stride, self.case.padding)
        forward, backward, how = F.avg_pool2d, F.avg_pool2d_backward, {"data_format": data_format}
        call: Callable[[], Array]
        if not self.case.kernel:
            forward, backward, window = F.adaptive_avg_pool2d, F.adaptive_avg_pool2d_backward, (1,)
        elif self.case.what == "max":
            forward, backward = F.max_pool2d, F.max_pool2d_backward
        if self.direction == "forward":
            call = partial(forward, x, *window, **how)
        elif self.case.what == "max":
            _, indices = F.max_pool2d(x, *window, return_indices=True, **how)
            call = partial(backward, gy, x, *window, indices=indices, **how)
        else:
            call = partial(backward, gy, x, *window, **how)
        return [Contestant("plain", "fastconv", call, lambda y: y if last else y.transpose(0, 2, 3, 1))]

    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return the peer's pooling."""
        if isinstance(peer, Torch):
            return [self._of_torch(peer.modules[0], name, layout) for name, layout in peer.formats().items()]
        if isinstance(peer, TensorFlow):
            return [Contestant(peer.name, peer.name, self._of_tensorflow(peer.modules[0]), lambda y: y.numpy())]
        if self.direction != "forward":
            raise NotImplementedError(f"{peer.name} computes no gradients")
        maximum, whole = self.case.what == "max", not self.case.kernel
        if isinstance(peer, OnnxPeer):
            op = ("Global" if whole else "") + ("MaxPool" if maximum else "AveragePool")
            window = {"kernel_shape": [self.kernel] * 2, "strides": [self.stride] * 2, "pads": [self.case.padding] * 4}
            return [peer.node(op, self.x, {}, {} if whole else window)]
        if isinstance(peer, Ncnn):
            # Type, kernel, stride, padding, global, and the mode of padding that adds none of its own.
            numbers = {0: int(not maximum), 1: self.kernel, 2: self.stride, 3: self.case.padding, 4: int(whole), 5: 1}
            return [peer.layer("Pooling", self.x, numbers)]
        raise NotImplementedError(f"{peer.name} has no pooling here")

    def _of_torch(self, torch: Any, name: str, layout: Any) -> Contestant:
        x, gy = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in (self.x, self.gy))
        window = [self.kernel] * 2, [self.stride] * 2, [self.case.padding] * 2
        functional, aten = torch.nn.functional, torch.ops.aten
        call: Callable[[], Any]
        if not self.case.kernel:
            forward, backward = partial(functional.adaptive_avg_pool2d, x, 1), aten._adaptive_avg_pool2d_backward
            call = forward if self.direction == "forward" else partial(backward, gy, x)
        elif self.case.what == "max":
            _, indices = functional.max_pool2d(x, *window, return_indices=True)
            backward = partial(aten.max_pool2d_with_indices_backward, gy, x, *window, [1, 1], False, indices)
            call = partial(functional.max_pool2d, x, *window) if self.direction == "forward" else backward
        else:
            backward = partial(aten.avg_pool2d_backward, gy, x, *window, False, True, None)
            call = partial(functional.avg_pool2d, x, *window) if self.direction == "forward" else backward
        return Contestant(name, "torch", call, lambda y: y.permute(0, 2, 3, 1).numpy())

    def _of_tensorflow(self, library: Any) -> Callable[[], Any]:
        ops, x, y, gy = library.raw_ops, *(library.constant(a) for a in (self.x, self.y, self.gy))
        if not self.case.kernel:
            if self.direction == "forward":
                return lambda: library.reduce_mean(x, [1, 2], keepdims=True)
            return lambda: library.broadcast_to(gy / self.kernel**2, x.shape)
        window = {"ksize": [1, self.kernel, self.kernel, 1], "strides": [1, self.stride, self.stride, 1]}
        pad = self.case.padding
        if self.case.what == "average":
            if self.direction == "forward":
                return partial(ops.AvgPool, value=x, padding="VALID", **window)
            return partial(ops.AvgPoolGrad, orig_input_shape=x.shape, grad=gy, padding="VALID", **window)
        explicit = {"padding": "EXPLICIT", "explicit_paddings": [0, 0, pad, pad, pad, pad, 0, 0]}
        how = window | (explicit if pad else {"padding": "VALID"})
        if self.direction == "forward":
            return partial(ops.MaxPool, input=x, **how)
        return partial(ops.MaxPoolGrad, orig_input=x, orig_output=y, grad=gy, **how)

    def _windows(self, images: Array) -> Array:
        """Return (n, oh, ow, kernel, kernel, c) of images padded by what is less than all else."""
        pads = (self.case.padding,) * 2
        least = -np.inf if images.dtype.kind == "f" else -1
        padded = np.pad(images, ((0, 0), pads, pads, (0, 0)), constant_values=least)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel, self.kernel), axis=(1, 2))
        return windows[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3)

    def _gradient(self, windows: Array, pixels: Array) -> Array:
        flat = (*windows.shape[:3], -1, windows.shape[-1])
        gx = np.zeros(self.x.size)
        if self.case.what == "max":
            first = windows.reshape(flat).argmax(axis=3, keepdims=True)
            np.add.at(gx, np.take_along_axis(pixels.reshape(flat), first, axis=3)[..., 0, :], self.gy)
        else:
            shares = np.broadcast_to(self.gy[:, :, :, None, None] / self.kernel**2, windows.shape)
            np.add.at(gx, pixels, shares)
        return gx.reshape(self.x.shape)
