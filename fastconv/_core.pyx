# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=False
"""The door to C: pointers out, GIL off, status to exception. Shapes and wording of errors are checked by the callers in
fastconv.functional; what is checked here is that no call can leave an array."""

import math
import os

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE,
    PyBuffer_FillInfo, PyBuffer_IsContiguous, PyBuffer_Release,
    PyObject_GetBuffer
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
        int prepared
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
    fcv_status fcv_conv_grad_weight_bias(const fcv_conv *, const void *, const void *, void *, void *)
    fcv_status fcv_conv_gradients(const fcv_conv *, const fcv_conv *, const void *, const void *, const void *, void *,
                                  void *, void *)
    fcv_status fcv_choose(const fcv_conv *, fcv_pass, fcv_algorithm *)
    bint fcv_turns(const fcv_conv *, fcv_pass)
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
    ctypedef enum fcv_optimizer:
        FCV_SGD
        FCV_RMSPROP
        FCV_ADAGRAD
        FCV_ADAM
    struct fcv_step:
        fcv_optimizer optimizer
        double rate, beta_1, beta_2, epsilon
        int nesterov
    fcv_status fcv_optimizer_step(fcv_dtype, const fcv_step *, int64_t, const void *, void *, void *, void *, void *)
    fcv_status fcv_softmax_forward(fcv_dtype, int, int64_t, int64_t, int64_t, const void *, void *)
    fcv_status fcv_softmax_backward(fcv_dtype, int, int64_t, int64_t, int64_t, const void *, const void *, void *)
    ctypedef enum fcv_statistics:
        FCV_FOUND, FCV_KNOWN, FCV_CONSTANT
    struct fcv_norm:
        int64_t n, channels, pixels, groups
        fcv_dtype dtype
        fcv_layout layout
        double epsilon
        fcv_statistics statistics
        int rectified
    fcv_status fcv_norm_forward(const fcv_norm *, const void *, const void *, const void *, const void *, double *,
                                double *, void *)
    fcv_status fcv_norm_backward(const fcv_norm *, const void *, const void *, const void *, const void *,
                                 const double *, const double *, void *, void *, void *)
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
FOUND = <int>FCV_FOUND
KNOWN = <int>FCV_KNOWN
CONSTANT = <int>FCV_CONSTANT
SGD = <int>FCV_SGD
RMSPROP = <int>FCV_RMSPROP
ADAGRAD = <int>FCV_ADAGRAD
ADAM = <int>FCV_ADAM
MATRIX_LIMIT = FCV_MATRIX_LIMIT
ALGORITHMS = (
    "auto", "direct", "im2col", "toeplitz", "toeplitz_full", "winograd", "winograd_2x2", "winograd_4x4"
)

cdef object ndarray, malloced, float32, float64, int64


def use_numpy(np):
    global ndarray, malloced, float32, float64, int64
    ndarray, malloced = np.ndarray, np.empty
    float32, float64, int64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)


cdef enum:
    # Bytes from which an array gets a Block: below, malloc does as well, and NumPy is a microsecond quicker.
    KEPT_FROM = 1 << 16


