"""Large inputs in parts whose activations stay in cache."""

import math
from collections.abc import Iterator, Sequence

from fastconv._config import get_num_threads
from fastconv.executor import Program

# Of each thread's share of the cache, what the input and the output of a layer may fill together.
BYTES_PER_THREAD = 2**20


def micro_batch_size(program: Program, inputs: Sequence[tuple[int, ...]]) -> int:
    """Return how many samples to run at once: those whose input and output of any one layer stay in cache.

    Parameters
    ----------
    program : Program
    inputs : sequence of tuple of int
        Shapes of all inputs.
    """
    sizes = [math.prod(size or 1 for size in shape[1:]) for shape in program.shapes(inputs)]
    largest = max(
        (
            (sizes[step.output] + sum(sizes[slot] for slot in step.inputs)) * step.layer.dtype.itemsize
            for step in program.steps
        ),
        default=1,
    )
    return max(1, get_num_threads() * BYTES_PER_THREAD // max(largest, 1))


def parts(samples: int, size: int) -> Iterator[slice]:
    """Yield the parts of `size` samples; the last may have fewer."""
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))
