"""Types of the compiled module: pointers out, GIL off, status to exception.

Arrays are C-contiguous float32 or float64, all of one dtype in a call (indices: int64); outputs are writable. A buffer
whose size contradicts the geometry is a ValueError, another type a TypeError, failed allocation a MemoryError: no
argument can make the C code leave an array. Wording of errors for users is the caller's work.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastconv.geometry import Geometry

Array = NDArray[Any]

LINEAR: Final[int]
RELU: Final[int]
LEAKY_RELU: Final[int]
SIGMOID: Final[int]
TANH: Final[int]
RELU6: Final[int]
ELU: Final[int]
ELU_OUTPUT: Final[int]
GELU: Final[int]
GELU_TANH: Final[int]
SILU: Final[int]
SOFTPLUS: Final[int]
FOUND: Final[int]
KNOWN: Final[int]
CONSTANT: Final[int]
SGD: Final[int]
RMSPROP: Final[int]
ADAGRAD: Final[int]
ADAM: Final[int]
# The names of algorithms by number: "auto", "direct", "im2col", "toeplitz", "toeplitz_full", "winograd",
# "winograd_2x2", "winograd_4x4". To the number of "toeplitz" 256 times the outputs of a block may be added, which
# otherwise the geometry chooses. Passes are numbered forward, input gradient, weight gradient.
ALGORITHMS: Final[tuple[str, ...]]
MATRIX_LIMIT: Final[int]
"""Bytes of the largest matrix that "toeplitz_full" builds."""

class Plans:
    """What calls have found out about their arguments, by these and by the shapes of the arrays; the oldest is dropped.

    `find` returns None, and `keep` keeps nothing, where the arguments are not all ints, strings, None or tuples of
    those, or an array is none: 1.0 would find what a call with 1 has left.
    """

    def __init__(self, most: int) -> None: ...
    def __len__(self) -> int: ...
    def find(self, arguments: tuple[Any, ...], *arrays: Any) -> Any: ...
    def keep(self, plan: object, arguments: tuple[Any, ...], *arrays: Any) -> None: ...
    def clear(self) -> None: ...

class Convolution:
    """A convolution whose arguments were checked. Each method allocates its results.

    It returns None where an array is not one that C can read as it lies, or `out` not one that it can write.
    """

    def __init__(
        self,
        geometry: Geometry,
        shape: tuple[int, ...],
        channels_last: bool,
        weight_channels_last: bool,
        activation: int = 0,
        algorithm: int = 0,
    ) -> None:
        """`shape` is that of the output; the algorithm is that of `forward`."""

    def forward(self, x: Any, w: Any, bias: Any, out: Any) -> Any: ...
    def gradients(
        self,
        gy: Any,
        x: Any,
        w: Any,
        bias: Any,
        of_input: bool,
        of_weight: bool,
        of_bias: bool,
        input_algorithm: int = 0,
        weight_algorithm: int = 0,
    ) -> Any: ...

class PackedConvolution(Convolution):
    """One with what `pack` wrote, which it holds."""

    def __init__(
        self,
        geometry: Geometry,
        shape: tuple[int, ...],
        channels_last: bool,
        weight_channels_last: bool,
        packed: Array,
        has_bias: bool,
        activation: int,
        algorithm: int,
    ) -> None: ...
    def run(self, x: Any, out: Any) -> Any: ...

def conv_forward(
    geometry: Geometry,
    channels_last: bool,
    weight_channels_last: bool,
    x: Array,
    w: Array,
    bias: Array | None,
    y: Array,
    activation: int = 0,
    slope: float = 0.0,
    algorithm: int = 0,
) -> None: ...
def packed_elements(
    geometry: Geometry, float64: bool, channels_last: bool, weight_channels_last: bool, algorithm: int
) -> int: ...
def use_numpy(np: ModuleType) -> None:
    """Take the module's arrays and dtypes; loading the core itself needs no NumPy."""

def packed_form(
    geometry: Geometry, float64: bool, channels_last: bool, weight_channels_last: bool, algorithm: int
) -> int:
    """Return a number: what pack wrote for one size of the input fits others with the same algorithm and number."""

def pack(
    geometry: Geometry,
    channels_last: bool,
    weight_channels_last: bool,
    w: Array,
    bias: Array | None,
    packed: Array,
    algorithm: int,
) -> None: ...
def turns(geometry: Geometry, float64: bool, channels_last: bool, direction: int, algorithm: int) -> bool:
    """Whether channels-first arrays are copied to channels last, and the result back."""

def choose(
    geometry: Geometry, float64: bool, channels_last: bool, direction: int, algorithm: int, prepared: bool = False
) -> int:
    """Return the algorithm that is used where this one is asked for: "auto" and "winograd" become another.

    -1 where it does not apply.
    """

def expected_cost(geometry: Geometry, float64: bool, channels_last: bool, direction: int, algorithm: int) -> float:
    """Estimate the time of a pass in multiply-adds at full speed, as "auto" does; 0 where there is no estimate."""

def expected_work(geometry: Geometry, channels_last: bool, direction: int, algorithm: int) -> tuple[int, list[float]]:
    """Return the method whose prices a pass in float32 has, and its work by kind (csrc/choose.c)."""

def toeplitz_multiplications(geometry: Geometry, float64: bool, direction: int, algorithm: int) -> int:
    """Count those of "toeplitz", forward or for the input gradient, with the zeros beside the band."""