cdef class Arrays:
    """The buffers of one call, released with it; all but index arrays are of one dtype."""

    cdef Py_buffer[7] view
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
        if array is None:
            return NULL
        view = self.acquire(array, writable)
        if not is_float(view):
            raise TypeError(f"_core: arrays must be native float32 or float64, got format {view.format.decode()!r}")
        if not self.is_of_one_dtype(view):
            raise TypeError("_core: arrays must have one dtype")
        if elements >= 0 and view.len != elements * view.itemsize:
            raise ValueError(f"_core: array must have {elements} elements, got {view.len // view.itemsize}")
        return view.buf

    cdef bint is_of_one_dtype(self, Py_buffer *view):
        cdef fcv_dtype dtype = FCV_F32 if view.itemsize == 4 else FCV_F64
        if self.typed and dtype != self.dtype:
            return False
        self.dtype, self.typed = dtype, True
        return True

    cdef bint take(self, object array, int64_t elements, const void **data):
        """As `numbers`, but False, not an error, where it is not an array that C can read as it lies."""
        cdef Py_buffer *view = &self.view[self.count]
        if type(array) is not ndarray:
            return False
        try:
            PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT)
        except (BufferError, ValueError):  # a dtype that buffers know no format of
            return False
        self.count += 1
        data[0] = view.buf
        return (is_float(view) and self.is_of_one_dtype(view) and PyBuffer_IsContiguous(view, b"C")
                and (elements < 0 or view.len == elements * view.itemsize))

    cdef bint take_output(self, object array, tuple shape, void **data):
        """As `take`, for an array to write to: it shares no memory with those before it."""
        cdef Py_buffer *own = &self.view[self.count]
        if type(array) is not ndarray or array.shape != shape:
            return False
        if not self.take(array, -1, <const void **>data) or own.readonly:
            return False
        for i in range(self.count - 1):
            if own.buf < self.view[i].buf + self.view[i].len and self.view[i].buf < own.buf + own.len:
                return False
        return True

    cdef object result(self, tuple shape, int64_t elements, void **data):
        """A new array of the dtype of those before it."""
        dtype = float32 if self.dtype == FCV_F32 else float64
        array = malloced(shape, dtype) if elements < KEPT_FROM // 8 else empty(shape, dtype)
        data[0] = self.numbers(array, elements, True)
        return array

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


cdef bint is_float(Py_buffer *view):
    return (view.format[0] == b"f" or view.format[0] == b"d") and view.format[1] == 0


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
    conv.layout, conv.weight_layout = layout_of(channels_last), layout_of(weight_channels_last)
    conv.activation, conv.slope = FCV_LINEAR, 0
    conv.packed, conv.workspace, conv.prepared = NULL, NULL, False
    return ask(conv, algorithm)


cdef int ask(fcv_conv *conv, int algorithm) except -1:
    if not 0 <= algorithm % 256 < FCV_ALGORITHMS:
        raise ValueError(f"_core: algorithm must be a known number, got {algorithm}")
    conv.algorithm, conv.block = <fcv_algorithm>(algorithm % 256), algorithm // 256
    return 0


cdef int activate(fcv_conv *conv, int activation, double slope) except -1:
    if not 0 <= activation < FCV_ACTIVATIONS:
        raise ValueError(f"_core: activation must be a known number, got {activation}")
    conv.activation, conv.slope = <fcv_activation>activation, slope
    return 0


cdef bint is_exact(tuple key):
    """Whether equal keys are the same: 1.0 == 1, but as a stride only one of them is accepted."""
    for part in key:
        if not (part is None or type(part) is int or type(part) is str or type(part) is bool
                or (type(part) is tuple and is_exact(part))):
            return False
    return True


cdef class Plans:
    cdef dict kept
    cdef Py_ssize_t most

    def __init__(self, Py_ssize_t most):
        self.kept, self.most = {}, most

    def __len__(self):
        return len(self.kept)

    cdef tuple key(self, tuple arguments, tuple arrays):
        """None where a look-up could find what another call has left."""
        if not is_exact(arguments):
            return None
        shapes = []
        for array in arrays:
            if type(array) is ndarray:
                shapes.append(array.shape)
            elif array is None:
                shapes.append(None)
            else:
                return None
        return (arguments, *shapes)

    def find(self, tuple arguments, *arrays):
        key = self.key(arguments, arrays)
        return None if key is None else self.kept.get(key)

    def keep(self, plan, tuple arguments, *arrays):
        key = self.key(arguments, arrays)
        if key is not None:
            if len(self.kept) >= self.most:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = plan

    def clear(self):
        self.kept.clear()


