r"""Filters that are a column times a row: Sobel's, and what it saves to know it.

A kernel is separable if K[u, v] = a[u] b[v]. Then

    y[i, j] = sum_u a[u] ( sum_v b[v] x[i + u, j + v] )

is a filter by rows and then one by columns: 2 k products for each pixel in place of k^2. Sobel's filter for vertical
edges smooths along the edge and differentiates across it (I. Sobel, G. Feldman, "A 3x3 Isotropic Gradient Operator for
Image Processing", 1968):

    [-1 0 1]   [1]
    [-2 0 2] = [2] [-1 0 1]
    [-1 0 1]   [1]

A kernel is separable exactly if its matrix has rank one. Every other is a sum of as many separable ones as its rank,
which the singular value decomposition finds: K = sum_r s_r u_r v_r^T. The Laplacian [0 1 0; 1 -4 1; 0 1 0] has rank 2.

The time that it saves is printed, not checked: it depends on the machine.

Run it with ``python examples/separable_filters.py``. It exits with 1 if a figure does not hold.
"""

import sys
import time

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import fastconv.functional as F
from fastconv.image import KERNELS, filter2d
from fastconv.layers import SpatiallySeparableConv2D

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOURCE = "Sobel, Feldman 1968"
RANK = "singular value decomposition"

# Sums of at most 31 x 31 products of numbers up to 1 in float64.
ROUNDING = 1e-12


def check_sobel(lecture, image):
    """Split Sobel's kernel and filter an image with the parts; return both edge images."""
    product = np.outer([1, 2, 1], [-1, 0, 1])
    holds = np.array_equal(product, SOBEL)
    lecture.check("[1 2 1]^T [-1 0 1]", str(SOBEL.tolist()), str(product.tolist()), holds, SOURCE)
    layer = SpatiallySeparableConv2D.from_kernel(SOBEL)
    column, row = (layer.params[f"{name}_kernel"].ravel().astype(int).tolist() for name in ("column", "row"))
    holds = (column, row) == ([1, 2, 1], [-1, 0, 1])
    lecture.check(
        "SpatiallySeparableConv2D.from_kernel splits it",
        "[1, 2, 1] and [-1, 0, 1]",
        f"{column} and {row}",
        holds,
        SOURCE,
    )
    # KERNELS has them positive where the left, and the top, is brighter.
    x, y = filter2d(image, -KERNELS["sobel_x"]), filter2d(image, -KERNELS["sobel_y"])
    steps = filter2d(filter2d(image, np.array([[-1, 0, 1]])), np.array([[1], [2], [1]]))
    error = np.abs(steps - x).max()
    lecture.check(
        "row, then column, and all at once", f"difference at most {ROUNDING:.0e}", error, error <= ROUNDING, SOURCE
    )
    return x, y


def check_costs(lecture):
    """Compare the results of both for Gaussians, and count the products."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 64, 64))
    worst = 0.0
    for size in (3, 7, 15, 31):
        row = gaussian(size)
        both = F.conv2d(F.conv2d(image, row[None, None, None]), row[None, None, :, None])
        worst = max(worst, np.abs(both - F.conv2d(image, np.outer(row, row)[None, None])).max())
    wanted = f"difference at most {ROUNDING:.0e}"
    lecture.check("Gaussians of 3x3 to 31x31, separable and full", wanted, worst, worst <= ROUNDING, "a[u] b[v]")
    layer = SpatiallySeparableConv2D(1, 31, padding="same", use_bias=False)
    products = layer.multiply_adds((None, 64, 64, 1)) / 64**2
    lecture.check("products for each pixel, 31x31", "62, not 961", products, products == 62, "2 k, not k^2")


def gaussian(size):
    """Return a row of a Gaussian that sums to 1."""
    row = np.exp(-0.5 * np.linspace(-2.5, 2.5, size) ** 2)
    return row / row.sum()


def check_ranks(lecture, image):
    """Write each of the library's kernels as a sum of as many separable ones as its rank."""
    ranks = {name: int(np.linalg.matrix_rank(kernel)) for name, kernel in KERNELS.items()}
    print(f"  ranks: {ranks}")
    for name, wanted in {"gaussian_blur": 1, "sobel_x": 1, "edge_detect": 2, "sharpen": 2}.items():
        lecture.check(f"rank of {name}", str(wanted), ranks[name], ranks[name] == wanted, RANK)
    worst = 0.0
    for name, kernel in KERNELS.items():
        u, s, vt = np.linalg.svd(kernel)
        parts = [filter2d(filter2d(image, s[r] * vt[r : r + 1]), u[:, r : r + 1]) for r in range(ranks[name])]
        worst = max(worst, np.abs(sum(parts) - filter2d(image, kernel)).max())
    wanted = f"difference at most {ROUNDING:.0e}"
    lecture.check(f"{len(KERNELS)} kernels as sums of separable ones", wanted, worst, worst <= ROUNDING, RANK)
    try:
        SpatiallySeparableConv2D.from_kernel(KERNELS["edge_detect"])
        refused = "accepted"
    except ValueError as error:
        refused = str(error).partition(": ")[2]
    holds = "must have rank one" in refused
    lecture.check("from_kernel of the Laplacian", "a ValueError", refused, holds, "SpatiallySeparableConv2D")


def best_time(function, repeats):
    """Return the shortest of several times of a call, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def print_times(small):
    """Time both ways on one image; return sizes and times."""
    side, repeats = (128, 2) if small else (512, 5)
    x = np.random.default_rng(0).random((1, 1, side, side), np.float32)
    rows = []
    for size in (3, 5, 9, 15, 23, 31):
        row = gaussian(size).astype(np.float32)
        across, down, full = row[None, None, None], row[None, None, :, None], np.outer(row, row)[None, None]
        rows.append(
            (
                size,
                best_time(lambda full=full: F.conv2d(x, full), repeats),
                best_time(lambda across=across, down=down: F.conv2d(F.conv2d(x, across), down), repeats),
            )
        )
        print(f"  {size}x{size} on {side}x{side} pixels: full {rows[-1][1]:.2f} ms, separable {rows[-1][2]:.2f} ms")
    return np.array(rows)


def draw(image, edges, times):
    """Draw the edges and the times."""
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    x, y = edges
    panels = {"image": image, "across: $G_x$": x, "down: $G_y$": y, "$(G_x^2 + G_y^2)^{1/2}$": np.hypot(x, y)}
    *pictures, axes = figure.subplots(1, 5)
    for panel, (title, values) in zip(pictures, panels.items(), strict=True):
        panel.imshow(values, cmap="gray")
        panel.set(title=title, xticks=[], yticks=[])
    for column, name in ((1, "full"), (2, "separable")):
        axes.loglog(times[:, 0], times[:, column], "o-", label=name)
    axes.set(xlabel="k", ylabel="ms", title="k x k Gaussian", xticks=[3, 9, 31], xticklabels=["3", "9", "31"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Separable filters: Sobel's, and any other of rank one")
    image = load_sample_image("china.jpg").mean(axis=2)[:400, 100:500] / 255
    edges = check_sobel(lecture, image)
    check_costs(lecture)
    check_ranks(lecture, image)
    lecture.picture(draw(image, edges, print_times(lecture.small)), "sobel")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
