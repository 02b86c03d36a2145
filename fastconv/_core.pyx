# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=False
"""The door to C: pointers out, GIL off, status to exception. Shapes and wording of errors are checked by the callers in
fastconv.functional; what is checked here is that no call can leave an array."""

import os

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_FillInfo,
    PyBuffer_Release, PyObject_GetBuffer
)
from libc.stdint cimport int64_t

cdef extern from "fastconv.h" nogil:
    ctypedef enum fcv_status:
        FCV_OK
        FCV_NO_MEMORY
        FCV_INVALID
        FCV_NO_ISA
    ctypedef enum fcv_dtype:
        FCV_F32
        FCV_F64
    ctypedef enum fcv_layout:
        FCV_CHANNELS_FIRST
        FCV_CHANNELS_LAST
    ctypedef enum fcv_activation:
        FCV_LINEAR
        FCV_RELU
        FCV_LEAKY_RELU
        FCV_SIGMOID
        FCV_TANH
        FCV_RELU6
        FCV_ELU
        FCV_ELU_OUTPUT
        FCV_GELU
        FCV_GELU_TANH
        FCV_SILU
        FCV_SOFTPLUS
        FCV_ACTIVATIONS
    ctypedef enum fcv_algorithm:
        FCV_ALGORITHMS
    ctypedef enum fcv_pass:
        FCV_PASSES
    struct fcv_geometry:
        int64_t n, ci, co, groups
        int64_t[3] out, kernel, stride, dilation, pad_lo, pad_hi
        int64_t[3] in_ "in"
    struct fcv_conv:
        fcv_geometry geometry
        fcv_dtype dtype
        fcv_layout layout
        fcv_layout weight_layout
        fcv_activation activation
        double slope
        fcv_algorithm algorithm
        int64_t block
        const void *packed
        int64_t *workspace
    struct fcv_pool:
        fcv_geometry geometry
        fcv_dtype dtype
        fcv_layout layout
        int count_include_pad
        int64_t divisor_override
        int adaptive
    struct fcv_axis_map:
        int64_t out, images, taps
        int64_t in_ "in"
        const int64_t *begin
        const int64_t *index
        const void *weight
    struct fcv_resampling:
        int64_t n, c
        fcv_dtype dtype
        fcv_layout layout
        fcv_axis_map[3] axis
    fcv_status fcv_conv_forward(const fcv_conv *, const void *, const void *, const void *, void *)
    fcv_status fcv_conv_grad_input(const fcv_conv *, const void *, const void *, const void *, void *)
    fcv_status fcv_conv_grad_weight(const fcv_conv *, const void *, const void *, void *)
    fcv_status fcv_conv_grad_bias(const fcv_conv *, const void *, void *)
    fcv_status fcv_choose(const fcv_conv *, fcv_pass, fcv_algorithm *)
    double fcv_expected_cost(const fcv_conv *, fcv_pass)
    enum: FCV_WORK_KINDS
    int fcv_expected_work(const fcv_conv *, fcv_pass, double *)
    int FCV_MATRIX_LIMIT
    fcv_status fcv_multiplications_toeplitz(const fcv_conv *, fcv_pass, int64_t *)
    void fcv_set_strict(int)
    int fcv_get_strict()
    fcv_status fcv_packed_bytes(const fcv_conv *, int64_t *)
    fcv_status fcv_pack(const fcv_conv *, const void *, const void *, void *)
    int fcv_packed_form(const fcv_conv *)
    double fcv_peak_gflops(fcv_dtype)
    fcv_status fcv_max_pool_forward(const fcv_pool *, const void *, void *, int64_t *)
    fcv_status fcv_max_pool_backward(const fcv_pool *, const void *, const void *, const int64_t *, void *)
    fcv_status fcv_avg_pool_forward(const fcv_pool *, const void *, void *)
    fcv_status fcv_avg_pool_backward(const fcv_pool *, const void *, void *)
    fcv_status fcv_resample(const fcv_resampling *, const void *, void *)
    fcv_status fcv_max_unpool_forward(const fcv_pool *, const void *, const int64_t *, void *)
    fcv_status fcv_max_unpool_backward(const fcv_pool *, const void *, const int64_t *, void *)
    fcv_status fcv_activation_forward(fcv_dtype, fcv_activation, double, double, int64_t, const void *, void *)
    fcv_status fcv_activation_backward(fcv_dtype, fcv_activation, double, double, int64_t, const void *, const void *,
                                       void *)
    fcv_status fcv_prelu(fcv_dtype, fcv_layout, int64_t, int64_t, int64_t, const void *, const void *, const void *,
                         void *)
    fcv_status fcv_softmax_forward(fcv_dtype, int, int64_t, int64_t, int64_t, const void *, void *)
    fcv_status fcv_softmax_backward(fcv_dtype, int, int64_t, int64_t, int64_t, const void *, const void *, void *)
    struct fcv_norm:
        int64_t n, channels, pixels, groups
        fcv_dtype dtype
        fcv_layout layout
        double epsilon
        int given
    fcv_status fcv_norm_forward(const fcv_norm *, const void *, const void *, const void *, double *, double *, void *)
    fcv_status fcv_norm_backward(const fcv_norm *, const void *, const void *, const void *, const double *,
                                 const double *, void *, void *, void *)
    fcv_status fcv_select_isa(const char *)
    const char *fcv_isa()
    const char *fcv_isa_name(int)
    int fcv_isa_available(int)
    int fcv_kernel_id(int, char *, size_t)
    void fcv_set_threads(int)
    int fcv_get_threads()
    int fcv_has_openmp()
    size_t fcv_scratch_bytes()
    void fcv_scratch_trim()
    void *fcv_array_take(size_t)
    void fcv_array_give(void *)
    size_t fcv_array_bytes()
    int64_t fcv_array_blocks()
    void fcv_array_trim()