cdef class Convolution:
    cdef fcv_conv conv
    cdef int64_t x_elements, w_elements, y_elements
    cdef tuple shape

    def __init__(self, geometry, tuple shape, bint channels_last, bint weight_channels_last, int activation=0,
                 int algorithm=0):
        read_geometry(geometry, &self.conv.geometry)
        describe(&self.conv, channels_last, weight_channels_last, algorithm)
        activate(&self.conv, activation, 0.0)
        self.x_elements, self.y_elements = x_elements(&self.conv.geometry), y_elements(&self.conv.geometry)
        self.w_elements = w_elements(&self.conv.geometry)
        self.shape = shape

    def forward(self, x, w, bias, out=None):
        cdef fcv_conv conv = self.conv
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef const void *pw
        cdef const void *pb = NULL
        cdef void *py
        cdef fcv_status status
        if not (arrays.take(x, self.x_elements, &px) and arrays.take(w, self.w_elements, &pw)
                and (bias is None or arrays.take(bias, conv.geometry.co, &pb))):
            return None
        if out is None:
            out = arrays.result(self.shape, self.y_elements, &py)
        elif not arrays.take_output(out, self.shape, &py):
            return None
        conv.dtype = arrays.dtype
        with nogil:
            status = fcv_conv_forward(&conv, px, pw, pb, py)
        check(status)
        return out

    def gradients(self, gy, x, w, bias, bint of_input, bint of_weight, bint of_bias, int input_algorithm=0,
                  int weight_algorithm=0):
        cdef fcv_conv conv = self.conv
        cdef Arrays arrays = Arrays()
        cdef const void *pgy
        cdef const void *px
        cdef const void *pw
        cdef const void *pb
        cdef void *pgx
        cdef void *pgw
        cdef void *pgb = NULL
        cdef fcv_conv conv_of_input
        cdef fcv_status status = FCV_OK
        if not (arrays.take(gy, self.y_elements, &pgy) and arrays.take(x, self.x_elements, &px)
                and arrays.take(w, self.w_elements, &pw)
                and (bias is None or arrays.take(bias, conv.geometry.co, &pb))):
            return None
        conv.dtype = arrays.dtype
        conv_of_input = conv
        ask(&conv_of_input, input_algorithm)
        ask(&conv, weight_algorithm)
        gx = gw = gb = None
        if of_input:
            gx = arrays.result(x.shape, self.x_elements, &pgx)
        if of_bias and bias is not None:
            gb = arrays.result(bias.shape, conv.geometry.co, &pgb)
        if of_weight:
            gw = arrays.result(w.shape, self.w_elements, &pgw)
        with nogil:
            if of_input and of_weight:
                status = fcv_conv_gradients(&conv_of_input, &conv, px, pgy, pw, pgx, pgw, pgb)
            elif of_input:
                status = fcv_conv_grad_input(&conv_of_input, pgy, pw, NULL, pgx)
            elif of_weight and pgb:
                status = fcv_conv_grad_weight_bias(&conv, px, pgy, pgw, pgb)
            elif of_weight:
                status = fcv_conv_grad_weight(&conv, px, pgy, pgw)
        check(status)
        if pgb and not of_weight:
            with nogil:
                status = fcv_conv_grad_bias(&conv, pgy, pgb)
            check(status)
        return gx, gw, gb


cdef class PackedConvolution(Convolution):
    cdef Arrays held
    cdef bint has_bias

    def __init__(self, geometry, tuple shape, bint channels_last, bint weight_channels_last, packed, bint has_bias,
                 int activation, int algorithm):
        super().__init__(geometry, shape, channels_last, weight_channels_last, activation, algorithm)
        self.held, self.has_bias = Arrays(), has_bias
        self.conv.packed = self.held.numbers(packed, -1)
        self.conv.prepared = True
        self.conv.dtype = self.held.dtype

    def run(self, x, out):
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef void *py
        cdef const void *pb = self.conv.packed if self.has_bias else NULL
        cdef fcv_status status
        if not arrays.take(x, self.x_elements, &px) or arrays.dtype != self.conv.dtype:
            return None
        if out is None:
            out = arrays.result(self.shape, self.y_elements, &py)
        elif not arrays.take_output(out, self.shape, &py):
            return None
        if self.held.elements() != packed_numbers(&self.conv):  # at each call: an instruction set decides the size
            raise ValueError(f"_core: packed must have {packed_numbers(&self.conv)} elements")
        with nogil:
            status = fcv_conv_forward(&self.conv, px, NULL, pb, py)
        check(status)
        return out


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


