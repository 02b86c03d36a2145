r"""What a convolution layer costs: numbers to learn, and multiplications.

A kernel of K x K sees one channel. A filter has one for each of the C_i channels of its input. A layer has C_o filters,
and for each of them a bias:

    one kernel     K x K
    one filter     C_i x K x K
    a layer        C_o x C_i x K x K + C_o

None of it depends on the size of the image; a dense layer between the same images needs a weight for every pair of an
input and an output. Every weight of a kernel is multiplied once for each of the H_o x W_o places of the output.

**Depthwise separable convolution** (L. Sifre, "Rigid-Motion Scattering for Image Classification", 2014, section 6.2;
F. Chollet, arXiv:1610.02357) splits a layer in two: a kernel for each channel alone, then 1 x 1 kernels that mix the
channels. For 256 kernels of 5 x 5 on an image of 12 x 12 x 3 without padding, the output has 8 x 8 places:

    full        256 x 5 x 5 x 3 x 8 x 8                  = 1,228,800 multiplications
    depthwise         5 x 5 x 3 x 8 x 8 =  4,800
    pointwise   256 x 1 x 1 x 3 x 8 x 8 = 49,152, together  53,952

In general the ratio of the two is 1 / C_o + 1 / K^2, here 1/256 + 1/25 = 0.0439.

Run it with ``python examples/layer_costs.py``. It exits with 1 if a figure does not hold.
"""

import sys
from itertools import product

from lecture import Lecture
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.layers import Conv2D, Dense, SeparableConv2D

FORMULA = "each weight of each filter, and a bias a filter"
SIFRE = "Sifre 2014, section 6.2; arXiv:1610.02357"
IMAGE = (None, 12, 12, 3)


def counted(layer, channels):
    """Return the number of weights in the arrays of a layer, built for images with some channels."""
    layer.build((None, None, None, channels))
    return sum(array.size for array in layer.params.values())


def check_params(lecture):
    """Compare the formulas with the arrays of layers over a range of sizes."""
    kernels, channels = (1, 3, 5, 7), (1, 2, 3, 16)
    sizes = list(product(kernels, channels, channels))
    cases = {
        "one kernel has K x K weights": [(k * k, counted(Conv2D(1, k, use_bias=False), 1)) for k in kernels],
        "one filter has C_i x K x K weights": [
            (c * k * k, counted(Conv2D(1, k, use_bias=False), c)) for k, c in product(kernels, channels)
        ],
        "a layer has C_o x C_i x K x K + C_o weights": [
            (out * c * k * k + out, counted(Conv2D(out, k), c)) for k, c, out in sizes
        ],
        "a separable layer has C_i x K x K + C_o x C_i + C_o": [
            (c * k * k + out * c + out, counted(SeparableConv2D(out, k), c)) for k, c, out in sizes
        ],
    }
    for name, pairs in cases.items():
        agree = sum(formula == count for formula, count in pairs)
        lecture.check(name, "all layers agree", f"{agree} of {len(pairs)}", agree == len(pairs), FORMULA)


def check_image_size(lecture):
    """Compare the weights of a convolution and of a dense layer as the image grows."""
    inputs = {size: fc.Input((size, size, 3)) for size in (12, 24)}
    convolution, dense = (
        [layer(x, size).count_params() for size, x in inputs.items()]
        for layer in (
            lambda x, size: fc.Model(x, Conv2D(8, 5, padding="same")(x)),
            lambda x, size: fc.Model(x, Dense(8 * size * size)(fc.layers.Flatten()(x))),
        )
    )
    text = " and ".join(f"{count:,}" for count in convolution)
    holds = convolution[0] == convolution[1] == 608
    lecture.check("5x5, 3 -> 8, on 12x12 and on 24x24", "608 weights on both", text, holds, FORMULA)
    text = " and ".join(f"{count:,}" for count in dense)
    wanted = [432 * 1152 + 1152, 1728 * 4608 + 4608]
    lecture.check(
        "a dense layer to as many outputs", " and ".join(f"{n:,}" for n in wanted), text, dense == wanted, FORMULA
    )


def check_multiplications(lecture):
    """Count the lecture's 256 kernels of 5x5 on 12x12x3, full and separable, in two ways."""
    full, separable = Conv2D(256, 5), SeparableConv2D(256, 5)
    found = full.multiply_adds(IMAGE), separable.multiply_adds(IMAGE)
    for name, wanted, got in zip(("full", "depthwise separable"), (1_228_800, 53_952), found, strict=True):
        lecture.check(f"256 5x5 kernels on 12x12x3, {name}", f"{wanted:,}", f"{got:,}", got == wanted, SIFRE)
    # Those of the algorithm that multiplies each input by each weight, as the core counts them.
    steps = [
        fc.explain((1, 3, 12, 12), (256, 3, 5, 5)),
        fc.explain((1, 3, 12, 12), (3, 1, 5, 5), groups=3),
        fc.explain((1, 3, 8, 8), (256, 3, 1, 1)),
    ]
    counts = [next(row.multiplications for row in step.rows if row.algorithm == "direct") for step in steps]
    text = ", ".join(f"{count:,}" for count in counts)
    holds = counts == [1_228_800, 4_800, 49_152]
    lecture.check("full, depthwise, pointwise, by fc.explain", "1,228,800, 4,800, 49,152", text, holds, SIFRE)
    lecture.check(
        "separable in parts of full",
        "1/256 + 1/25 = 0.0439",
        found[1] / found[0],
        found[1] * 6400 == found[0] * 281,
        SIFRE,
    )


def draw():
    """Draw multiplications over the number of filters, full and separable."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    filters = [2**power for power in range(11)]
    for layer, name in ((Conv2D, "full"), (SeparableConv2D, "depthwise separable")):
        axes.loglog(filters, [layer(n, 5).multiply_adds(IMAGE) for n in filters], "o-", label=name)
    axes.set(xlabel="5x5 filters on an image of 12x12x3", ylabel="multiplications")
    axes.legend(frameon=False)
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("What convolution layers cost: weights and multiplications")
    check_params(lecture)
    check_image_size(lecture)
    check_multiplications(lecture)
    lecture.picture(draw(), "multiplications")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