cdef extern from *:
    """
    #if defined(__clang__)
    #define FCV_COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define FCV_COMPILER "GCC " __VERSION__
    #else
    #define FCV_COMPILER "unknown"
    #endif
    """
    const char *FCV_COMPILER

LINEAR = <int>FCV_LINEAR
RELU = <int>FCV_RELU
LEAKY_RELU = <int>FCV_LEAKY_RELU
SIGMOID = <int>FCV_SIGMOID
TANH = <int>FCV_TANH
RELU6 = <int>FCV_RELU6
ELU = <int>FCV_ELU
ELU_OUTPUT = <int>FCV_ELU_OUTPUT
GELU = <int>FCV_GELU
GELU_TANH = <int>FCV_GELU_TANH
SILU = <int>FCV_SILU
SOFTPLUS = <int>FCV_SOFTPLUS
MATRIX_LIMIT = FCV_MATRIX_LIMIT
ALGORITHMS = (
    "auto", "direct", "im2col", "toeplitz", "toeplitz_full", "winograd", "winograd_2x2", "winograd_4x4"
)


cdef class Arrays:
    """The buffers of one call, released with it; all but index arrays are of one dtype."""

    cdef Py_buffer[6] view
    cdef int count
    cdef fcv_dtype dtype
    cdef bint typed

    def __dealloc__(self):
        for i in range(self.count):
            PyBuffer_Release(&self.view[i])

    cdef Py_buffer *acquire(self, object array, bint writable) except NULL:
        cdef Py_buffer *view = &self.view[self.count]
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.count += 1
        return view

    cdef void *numbers(self, object array, int64_t elements, bint writable=False) except? NULL:
        """A float32 or float64 array of this many elements; a negative number accepts any."""
        cdef Py_buffer *view
        cdef fcv_dtype dtype
        if array is None:
            return NULL
        view = self.acquire(array, writable)
        if view.format[0] == b"f" and view.format[1] == 0:
            dtype = FCV_F32
        elif view.format[0] == b"d" and view.format[1] == 0:
            dtype = FCV_F64
        else:
            raise TypeError(f"_core: arrays must be native float32 or float64, got format {view.format.decode()!r}")
        if self.typed and dtype != self.dtype:
            raise TypeError("_core: arrays must have one dtype")
        self.dtype = dtype
        self.typed = True
        if elements >= 0 and view.len != elements * view.itemsize:
            raise ValueError(f"_core: array must have {elements} elements, got {view.len // view.itemsize}")
        return view.buf

    cdef double *doubles(self, object array, int64_t elements, bint writable) except? NULL:
        cdef double *data = <double *>self.numbers(array, elements, writable)
        if data != NULL and self.dtype != FCV_F64:
            raise TypeError("_core: statistics must be native float64")
        return data

    cdef int64_t *positions(self, object array, int64_t elements, bint writable) except? NULL:
        cdef Py_buffer *view
        if array is None:
            return NULL
        view = self.acquire(array, writable)
        if view.itemsize != 8 or view.format[0] not in b"lq" or view.format[1] != 0:
            raise TypeError(f"_core: indices must be native int64, got format {view.format.decode()!r}")
        if view.len != elements * 8:
            raise ValueError(f"_core: indices must have {elements} elements, got {view.len // 8}")
        return <int64_t *>view.buf

    cdef int64_t elements(self):
        """Of the array acquired last."""
        return self.view[self.count - 1].len // self.view[self.count - 1].itemsize