cdef int64_t packed_numbers(fcv_conv *conv) except -1:
    cdef int64_t bytes
    check(fcv_packed_bytes(conv, &bytes))
    return bytes // (4 if conv.dtype == FCV_F32 else 8)


def packed_elements(geometry, bint float64, bint channels_last, bint weight_channels_last, int algorithm):
    cdef fcv_conv conv
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, weight_channels_last, algorithm)
    conv.prepared = True
    return packed_numbers(&conv)


def packed_form(geometry, bint float64, bint channels_last, bint weight_channels_last, int algorithm):
    cdef fcv_conv conv
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(&conv, channels_last, weight_channels_last, algorithm)
    conv.prepared = True
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
    conv.prepared = True
    cdef void *pp = arrays.numbers(packed, packed_numbers(&conv), True)
    with nogil:
        status = fcv_pack(&conv, pw, pb, pp)
    check(status)


cdef int check_pass(int direction) except -1:
    if not 0 <= direction < FCV_PASSES:
        raise ValueError(f"_core: direction must be 0, 1 or 2, got {direction}")
    return 0


cdef int read_pass(fcv_conv *conv, geometry, bint float64, bint channels_last, bint weight_channels_last, int direction,
                   int algorithm) except -1:
    """A pass without arrays, of which something is asked."""
    read_geometry(geometry, &conv.geometry)
    conv.dtype = FCV_F64 if float64 else FCV_F32
    describe(conv, channels_last, weight_channels_last, algorithm)
    check_pass(direction)
    return 0


def choose(geometry, bint float64, bint channels_last, int direction, int algorithm, bint prepared=False):
    cdef fcv_conv conv
    cdef fcv_algorithm chosen
    read_pass(&conv, geometry, float64, channels_last, channels_last, direction, algorithm)
    conv.prepared = prepared
    return <int>chosen if fcv_choose(&conv, <fcv_pass>direction, &chosen) == FCV_OK else -1


