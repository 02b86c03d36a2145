"""Pictures of training, of what a network has learnt and of benchmarks, as matplotlib figures.

Every function returns a `matplotlib.figure.Figure` that no window system and no global state is attached to: show it in
a notebook, or write it with `save` or the argument `path`. Signed pictures are grey at zero, black where negative,
white where positive.
"""

from fastconv.plot._activations import activating_crops, receptive_field
from fastconv.plot._benchmark import LOOKS, benchmark
from fastconv.plot._drawing import check_installed, save
from fastconv.plot._guesses import guesses
from fastconv.plot._maps import feature_maps
from fastconv.plot._training import confusion_matrix, history
from fastconv.plot._weights import filters

__all__ = [
    "history",
    "confusion_matrix",
    "guesses",
    "filters",
    "feature_maps",
    "activating_crops",
    "receptive_field",
    "benchmark",
    "save",
    "check_installed",
    "LOOKS",
]
