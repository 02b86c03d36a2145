r"""The arithmetic of convolutions: how large an output is, and how transposed convolutions are convolutions.

V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, state 15
relationships between input size i, kernel size k, stride s, padding p, dilation d and output size o along one axis.
Each is tested here over a range of sizes, by running the operation and looking at what comes out.

**Convolution.** The kernel, spread over d (k - 1) + 1 inputs, first lies at the left end of the padded input and then
moves in steps of s as long as it fits. Counting its places gives

    o = floor((i + 2p - k - (k - 1)(d - 1)) / s) + 1

which is relationship 15. Relationships 1 to 6 are its special cases without dilation, and 7 is that of pooling, where
p = 0: none of it depends on what is done with the numbers in a window.

**Transposed convolution.** A convolution is a product with a sparse matrix C. Its transpose maps outputs back to the
shape of inputs, and it is a convolution as well: of the input stretched by s - 1 zeros between neighbours, with

    k' = k,  s' = 1,  p' = k - p - 1

and the kernel flipped. Its size is, with a = (i + 2p - k) mod s inputs that the last step did not reach,

    o' = s (i' - 1) + a + k - 2p

which is relationship 14; 8 to 13 are special cases. If i' is the size o of the convolution, o' is i again. Both are
tested: the sizes, and that the numbers are those of the stretched convolution.

**Axes.** Sizes along one axis depend on nothing of the others.

Run it with ``python examples/convolution_arithmetic.py``. It exits with 1 if a figure does not hold.
"""

import sys
from itertools import product

import numpy as np
from lecture import Lecture

import fastconv.functional as F

GUIDE = "arXiv:1603.07285, relationship "

# At most 6 x 2 products of numbers around 1 in float64.
ROUNDING = 1e-13


def convolution(i, k, s=1, p=0, d=1):
    """Return the size of a convolution's output, by making one."""
    return F.conv1d(np.zeros((1, i)), np.zeros((1, 1, k)), stride=s, padding=p, dilation=d).shape[1]


def pooling(i, k, s):
    """Return the size of a pooled signal; that of maxima and means must be one."""
    sizes = {pool(np.zeros((1, i)), k, s).shape[1] for pool in (F.max_pool1d, F.avg_pool1d)}
    return sizes.pop() if len(sizes) == 1 else sizes


def transposed(i, k, s=1, p=0, a=0):
    """Return the size of a transposed convolution's output, by making one."""
    # output_padding may be no larger than the stride allows, which a = (...) mod s never is.
    return F.conv_transpose1d(np.zeros((1, i)), np.zeros((1, 1, k)), stride=s, padding=p, output_padding=a).shape[1]