def turns(geometry, bint float64, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    read_pass(&conv, geometry, float64, channels_last, channels_last, direction, algorithm)
    return fcv_turns(&conv, <fcv_pass>direction)


def expected_cost(geometry, bint float64, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    read_pass(&conv, geometry, float64, channels_last, channels_last, direction, algorithm)
    return fcv_expected_cost(&conv, <fcv_pass>direction)


def expected_work(geometry, bint channels_last, int direction, int algorithm):
    cdef fcv_conv conv
    cdef double work[FCV_WORK_KINDS]
    read_pass(&conv, geometry, False, channels_last, channels_last, direction, algorithm)
    return fcv_expected_work(&conv, <fcv_pass>direction, work), list(work)


def toeplitz_multiplications(geometry, bint float64, int direction, int algorithm):
    cdef fcv_conv conv
    cdef int64_t count
    read_pass(&conv, geometry, float64, True, True, direction, algorithm)
    check(fcv_multiplications_toeplitz(&conv, <fcv_pass>direction, &count))
    return count


def workspace_bytes(geometry, bint float64, bint channels_last, bint weight_channels_last, int direction,
                    int algorithm):
    cdef fcv_conv conv
    cdef int64_t bytes = 0
    cdef fcv_status status
    read_pass(&conv, geometry, float64, channels_last, weight_channels_last, direction, algorithm)
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


cdef class Pooling:
    cdef fcv_pool pool
    cdef int64_t x_elements, y_elements
    cdef tuple shape

    def __init__(self, geometry, tuple shape, bint channels_last, bint adaptive, bint count_include_pad=False,
                 int64_t divisor_override=0):
        self.pool = pool_of(geometry, channels_last, adaptive)
        self.pool.count_include_pad, self.pool.divisor_override = count_include_pad, divisor_override
        self.x_elements, self.y_elements = x_elements(&self.pool.geometry), y_elements(&self.pool.geometry)
        self.shape = shape

    def maxima(self, x, bint with_indices=False):
        cdef fcv_pool pool = self.pool
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef void *py
        cdef int64_t *pi = NULL
        cdef fcv_status status
        if not arrays.take(x, self.x_elements, &px):
            return None
        y, indices = arrays.result(self.shape, self.y_elements, &py), None
        if with_indices:
            indices = empty(self.shape, int64)
            pi = arrays.positions(indices, self.y_elements, True)
        pool.dtype = arrays.dtype
        with nogil:
            status = fcv_max_pool_forward(&pool, px, py, pi)
        check(status)
        return (y, indices) if with_indices else y

    def means(self, x):
        cdef fcv_pool pool = self.pool
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef void *py
        cdef fcv_status status
        if not arrays.take(x, self.x_elements, &px):
            return None
        y = arrays.result(self.shape, self.y_elements, &py)
        pool.dtype = arrays.dtype
        with nogil:
            status = fcv_avg_pool_forward(&pool, px, py)
        check(status)
        return y

    def maxima_gradients(self, gy, x, indices):
        cdef fcv_pool pool = self.pool
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef const void *pgy
        cdef void *pgx
        cdef const int64_t *pi
        cdef fcv_status status
        if not (arrays.take(gy, self.y_elements, &pgy) and arrays.take(x, self.x_elements, &px)):
            return None
        pi = arrays.positions(indices, self.y_elements, False)
        gx = arrays.result(x.shape, self.x_elements, &pgx)
        pool.dtype = arrays.dtype
        with nogil:
            status = fcv_max_pool_backward(&pool, px, pgy, pi, pgx)
        check(status)
        return gx

    def mean_gradients(self, gy, x):
        cdef fcv_pool pool = self.pool
        cdef Arrays arrays = Arrays()
        cdef const void *px
        cdef const void *pgy
        cdef void *pgx
        cdef fcv_status status
        if not (arrays.take(gy, self.y_elements, &pgy) and arrays.take(x, self.x_elements, &px)):
            return None
        gx = arrays.result(x.shape, self.x_elements, &pgx)
        pool.dtype = arrays.dtype
        with nogil:
            status = fcv_avg_pool_backward(&pool, pgy, pgx)
        check(status)
        return gx


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


def activated(int activation, double slope, double threshold, x):
    cdef Arrays arrays = Arrays()
    cdef const void *px
    cdef void *py
    if not arrays.take(x, -1, &px):
        return None
    cdef int64_t count = arrays.elements()
    y = arrays.result(x.shape, count, &py)
    cdef fcv_status status
    with nogil:
        status = fcv_activation_forward(arrays.dtype, <fcv_activation>activation, slope, threshold, count, px, py)
    check(status)
    return y


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


def optimizer_step(
    int optimizer, double rate, double beta_1, double beta_2, double epsilon, bint nesterov, g, w, m, v, a
):
    cdef Arrays arrays = Arrays()
    cdef fcv_status status
    cdef fcv_step step = fcv_step(<fcv_optimizer>optimizer, rate, beta_1, beta_2, epsilon, nesterov)
    cdef const void *pg = arrays.numbers(g, -1)
    cdef int64_t count = arrays.elements()
    cdef void *pw = arrays.numbers(w, count, True)
    cdef void *pm = arrays.numbers(m, count, True)
    cdef void *pv = arrays.numbers(v, count, True)
    cdef void *pa = arrays.numbers(a, count, True)
    with nogil:
        status = fcv_optimizer_step(arrays.dtype, &step, count, pg, pw, pm, pv, pa)
    check(status)


cdef int64_t rows_of(int64_t elements, int64_t columns) except -1:
    if columns < 0 or (columns == 0 and elements > 0) or (columns > 0 and elements % columns):
        raise ValueError(f"_core: columns must divide {elements} elements, got {columns}")
    return elements // columns if columns > 0 else 0


def softmaxed(bint logarithm, x):
    cdef Arrays arrays = Arrays()
    cdef const void *px
    cdef void *py
    if not arrays.take(x, -1, &px):
        return None
    cdef int64_t count = arrays.elements(), columns
    if count == 0 or x.ndim == 0:
        return None
    columns = arrays.view[0].shape[arrays.view[0].ndim - 1]
    y = arrays.result(x.shape, count, &py)
    cdef fcv_status status
    with nogil:
        status = fcv_softmax_forward(arrays.dtype, logarithm, count // columns, columns, 1, px, py)
    check(status)
    return y


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


cdef int64_t read_norm(object shape, bint channels_last, double epsilon, int statistics, bint rectified,
                       fcv_norm *norm) except -1:
    """All of norm but the dtype; returns the elements of x."""
    norm.n, norm.channels, norm.pixels, norm.groups = shape
    norm.layout, norm.epsilon = layout_of(channels_last), epsilon
    norm.statistics, norm.rectified = <fcv_statistics>statistics, rectified
    return times(times(norm.n, norm.channels), norm.pixels)


def norm_forward(shape, bint channels_last, double epsilon, x, weight, bias, y, mean=None, variance=None,
                 int statistics=FCV_FOUND, *, addend=None, bint rectified=False):
    cdef fcv_norm norm
    cdef Arrays arrays = Arrays(), moments = Arrays()
    cdef fcv_status status
    cdef int64_t count = read_norm(shape, channels_last, epsilon, statistics, rectified, &norm)
    if (mean is None) != (variance is None) or (mean is None and statistics != FCV_FOUND):
        raise ValueError("_core: norm_forward needs mean and variance where they are not found, and both or neither")
    cdef const void *px = arrays.numbers(x, count)
    cdef const void *pw = arrays.numbers(weight, norm.channels)
    cdef const void *pb = arrays.numbers(bias, norm.channels)
    cdef const void *pa = arrays.numbers(addend, count)
    cdef void *py = arrays.numbers(y, count, True)
    cdef double *pm = moments.doubles(mean, norm.channels, statistics == FCV_FOUND)
    cdef double *pv = moments.doubles(variance, norm.channels, statistics == FCV_FOUND)
    norm.dtype = arrays.dtype
    with nogil:
        status = fcv_norm_forward(&norm, px, pw, pb, pa, pm, pv, py)
    check(status)


def norm_backward(shape, bint channels_last, double epsilon, x, gy, weight, bias, gx, gw, gb, mean=None, variance=None,
                  int statistics=FCV_FOUND, *, bint rectified=False):
    cdef fcv_norm norm
    cdef Arrays arrays = Arrays(), moments = Arrays()
    cdef fcv_status status
    cdef int64_t count = read_norm(shape, channels_last, epsilon, statistics, rectified, &norm)
    if statistics != FCV_FOUND and (mean is None or variance is None):
        raise ValueError("_core: norm_backward needs mean and variance where they are not found")
    cdef const void *px = arrays.numbers(x, count)
    cdef const void *pgy = arrays.numbers(gy, count)
    cdef const void *pw = arrays.numbers(weight, norm.channels)
    cdef const void *pb = arrays.numbers(bias, norm.channels)
    cdef void *pgx = arrays.numbers(gx, count, True)
    cdef void *pgw = arrays.numbers(gw, norm.channels, True)
    cdef void *pgb = arrays.numbers(gb, norm.channels, True)
    cdef const double *pm = moments.doubles(mean, norm.channels, False)
    cdef const double *pv = moments.doubles(variance, norm.channels, False)
    norm.dtype = arrays.dtype
    with nogil:
        status = fcv_norm_backward(&norm, px, pgy, pw, pb, pm, pv, pgx, pgw, pgb)
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


cpdef object empty(tuple shape, dtype):
    cdef double bytes = dtype.itemsize  # no overflow, and exact for all that is small
    for size in shape:
        bytes *= size
    if bytes < KEPT_FROM:
        return malloced(shape, dtype)
    try:
        return ndarray(shape, dtype, memoryview(Block(math.prod(shape) * dtype.itemsize)))
    except OverflowError:
        raise MemoryError(f"fastconv: no memory for an array of shape {shape} and {bytes:g} bytes") from None


def array_bytes():
    return fcv_array_bytes()


def array_blocks():
    return fcv_array_blocks()


def array_trim():
    fcv_array_trim()