def workspace_bytes(
    geometry: Geometry,
    float64: bool,
    channels_last: bool,
    weight_channels_last: bool,
    direction: int,
    algorithm: int,
) -> int:
    """Scratch memory that the call would take, packed weights included, with the number of threads in force."""

def set_strict(strict: bool) -> None:
    """Whether "auto" keeps away from algorithms that round more than direct convolution."""

def get_strict() -> bool: ...
def peak_gflops(float64: bool) -> float:
    """10^9 operations a second that one core reaches in registers (a multiply-add is two)."""

def conv_grad_input(
    geometry: Geometry,
    channels_last: bool,
    weight_channels_last: bool,
    gy: Array,
    w: Array,
    gx: Array,
    algorithm: int = 0,
    bias: Array | None = None,
    activation: int = 0,
) -> None:
    """With a bias, one number for each of the geometry's input channels, and an activation it is a transposed
    convolution.
    """

def conv_grad_weight(
    geometry: Geometry,
    channels_last: bool,
    weight_channels_last: bool,
    x: Array,
    gy: Array,
    gw: Array,
    algorithm: int = 0,
) -> None: ...
def conv_grad_bias(geometry: Geometry, channels_last: bool, gy: Array, gb: Array) -> None: ...

class Pooling:
    """A pooling whose arguments were checked; the methods are as those of Convolution."""

    def __init__(
        self,
        geometry: Geometry,
        shape: tuple[int, ...],
        channels_last: bool,
        adaptive: bool,
        count_include_pad: bool = False,
        divisor_override: int = 0,
    ) -> None: ...
    def maxima(self, x: Any, with_indices: bool = False) -> Any:
        """Return the maxima, or these and their positions in the images."""

    def means(self, x: Any) -> Any: ...
    def maxima_gradients(self, gy: Any, x: Any, indices: Array | None) -> Any:
        """Return the gradient of x, at the positions that `maxima` has found or, without them, those of the maxima."""

    def mean_gradients(self, gy: Any, x: Any) -> Any: ...

def resample(
    batch: int,
    channels: int,
    channels_last: bool,
    maps: Sequence[tuple[int, int, Array | None, Array | None, Array | None]],
    x: Array,
    y: Array,
) -> None:
    """Map x along its three axes.

    A map is (inputs, outputs, begin, index, weight): in compressed rows, one for each output, or for each output of
    each image. Without arrays the axis stays as it is.
    """

def max_unpool_forward(geometry: Geometry, channels_last: bool, y: Array, indices: Array, x: Array) -> None: ...
def max_unpool_backward(geometry: Geometry, channels_last: bool, gx: Array, indices: Array, gy: Array) -> None: ...
def activated(activation: int, slope: float, threshold: float, x: Any) -> Any:
    """Return a new array; None where `x` is not one that C can read as it lies."""

def activation_forward(activation: int, slope: float, threshold: float, x: Array, y: Array) -> None: ...
def activation_backward(
    activation: int, slope: float, threshold: float, saved: Array, gy: Array, gx: Array
) -> None: ...
def prelu(
    channels_last: bool, n: int, channels: int, pixels: int, weight: Array, saved: Array, x: Array, y: Array
) -> None: ...
def optimizer_step(
    optimizer: int,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    nesterov: bool,
    g: Array,
    w: Array,
    m: Array | None,
    v: Array | None,
    a: Array | None,
) -> None: ...
def softmaxed(logarithm: bool, x: Any) -> Any:
    """Along the last axis, as `activated`; also None where there is nothing to sum over."""

def softmax_forward(logarithm: bool, columns: int, inner: int, x: Array, y: Array) -> None:
    """Over the middle axis of x as [...][columns][inner]."""

def softmax_backward(logarithm: bool, columns: int, inner: int, y: Array, gy: Array, gx: Array) -> None: ...
def norm_forward(
    shape: tuple[int, int, int, int],
    channels_last: bool,
    epsilon: float,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    y: Array,
    mean: Array | None = None,
    variance: Array | None = None,
    statistics: int = ...,
    *,
    addend: Array | None = None,
    rectified: bool = False,
) -> None:
    """Normalize x of shape (n, channels, pixels, groups), groups being 0 for batch normalization.

    Its mean and variance, float64 arrays with one number for each channel, are written if `statistics` is FOUND, and
    read if it is CONSTANT.
    """

def norm_backward(
    shape: tuple[int, int, int, int],
    channels_last: bool,
    epsilon: float,
    x: Array,
    gy: Array,
    weight: Array | None,
    bias: Array | None,
    gx: Array,
    gw: Array,
    gb: Array,
    mean: Array | None = None,
    variance: Array | None = None,
    statistics: int = ...,
    *,
    rectified: bool = False,
) -> None:
    """With `statistics` KNOWN: mean and variance are what the forward pass has found."""

def set_threads(threads: int) -> None: ...
def get_threads() -> int: ...
def has_openmp() -> bool: ...
def compiler() -> str: ...
def isa() -> str: ...
def isas() -> list[tuple[str, bool]]: ...
def select_isa(name: str) -> None: ...
def kernels() -> list[str]: ...
def scratch_bytes() -> int: ...
def scratch_trim() -> None: ...

class Block:
    """Writable bytes with undefined values, by the buffer protocol; their memory is kept for later blocks.

    MemoryError where there is none.
    """

    def __init__(self, size: int) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array: ...
def array_bytes() -> int:
    """Return the memory that is kept for later blocks."""

def array_blocks() -> int:
    """Count the blocks whose memory was asked of the system, since there was none kept that fits."""

def array_trim() -> None: ...