cdef int three(object source, int64_t *to) except -1:
    to[0], to[1], to[2] = source
    return 0


cdef int read_geometry(object source, fcv_geometry *g) except -1:
    g.n, g.ci, g.co, g.groups = source.batch, source.in_channels, source.out_channels, source.groups
    three(source.input, g.in_)
    three(source.output, g.out)
    three(source.kernel, g.kernel)
    three(source.stride, g.stride)
    three(source.dilation, g.dilation)
    three(source.pad_lo, g.pad_lo)
    three(source.pad_hi, g.pad_hi)
    return 0


cdef int64_t times(int64_t a, int64_t b) except -1:
    if a < 0 or b < 0 or (b > 0 and a > (<int64_t>1 << 60) // b):
        raise ValueError(f"_core: sizes must be non-negative and their product below 2**60, got {a} and {b}")
    return a * b


cdef int64_t volume(int64_t a, int64_t b, int64_t *axes) except -1:
    return times(times(times(times(a, b), axes[0]), axes[1]), axes[2])


cdef int64_t x_elements(fcv_geometry *g) except -1:
    return volume(g.n, g.ci, g.in_)


cdef int64_t y_elements(fcv_geometry *g) except -1:
    return volume(g.n, g.co, g.out)


cdef int64_t w_elements(fcv_geometry *g) except -1:
    if g.groups < 1 or g.ci % g.groups:
        raise ValueError(f"_core: groups must divide {g.ci} channels, got {g.groups}")
    return volume(g.ci // g.groups, g.co, g.kernel)


cdef int check(fcv_status status) except -1:
    if status == FCV_NO_MEMORY:
        raise MemoryError("fastconv: not enough memory for scratch space")
    if status != FCV_OK:
        raise ValueError("_core: sizes, or indices, contradict each other")
    return 0


cdef fcv_layout layout_of(bint channels_last):
    return FCV_CHANNELS_LAST if channels_last else FCV_CHANNELS_FIRST


cdef int describe(fcv_conv *conv, bint channels_last, bint weight_channels_last, int algorithm) except -1:
    """All of conv but geometry and dtype, which are read first."""
    if not 0 <= algorithm % 256 < FCV_ALGORITHMS:
        raise ValueError(f"_core: algorithm must be a known number, got {algorithm}")
    conv.layout, conv.weight_layout = layout_of(channels_last), layout_of(weight_channels_last)
    conv.activation, conv.slope = FCV_LINEAR, 0
    conv.algorithm, conv.block = <fcv_algorithm>(algorithm % 256), algorithm // 256
    conv.packed, conv.workspace = NULL, NULL
    return 0


cdef int activate(fcv_conv *conv, int activation, double slope) except -1:
    if not 0 <= activation < FCV_ACTIVATIONS:
        raise ValueError(f"_core: activation must be a known number, got {activation}")
    conv.activation, conv.slope = <fcv_activation>activation, slope
    return 0


def conv_forward(geometry, bint channels_last, bint weight_channels_last, x, w, bias, y, int activation=0,
                 double slope=0.0, int algorithm=0):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *px = arrays.numbers(x, x_elements(&conv.geometry))
    cdef const void *pw = arrays.numbers(w, w_elements(&conv.geometry))
    cdef const void *pb = arrays.numbers(bias, conv.geometry.co)
    cdef void *py = arrays.numbers(y, y_elements(&conv.geometry), True)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, weight_channels_last, algorithm)
    activate(&conv, activation, slope)
    with nogil:
        status = fcv_conv_forward(&conv, px, pw, pb, py)
    check(status)


def conv_forward_packed(geometry, bint channels_last, bint weight_channels_last, x, packed, bint has_bias, y,
                        int activation, double slope, int algorithm):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *px = arrays.numbers(x, x_elements(&conv.geometry))
    cdef void *py = arrays.numbers(y, y_elements(&conv.geometry), True)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, weight_channels_last, algorithm)
    activate(&conv, activation, slope)
    cdef const void *pp = arrays.numbers(packed, packed_numbers(&conv))
    conv.packed = pp
    with nogil:
        status = fcv_conv_forward(&conv, px, NULL, pp if has_bias else NULL, py)
    check(status)