def ranges(largest):
    """Return for each relationship its number, its formula, and pairs of a size by the formula and one measured.

    i is the input of the convolution, also where its transpose is meant; that has the input i' = o.
    """
    sizes = range(1, largest + 1)
    kernels = range(1, 7)
    strides, pads, dilations = range(1, 5), range(4), range(1, 4)
    fits = [(i, k) for i, k in product(sizes, kernels) if k <= i]
    padded = [(i, k, p) for i, k, p in product(sizes, kernels, pads) if k <= i + 2 * p and p < k]
    strided = [(i, k, s, p) for (i, k, p), s in product(padded, strides)]

    def unstretched(i, k, s, p=0):
        return (i + 2 * p - k) // s + 1

    yield "1", "o = i - k + 1", [(i - k + 1, convolution(i, k)) for i, k in fits]
    yield "2", "o = i - k + 2p + 1", [(i - k + 2 * p + 1, convolution(i, k, p=p)) for i, k, p in padded]
    odd = [(i, k) for i, k in product(sizes, kernels) if k % 2]
    yield "3", "o = i for odd k, p = (k - 1)/2", [(i, convolution(i, k, p=k // 2)) for i, k in odd]
    full = list(product(sizes, kernels))
    yield "4", "o = i + k - 1 for p = k - 1", [(i + k - 1, convolution(i, k, p=k - 1)) for i, k in full]
    steps = [(i, k, s) for (i, k), s in product(fits, strides)]
    yield "5", "o = floor((i - k)/s) + 1", [((i - k) // s + 1, convolution(i, k, s)) for i, k, s in steps]
    yield (
        "6",
        "o = floor((i + 2p - k)/s) + 1",
        [((i + 2 * p - k) // s + 1, convolution(i, k, s, p)) for i, k, s, p in strided],
    )
    yield "7", "pooling: o = floor((i - k)/s) + 1", [((i - k) // s + 1, pooling(i, k, s)) for i, k, s in steps]

    yield "8", "o' = i' + k - 1", [(i + k - 1, transposed(i, k)) for i, k in full]
    # An output must remain: i' + k - 1 - 2p > 0.
    cut = [(i, k, p) for i, k, p in product(sizes, kernels, pads) if p < k and i + k - 1 > 2 * p]
    yield "9", "o' = i' + k - 1 - 2p", [(i + k - 1 - 2 * p, transposed(i, k, p=p)) for i, k, p in cut]
    yield "10", "o' = i' for odd k, p = (k - 1)/2", [(i, transposed(i, k, p=k // 2)) for i, k in odd]
    yield "11", "o' = i' - k + 1 for p = k - 1", [(i - k + 1, transposed(i, k, p=k - 1)) for i, k in fits]
    yield (
        "12",
        "o' = s(i' - 1) + k, s divides i - k",
        [
            (s * (unstretched(i, k, s) - 1) + k, transposed(unstretched(i, k, s), k, s))
            for i, k, s in steps
            if (i - k) % s == 0
        ],
    )
    yield (
        "13",
        "o' = s(i' - 1) + k - 2p, s divides i + 2p - k",
        [
            (s * (unstretched(i, k, s, p) - 1) + k - 2 * p, transposed(unstretched(i, k, s, p), k, s, p))
            for i, k, s, p in strided
            if (i + 2 * p - k) % s == 0
        ],
    )
    back = [(i, k, s, p, unstretched(i, k, s, p), (i + 2 * p - k) % s) for i, k, s, p in strided]
    yield (
        "14",
        "o' = s(i' - 1) + a + k - 2p",
        [(s * (o - 1) + a + k - 2 * p, transposed(o, k, s, p, a)) for _, k, s, p, o, a in back],
    )
    yield "14", "o' = i: the convolution's own input", [(i, transposed(o, k, s, p, a)) for i, k, s, p, o, a in back]
    yield (
        "15",
        "o = floor((i + 2p - k - (k - 1)(d - 1))/s) + 1",
        [
            ((i + 2 * p - k - (k - 1) * (d - 1)) // s + 1, convolution(i, k, s, p, d))
            for (i, k, s, p), d in product(strided, dilations)
            if k + (k - 1) * (d - 1) <= i + 2 * p
        ],
    )


def stretched(y, w, s, p, a):
    """Return a transposed convolution by its definition: a convolution of the stretched input.

    Channels of input and output change places, too: w has shape (channels of y, channels of the result, k).
    """
    channels, length = y.shape
    k = w.shape[2]
    wide = np.zeros((channels, s * (length - 1) + 1 + a))
    wide[:, : s * (length - 1) + 1 : s] = y
    return F.conv1d(wide, w.transpose(1, 0, 2)[:, :, ::-1], padding=k - p - 1)


def check_values(lecture, largest):
    """Compare transposed convolutions with stretched ones, and with the transpose in <C x, y> = <x, C^T y>."""
    rng = np.random.default_rng(1603)
    count, worst, worst_product = 0, 0.0, 0.0
    for i, k, s, p in product(range(1, largest + 1), range(1, 6), range(1, 4), range(3)):
        if k > i + 2 * p or p >= k:
            continue
        x, w = rng.standard_normal((3, i)), rng.standard_normal((2, 3, k))
        convolved = F.conv1d(x, w, stride=s, padding=p)
        y = rng.standard_normal(convolved.shape)
        a = (i + 2 * p - k) % s
        back = F.conv_transpose1d(y, w, stride=s, padding=p, output_padding=a)
        count += 1
        worst = max(worst, np.abs(back - stretched(y, w, s, p, a)).max())
        worst_product = max(worst_product, abs((convolved * y).sum() - (x * back).sum()))
    wanted = f"error at most {ROUNDING:.0e}"
    name = f"a transposed convolution is one of the stretched input ({count} geometries)"
    lecture.check(name, wanted, worst, count > 0 and worst <= ROUNDING, "arXiv:1603.07285, chapter 4")
    name = f"it is the transpose: <C x, y> = <x, C^T y> ({count} geometries)"
    lecture.check(name, wanted, worst_product, count > 0 and worst_product <= ROUNDING, "arXiv:1603.07285, section 4.1")


def check_axes(lecture):
    """Draw random 2-D geometries; each axis must come out as it does alone."""
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(200):
        size, k = rng.integers(7, 16, 2), rng.integers(1, 6, 2)
        s, p, d = rng.integers(1, 4, 2), rng.integers(0, 3, 2), rng.integers(1, 3, 2)
        options = {"stride": tuple(s), "padding": tuple(p), "dilation": tuple(d)}
        # 5 taps, dilated by 2, take 9 inputs; the smallest padded input may have 7.
        if np.any(d * (k - 1) + 1 > size + 2 * p):
            options["dilation"], d = (1, 1), (1, 1)
        shape = F.conv2d(np.zeros((1, *size)), np.zeros((1, 1, *k)), **options).shape[1:]
        wrong += shape != tuple(convolution(*axis) for axis in zip(size, k, s, p, d, strict=True))
    source = "arXiv:1603.07285, chapter 2"
    lecture.check("200 random 2-D sizes are those of each axis alone", "0 others", wrong, wrong == 0, source)


def main() -> int:
    """Check the relationships, each over its range."""
    lecture = Lecture("The arithmetic of convolutions, pooling and transposed convolutions")
    largest = 8 if lecture.small else 16
    for number, formula, pairs in ranges(largest):
        agree = sum(formula_size == measured for formula_size, measured in pairs)
        text = f"{agree} of {len(pairs)}"
        holds = agree == len(pairs) > 0
        lecture.check(f"relationship {number}, {formula}", "all sizes agree", text, holds, GUIDE + number)
    check_values(lecture, largest)
    check_axes(lecture)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
