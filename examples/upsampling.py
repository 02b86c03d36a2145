r"""Four ways to make a map larger, on one image, and the checkerboard that one of them leaves.

For a factor of 2, with x of h x w:

    duplication             y[2 i + a, 2 j + b] = x[i, j]                            a, b in {0, 1}
    max unpooling           y = x at the places where max pooling found the maxima, 0 elsewhere
                            (M. Zeiler, R. Fergus, arXiv:1311.2901, section 2.1)
    bilinear                between the four nearest pixels, pixels being squares of size 1
    transposed convolution  y = M^T x, where M is the matrix of a convolution of stride 2: each pixel adds a copy of the
                            kernel to the output (V. Dumoulin, F. Visin, arXiv:1603.07285, chapter 4)

Three of them are linear maps that do not change with the place, and the transposed convolution can be any such: with a
2x2 kernel of ones it is duplication; with the 4x4 kernel [1 3 3 1]^T [1 3 3 1] / 16 it is the bilinear one, but at the
border. And max pooling undoes max unpooling.

**The checkerboard.** Where the stride does not divide the kernel size, copies of the kernel overlap unevenly (A. Odena,
V. Dumoulin, C. Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016). A 3x3 kernel and a stride of 2: of two
neighbouring outputs along an axis one gets two copies, the other one, so that from a constant image a kernel of ones
makes 1, 2, 2, 4 in turns. A 4x4 kernel has no such pattern, nor has duplication followed by a 3x3 convolution.

Run it with ``python examples/upsampling.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F

DUMOULIN = "Dumoulin & Visin, arXiv:1603.07285, chapter 4"
ODENA = "Odena et al., Distill, 2016"
ZEILER = "Zeiler & Fergus, arXiv:1311.2901, section 2.1"

ONES = np.ones((1, 1, 2, 2))
TENT = np.outer([1, 3, 3, 1], [1, 3, 3, 1])[np.newaxis, np.newaxis] / 16
THREE = np.ones((1, 1, 3, 3))

# Sums of 16 products in float64.
ROUNDING = 1e-14


def largest(difference):
    """Return the largest magnitude."""
    return float(np.abs(difference).max())


def check_identities(lecture, x):
    """Compare the four ways with one another; return their results by name."""
    small, places = F.max_pool2d(x, 2, return_indices=True)
    results = {
        "image": x,
        "pooled": small,
        "duplication": F.interpolate(small, scale_factor=2),
        "max unpooling": F.max_unpool2d(small, places, 2),
        "bilinear": F.interpolate(small, scale_factor=2, mode="bilinear"),
        "transposed, 3x3 of ones": F.conv_transpose2d(small, THREE, stride=2, padding=1, output_padding=1),
    }
    wanted = f"difference at most {ROUNDING:.0e}"
    pixels = np.indices(x.shape[2:]) // 2
    found = largest(results["duplication"] - small[..., pixels[0], pixels[1]])
    lecture.check("duplication by its formula", wanted, found, found <= ROUNDING)
    found = largest(F.conv_transpose2d(small, ONES, stride=2) - results["duplication"])
    lecture.check("transposed convolution by 2x2 ones against duplication", wanted, found, found <= ROUNDING, DUMOULIN)
    inside = np.s_[..., 1:-1, 1:-1]
    found = largest((F.conv_transpose2d(small, TENT, stride=2, padding=1) - results["bilinear"])[inside])
    lecture.check("transposed convolution by tents against bilinear", wanted, found, found <= ROUNDING, DUMOULIN)
    found = largest(F.max_pool2d(results["max unpooling"], 2) - small)
    lecture.check("max pooling of max unpooling against x", "difference 0", found, found == 0, ZEILER)
    kept = results["max unpooling"][results["max unpooling"] != 0]
    holds = len(kept) == np.count_nonzero(small) and np.isin(kept, x).all()
    lecture.check("max unpooling: pixels kept", f"{np.count_nonzero(small)} of the image's", len(kept), holds, ZEILER)
    matrix = fc.toeplitz.toeplitz_matrix(THREE, (1, 5, 5), stride=2)
    four = x[0, 0, :2, :2]
    found = largest(matrix.T @ four.ravel() - F.conv_transpose2d(four[None, None], THREE, stride=2).ravel())
    lecture.check("transposed convolution against M^T x", wanted, found, found <= ROUNDING, DUMOULIN)
    return results


def check_checkerboard(lecture):
    """Enlarge a constant image in three ways; return the results by name."""
    flat = np.ones((1, 1, 6, 6))
    uneven = F.conv_transpose2d(flat, THREE, stride=2)
    even = F.conv_transpose2d(flat, np.ones((1, 1, 4, 4)), stride=2)
    resized = F.conv2d(F.interpolate(flat, scale_factor=2), THREE, padding=1)
    # What is further from the border than the kernel is wide.
    middle = np.s_[0, 0, 3:-3, 3:-3]
    block = uneven[0, 0, 3:5, 3:5]
    text = ", ".join(f"{value:g}" for value in block.ravel())
    tiled = np.tile(block, (4, 4))[: uneven[middle].shape[0], : uneven[middle].shape[1]]
    holds = sorted(block.ravel()) == [1, 2, 2, 4] and (uneven[middle] == tiled).all()
    lecture.check("3x3 of ones, stride 2, on a constant image", "1, 2, 2, 4 in turns", text, holds, ODENA)
    for name, y in (("4x4, stride 2", even), ("duplication, then 3x3", resized)):
        levels = len(np.unique(y[middle]))
        lecture.check(f"different values after {name}", "1", levels, levels == 1, ODENA)
    return {"3x3, stride 2": uneven, "4x4, stride 2": even, "duplication, then 3x3": resized}


def draw(pictures):
    """Draw pictures side by side."""
    figure = Figure(figsize=(2.1 * len(pictures), 2.5), layout="constrained")
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(picture[0, 0], cmap="gray", vmin=0)
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    return figure


def main() -> int:
    """Check the identities on one image, and the checkerboard; draw both."""
    lecture = Lecture("Duplication, max unpooling, bilinear interpolation, transposed convolution")
    _, (x, _) = images(fc.datasets.load_fashion_mnist, lecture.small)
    image = x[0].transpose(2, 0, 1)[np.newaxis].astype(np.float64)
    lecture.picture(draw(check_identities(lecture, image)), "kinds")
    lecture.picture(draw(check_checkerboard(lecture)), "checkerboard")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