cdef int64_t packed_numbers(fcv_conv *conv) except -1:
    cdef int64_t bytes
    check(fcv_packed_bytes(conv, &bytes))
    return bytes // (4 if conv.dtype == FCV_F32 else 8)


def packed_elements(geometry, bint float64, bint channels_last, bint weight_channels_last, int algorithm):
    cdef fcv_conv conv
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, weight_channels_last, algorithm)
    return packed_numbers(&conv)


def packed_form(geometry, bint float64, bint channels_last, bint weight_channels_last, int algorithm):
    cdef fcv_conv conv
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, weight_channels_last, algorithm)
    return fcv_packed_form(&conv)


def pack(geometry, bint channels_last, bint weight_channels_last, w, bias, packed, int algorithm):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *pw = arrays.numbers(w, w_elements(&conv.geometry))
    cdef const void *pb = arrays.numbers(bias, conv.geometry.co)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, weight_channels_last, algorithm)
    cdef void *pp = arrays.numbers(packed, packed_numbers(&conv), True)
    with nogil:
        status = fcv_pack(&conv, pw, pb, pp)
    check(status)


cdef int check_pass(int direction) except -1:
    if not 0 <= direction < FCV_PASSES:
        raise ValueError(f"_core: direction must be 0, 1 or 2, got {direction}")
    return 0


def choose(geometry, bint float64, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    cdef fcv_algorithm chosen
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, channels_last, algorithm)
    check_pass(direction)
    return <int>chosen if fcv_choose(&conv, <fcv_pass>direction, &chosen) == FCV_OK else -1


def expected_cost(geometry, bint float64, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, channels_last, algorithm)
    check_pass(direction)
    return fcv_expected_cost(&conv, <fcv_pass>direction)


def expected_work(geometry, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    cdef double work[FCV_WORK_KINDS]
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F32
    describe(&conv, channels_last, channels_last, algorithm)
    check_pass(direction)
    return fcv_expected_work(&conv, <fcv_pass>direction, work), list(work)


def toeplitz_multiplications(geometry, bint float64, int direction, int algorithm):
    cdef fcv_conv conv
    cdef int64_t count
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, True, True, algorithm)
    check_pass(direction)
    check(fcv_multiplications_toeplitz(&conv, <fcv_pass>direction, &count))
    return count


