r"""Receptive fields: which inputs an output of a stack of layers sees.

An output of a layer with K taps, dilation d and stride s sees d (K - 1) + 1 values of the layer below. If those lie
j inputs apart (the jump) and see r inputs each, it sees

    r' = r + d (K - 1) j,   j' = j s

inputs, and its left end moves by p j for p values of padding. r = j = 1 at the input. Hence, for n layers of K x K with
stride 1, r = 1 + n (K - 1): two layers of 3x3 see 5x5, and three see 7x7, with 27 C^2 weights in place of 49 C^2
(K. Simonyan, A. Zisserman, arXiv:1409.1556, section 2.3). Each doubling of the dilation doubles the jump without a
stride: 3x3 layers dilated by 1, 2, 4 see 15x15 (F. Yu, V. Koltun, arXiv:1511.07122, section 2). Of strided layers and
pooling, see V. Dumoulin, F. Visin, arXiv:1603.07285, and A. Araujo, W. Norris, J. Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill, 2019.

`model.receptive_field()` computes that. Here it is measured, in two ways that know nothing of the formula:

- forward: change one pixel of the input after the other, and see whether the output changes;
- backward: see where the gradient of the output is not zero.

The weights are positive, so that no two paths cancel. Within its field an output does not see all pixels alike: more
paths lead through the middle. For layers of random weights the gradient falls off like a bell (W. Luo, Y. Li,
R. Urtasun, R. Zemel, arXiv:1701.04128). The picture shows it.

Run it with ``python examples/receptive_fields.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import fastconv as fc
from fastconv.layers import AveragePooling2D, Conv2D, DepthwiseConv2D, MaxPooling2D

SIDE = 32


def conv(kernel, **options):
    """Return a convolution that changes no sign and loses no path."""
    return Conv2D(2, kernel, kernel_initializer=fc.initializers.RandomUniform(0.1, 1.0, seed=1), **options)


# What the lecture gives for each stack: size along one axis, and jump.
STACKS = {
    "1 x 3x3": (lambda: [conv(3)], (3, 1), "arXiv:1409.1556, section 2.3"),
    "2 x 3x3": (lambda: [conv(3), conv(3)], (5, 1), "arXiv:1409.1556, section 2.3"),
    "3 x 3x3": (lambda: [conv(3), conv(3), conv(3)], (7, 1), "arXiv:1409.1556, section 2.3"),
    "3 x 3x3, padded": (lambda: [conv(3, padding="same") for _ in range(3)], (7, 1), "arXiv:1409.1556, section 2.3"),
    "3x3 dilated by 1, 2, 4": (lambda: [conv(3, dilation_rate=d) for d in (1, 2, 4)], (15, 1), "arXiv:1511.07122"),
    "3x3, pool 2, 3x3, pool 2": (
        lambda: [conv(3), MaxPooling2D(2), conv(3), MaxPooling2D(2)],
        (10, 4),
        "arXiv:1603.07285",
    ),
    "5x5, pool 2, 5x5, pool 2 (LeNet-5)": (
        lambda: [conv(5), AveragePooling2D(2), conv(5), AveragePooling2D(2)],
        (16, 4),
        "LeCun et al. 1998",
    ),
    "3x3 by steps of 2, three times": (
        lambda: [conv(3, strides=2, padding="same") for _ in range(3)],
        (15, 8),
        "arXiv:1603.07285",
    ),
    "overlapping pools, depthwise": (
        lambda: [
            MaxPooling2D(3, strides=2),
            DepthwiseConv2D(3, depthwise_initializer="ones"),
            MaxPooling2D(3, strides=2),
        ],
        (11, 4),
        "arXiv:1603.07285",
    ),
}


def span(changed):
    """Return the first row of a mask that has any, and the number from there to the last."""
    rows = np.flatnonzero(changed.any(axis=1))
    return int(rows[0]), int(rows[-1] - rows[0] + 1)


def seen_forward(model, place):
    """Return which pixels change the output at `place`, each changed by itself.

    The change is larger than any other pixel, for else a maximum may pass it over.
    """
    base = np.random.default_rng(3).uniform(0.1, 1, (SIDE, SIDE, 1))
    images = np.repeat(base[None], SIDE * SIDE, axis=0)
    pixels = np.arange(SIDE * SIDE)
    images.reshape(SIDE * SIDE, -1)[pixels, pixels] += 10
    outputs = model.predict(images, batch_size=256)[(slice(None), *place)]
    unchanged = model.predict(base[None])[(0, *place)]
    return (outputs != unchanged).any(axis=1).reshape(SIDE, SIDE)


def seen_backward(model, place):
    """Return which pixels the gradient of the output at `place` reaches.

    A maximum passes the gradient to one pixel alone, so that of several images each adds what it has.
    """
    images = np.random.default_rng(3).uniform(0.1, 1, (500, SIDE, SIDE, 1))
    grad = np.zeros_like(model.forward(images, training=True))
    grad[(slice(None), *place)] = 1
    return (model.backward(grad) != 0).any(axis=(0, 3))


def check_stack(lecture, name, layers, wanted, source):
    """Compare formula and measurements for one stack, in the middle of its output."""
    model = fc.Sequential(layers)
    model.build((None, SIDE, SIDE, 1))
    *_, field = model.receptive_field().values()
    size, stride, start = (numbers[0] for numbers in field)
    wanted_text = f"{wanted[0]}x{wanted[0]}, jump {wanted[1]}"
    lecture.check(name, wanted_text, f"{size}x{size}, jump {stride}", (size, stride) == wanted, source)
    rows = model.output_shape[1]
    place = (rows // 2, rows // 2)
    first = start + place[0] * stride
    expected = np.zeros((SIDE, SIDE), bool)
    # Slices end with the image; what lies before it is padding.
    expected[max(first, 0) : first + size, max(first, 0) : first + size] = True
    for way, seen in (("forward", seen_forward(model, place)), ("backward", seen_backward(model, place))):
        row, count = span(seen)
        text = f"{seen.sum()} pixels, rows {row} to {row + count - 1}"
        row, count = span(expected)
        lecture.check(
            f"{name}, measured {way}",
            f"{expected.sum()} pixels, rows {row} to {row + count - 1}",
            text,
            np.array_equal(seen, expected),
            "measured",
        )


def weights_of(layers):
    """Return the number of weights of some layers, without biases, at 64 channels everywhere."""
    model = fc.Sequential(layers)
    model.build((None, SIDE, SIDE, 64))
    return model.count_params()


def check_weights(lecture):
    """Three layers of 3x3 against one of 7x7."""
    three = weights_of([Conv2D(64, 3, use_bias=False) for _ in range(3)])
    one = weights_of([Conv2D(64, 7, use_bias=False)])
    source = "arXiv:1409.1556, section 2.3"
    lecture.check("three 3x3, 64 channels", f"27 x 64^2 = {27 * 64**2:,}", f"{three:,}", three == 27 * 64**2, source)
    lecture.check("one 7x7, 64 channels", f"49 x 64^2 = {49 * 64**2:,}", f"{one:,}", one == 49 * 64**2, source)


def draw():
    """Draw how strongly pixels act on the middle output: the gradient's size, for random weights, over 50 networks."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    depths = (1, 2, 4, 7)
    for axes, depth in zip(figure.subplots(1, len(depths)), depths, strict=True):
        total = np.zeros((SIDE, SIDE))
        for seed in range(50):
            model = fc.Sequential(
                [
                    Conv2D(8, 3, padding="same", kernel_initializer=fc.initializers.GlorotUniform(100 * seed + number))
                    for number in range(depth)
                ]
            )
            grad = np.zeros_like(model.forward(np.zeros((1, SIDE, SIDE, 1)), training=True))
            grad[0, SIDE // 2, SIDE // 2, 0] = 1
            total += np.abs(model.backward(grad)[0, :, :, 0])
        size = 1 + 2 * depth
        axes.imshow(np.sqrt(total), cmap="magma")
        corner = SIDE // 2 - depth - 0.5
        axes.add_patch(Rectangle((corner, corner), size, size, fill=False, edgecolor="w", linewidth=0.8))
        axes.set(title=f"{depth} x 3x3: {size}x{size}", xticks=[], yticks=[])
    return figure


def main() -> int:
    """Check the stacks and draw fields."""
    lecture = Lecture("Receptive fields, by formula and measured")
    for name, (layers, wanted, source) in STACKS.items():
        check_stack(lecture, name, layers(), wanted, source)
    check_weights(lecture)
    lecture.picture(draw(), "gradients")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