def workspace_bytes(geometry, bint float64, bint channels_last, bint weight_channels_last, int direction,
                    int algorithm):
    cdef fcv_conv conv
    cdef int64_t bytes = 0
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, weight_channels_last, algorithm)
    check_pass(direction)
    conv.workspace = &bytes
    if direction == 0:
        status = fcv_conv_forward(&conv, NULL, NULL, NULL, NULL)
    elif direction == 1:
        status = fcv_conv_grad_input(&conv, NULL, NULL, NULL, NULL)
    else:
        status = fcv_conv_grad_weight(&conv, NULL, NULL, NULL)
    check(status)
    return bytes


def conv_grad_input(geometry, bint channels_last, bint weight_channels_last, gy, w, gx, int algorithm=0, bias=None,
                    int activation=0):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *pgy = arrays.numbers(gy, y_elements(&conv.geometry))
    cdef const void *pw = arrays.numbers(w, w_elements(&conv.geometry))
    cdef const void *pb = arrays.numbers(bias, conv.geometry.ci)
    cdef void *pgx = arrays.numbers(gx, x_elements(&conv.geometry), True)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, weight_channels_last, algorithm)
    activate(&conv, activation, 0.0)
    with nogil:
        status = fcv_conv_grad_input(&conv, pgy, pw, pb, pgx)
    check(status)


def conv_grad_weight(geometry, bint channels_last, bint weight_channels_last, x, gy, gw, int algorithm=0):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *px = arrays.numbers(x, x_elements(&conv.geometry))
    cdef const void *pgy = arrays.numbers(gy, y_elements(&conv.geometry))
    cdef void *pgw = arrays.numbers(gw, w_elements(&conv.geometry), True)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, weight_channels_last, algorithm)
    with nogil:
        status = fcv_conv_grad_weight(&conv, px, pgy, pgw)
    check(status)


def set_strict(bint strict):
    fcv_set_strict(strict)


def get_strict():
    return bool(fcv_get_strict())


def peak_gflops(bint float64):
    cdef double rate
    with nogil:
        rate = fcv_peak_gflops(FCV_F64 if float64 else FCV_F32)
    return rate


def conv_grad_bias(geometry, bint channels_last, gy, gb):
    cdef fcv_conv conv
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    read_geometry(geometry, &conv.geometry)
    cdef const void *pgy = arrays.numbers(gy, y_elements(&conv.geometry))
    cdef void *pgb = arrays.numbers(gb, conv.geometry.co, True)
    conv.dtype = arrays.dtype
    describe(&conv, channels_last, channels_last, 0)
    with nogil:
        status = fcv_conv_grad_bias(&conv, pgy, pgb)
    check(status)


cdef fcv_pool pool_of(object geometry, bint channels_last, bint adaptive=False) except *:
    """All but the dtype, which the arrays say."""
    cdef fcv_pool pool
    read_geometry(geometry, &pool.geometry)
    pool.layout = layout_of(channels_last)
    pool.count_include_pad, pool.divisor_override, pool.adaptive = False, 0, adaptive
    return pool


def max_pool_forward(geometry, bint channels_last, bint adaptive, x, y, indices=None):
    cdef fcv_pool pool = pool_of(geometry, channels_last, adaptive)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *px = arrays.numbers(x, x_elements(&pool.geometry))
    cdef void *py = arrays.numbers(y, y_elements(&pool.geometry), True)
    cdef int64_t *pi = arrays.positions(indices, y_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    with nogil:
        status = fcv_max_pool_forward(&pool, px, py, pi)
    check(status)


def max_pool_backward(geometry, bint channels_last, bint adaptive, x, gy, indices, gx):
    cdef fcv_pool pool = pool_of(geometry, channels_last, adaptive)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    if x is None and indices is None:
        raise ValueError("_core: max_pool_backward needs x or indices")
    cdef const void *px = arrays.numbers(x, x_elements(&pool.geometry))
    cdef const void *pgy = arrays.numbers(gy, y_elements(&pool.geometry))
    cdef const int64_t *pi = arrays.positions(indices, y_elements(&pool.geometry), False)
    cdef void *pgx = arrays.numbers(gx, x_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    with nogil:
        status = fcv_max_pool_backward(&pool, px, pgy, pi, pgx)
    check(status)


def avg_pool_forward(
    geometry, bint channels_last, bint adaptive, x, y, bint count_include_pad=False, int64_t divisor_override=0
):
    cdef fcv_pool pool = pool_of(geometry, channels_last, adaptive)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *px = arrays.numbers(x, x_elements(&pool.geometry))
    cdef void *py = arrays.numbers(y, y_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    pool.count_include_pad, pool.divisor_override = count_include_pad, divisor_override
    with nogil:
        status = fcv_avg_pool_forward(&pool, px, py)
    check(status)


def avg_pool_backward(
    geometry, bint channels_last, bint adaptive, gy, gx, bint count_include_pad=False, int64_t divisor_override=0
):
    cdef fcv_pool pool = pool_of(geometry, channels_last, adaptive)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *pgy = arrays.numbers(gy, y_elements(&pool.geometry))
    cdef void *pgx = arrays.numbers(gx, x_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    pool.count_include_pad, pool.divisor_override = count_include_pad, divisor_override
    with nogil:
        status = fcv_avg_pool_backward(&pool, pgy, pgx)
    check(status)


cdef int read_map(object source, Arrays tables, fcv_axis_map *axis) except -1:
    cdef int64_t rows
    axis.in_, axis.out, begin, index, weight = source
    axis.images, axis.taps = 1, 0
    axis.begin, axis.index, axis.weight = NULL, NULL, NULL
    if begin is None:
        return 0
    times(axis.in_, axis.out)
    rows = len(begin) - 1
    if rows < 0 or (rows != axis.out and (axis.out == 0 or rows % axis.out)):
        raise ValueError(f"_core: a map of {axis.out} outputs must have as many rows for each image, got {rows}")
    if rows != axis.out:
        axis.images = rows // axis.out
    axis.taps = len(index)
    axis.begin = tables.positions(begin, rows + 1, False)
    axis.index = tables.positions(index, axis.taps, False)
    axis.weight = tables.numbers(weight, axis.taps)
    return 0


def resample(int64_t batch, int64_t channels, bint channels_last, maps, x, y):
    cdef fcv_resampling r
    cdef Arrays arrays = Arrays(), tables
    cdef fcv_status status
    cdef int64_t[3] inputs, outputs
    held = [Arrays(), Arrays(), Arrays()]
    for i in range(3):
        read_map(maps[i], held[i], &r.axis[i])
        inputs[i], outputs[i] = r.axis[i].in_, r.axis[i].out
    r.n, r.c = batch, channels
    cdef const void *px = arrays.numbers(x, volume(batch, channels, inputs))
    cdef void *py = arrays.numbers(y, volume(batch, channels, outputs), True)
    for tables in held:
        if tables.typed and tables.dtype != arrays.dtype:
            raise TypeError("_core: weights must have the arrays' dtype")
    r.dtype = arrays.dtype
    r.layout = layout_of(channels_last)
    with nogil:
        status = fcv_resample(&r, px, py)
    check(status)


def max_unpool_forward(geometry, bint channels_last, y, indices, x):
    cdef fcv_pool pool = pool_of(geometry, channels_last)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *py = arrays.numbers(y, y_elements(&pool.geometry))
    cdef const int64_t *pi = arrays.positions(indices, y_elements(&pool.geometry), False)
    cdef void *px = arrays.numbers(x, x_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    with nogil:
        status = fcv_max_unpool_forward(&pool, py, pi, px)
    check(status)


def max_unpool_backward(geometry, bint channels_last, gx, indices, gy):
    cdef fcv_pool pool = pool_of(geometry, channels_last)
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *pgx = arrays.numbers(gx, x_elements(&pool.geometry))
    cdef const int64_t *pi = arrays.positions(indices, y_elements(&pool.geometry), False)
    cdef void *pgy = arrays.numbers(gy, y_elements(&pool.geometry), True)
    pool.dtype = arrays.dtype
    with nogil:
        status = fcv_max_unpool_backward(&pool, pgx, pi, pgy)
    check(status)


def activation_forward(int activation, double slope, double threshold, x, y):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *px = arrays.numbers(x, -1)
    cdef int64_t count = arrays.elements()
    cdef void *py = arrays.numbers(y, count, True)
    with nogil:
        status = fcv_activation_forward(arrays.dtype, <fcv_activation>activation, slope, threshold, count, px, py)
    check(status)


def activation_backward(int activation, double slope, double threshold, saved, gy, gx):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *ps = arrays.numbers(saved, -1)
    cdef int64_t count = arrays.elements()
    cdef const void *pgy = arrays.numbers(gy, count)
    cdef void *pgx = arrays.numbers(gx, count, True)
    with nogil:
        status = fcv_activation_backward(arrays.dtype, <fcv_activation>activation, slope, threshold, count, ps, pgy,
                                         pgx)
    check(status)


def prelu(bint channels_last, int64_t n, int64_t channels, int64_t pixels, weight, saved, x, y):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef fcv_layout layout = layout_of(channels_last)
    cdef const void *ps = arrays.numbers(saved, -1)
    cdef int64_t count = arrays.elements()
    if n * channels * pixels != count:
        raise ValueError(f"_core: n, channels, pixels must have the product {count}, got {n}, {channels}, {pixels}")
    cdef const void *pw = arrays.numbers(weight, channels)
    cdef const void *px = arrays.numbers(x, count)
    cdef void *py = arrays.numbers(y, count, True)
    with nogil:
        status = fcv_prelu(arrays.dtype, layout, n, channels, pixels, pw, ps, px, py)
    check(status)


cdef int64_t rows_of(int64_t elements, int64_t columns) except -1:
    if columns < 0 or (columns == 0 and elements > 0) or (columns > 0 and elements % columns):
        raise ValueError(f"_core: columns must divide {elements} elements, got {columns}")
    return elements // columns if columns > 0 else 0


def softmax_forward(bint logarithm, int64_t columns, int64_t inner, x, y):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *px = arrays.numbers(x, -1)
    cdef int64_t count = arrays.elements(), outer = rows_of(count, times(columns, inner))
    cdef void *py = arrays.numbers(y, count, True)
    with nogil:
        status = fcv_softmax_forward(arrays.dtype, logarithm, outer, columns, inner, px, py)
    check(status)


def softmax_backward(bint logarithm, int64_t columns, int64_t inner, y, gy, gx):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef const void *py = arrays.numbers(y, -1)
    cdef int64_t count = arrays.elements(), outer = rows_of(count, times(columns, inner))
    cdef const void *pgy = arrays.numbers(gy, count)
    cdef void *pgx = arrays.numbers(gx, count, True)
    with nogil:
        status = fcv_softmax_backward(arrays.dtype, logarithm, outer, columns, inner, py, pgy, pgx)
    check(status)


cdef int64_t read_norm(object shape, bint channels_last, double epsilon, bint given, fcv_norm *norm) except -1:
    """All of norm but the dtype; returns the elements of x."""
    norm.n, norm.channels, norm.pixels, norm.groups = shape
    norm.layout, norm.epsilon, norm.given = layout_of(channels_last), epsilon, given
    return times(times(norm.n, norm.channels), norm.pixels)


def norm_forward(shape, bint channels_last, double epsilon, x, weight, bias, y, mean=None, variance=None,
                 bint given=False):
    cdef fcv_norm norm
    cdef Arrays arrays = Arrays(), statistics = Arrays()
    cdef fcv_status status
    cdef int64_t count = read_norm(shape, channels_last, epsilon, given, &norm)
    if given and (mean is None or variance is None):
        raise ValueError("_core: norm_forward needs mean and variance where they are given")
    cdef const void *px = arrays.numbers(x, count)
    cdef const void *pw = arrays.numbers(weight, norm.channels)
    cdef const void *pb = arrays.numbers(bias, norm.channels)
    cdef void *py = arrays.numbers(y, count, True)
    cdef double *pm = statistics.doubles(mean, norm.channels, not given)
    cdef double *pv = statistics.doubles(variance, norm.channels, not given)
    if (pm == NULL) != (pv == NULL):
        raise ValueError("_core: norm_forward needs both of mean and variance, or neither")
    norm.dtype = arrays.dtype
    with nogil:
        status = fcv_norm_forward(&norm, px, pw, pb, pm, pv, py)
    check(status)


def norm_backward(shape, bint channels_last, double epsilon, x, gy, weight, gx, gw, gb, mean=None, variance=None,
                  bint given=False):
    cdef fcv_norm norm
    cdef Arrays arrays = Arrays(), statistics = Arrays()
    cdef fcv_status status
    cdef int64_t count = read_norm(shape, channels_last, epsilon, given, &norm)
    if given and (mean is None or variance is None):
        raise ValueError("_core: norm_backward needs mean and variance where they are given")
    cdef const void *px = arrays.numbers(x, count)
    cdef const void *pgy = arrays.numbers(gy, count)
    cdef const void *pw = arrays.numbers(weight, norm.channels)
    cdef void *pgx = arrays.numbers(gx, count, True)
    cdef void *pgw = arrays.numbers(gw, norm.channels, True)
    cdef void *pgb = arrays.numbers(gb, norm.channels, True)
    cdef const double *pm = statistics.doubles(mean, norm.channels, False)
    cdef const double *pv = statistics.doubles(variance, norm.channels, False)
    norm.dtype = arrays.dtype
    with nogil:
        status = fcv_norm_backward(&norm, px, pgy, pw, pm, pv, pgx, pgw, pgb)
    check(status)


def set_threads(int threads):
    fcv_set_threads(threads)


def get_threads():
    return fcv_get_threads()


def has_openmp():
    return bool(fcv_has_openmp())


def compiler():
    return FCV_COMPILER.decode()


def isa():
    return fcv_isa().decode()


def isas():
    """All instruction sets built in, best first, and whether this CPU has them."""
    names, i = [], 0
    while fcv_isa_name(i) != NULL:
        names.append((fcv_isa_name(i).decode(), bool(fcv_isa_available(i))))
        i += 1
    return names


def select_isa(str name):
    """Not while operations run in other threads."""
    if fcv_select_isa(name.encode()) != FCV_OK:
        have = ", ".join(known for known, available in isas() if available)
        raise ValueError(f"FASTCONV_ISA must be one of those that this CPU has ({have}), got {name!r}")


def kernels():
    cdef char id[64]
    names, i = [], 0
    while fcv_kernel_id(i, id, sizeof(id)) > 0:
        names.append((<bytes>id).decode())
        i += 1
    return names


def scratch_bytes():
    return fcv_scratch_bytes()


def scratch_trim():
    fcv_scratch_trim()


if os.environ.get("FASTCONV_ISA"):
    try:
        select_isa(os.environ["FASTCONV_ISA"])
    except ValueError as error:
        raise ImportError(str(error)) from None


cdef class Block:
    cdef void *memory
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        if size < 0:
            raise ValueError(f"_core: size must not be negative, got {size}")
        self.memory = fcv_array_take(<size_t>size)
        self.size = size
        if self.memory == NULL:
            raise MemoryError(f"fastconv: no memory for an array of {size} bytes")

    def __dealloc__(self):
        fcv_array_give(self.memory)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.size, 0, flags)


def array_bytes():
    return fcv_array_bytes()


def array_blocks():
    return fcv_array_blocks()


def array_trim():
    fcv_array_trim()
