"""All rows of the comparison: the layers of `layers` in every pass, and what is no convolution or more than one."""

from collections.abc import Sequence
from dataclasses import replace

from entry import AnyCase
from layers import LAYERS
from networks import NETWORKS
from pools import Pool
from rectified import Relu
from tasks import Task
from transposed import Transposed

from fastconv.bench import DIRECTIONS, Case

TRANSPOSED = (
    Transposed((1, 4, 4, 512), 256, 4, stride=2, padding=1),
    Transposed((1, 56, 56, 64), 32, 2, stride=2),
)

FEATURE_MAPS = ((32, 56, 56, 64), (64, 28, 28, 32), (1, 112, 112, 64))

POOLS = [
    pool
    for shape in FEATURE_MAPS
    for pool in (
        Pool("max", shape, 2, 2),
        Pool("max", shape, 3, 2, padding=1),
        Pool("average", shape, 2, 2),
        Pool("average", shape),
    )
]

RELUS = [Relu(shape) for shape in FEATURE_MAPS]

TASKS = [
    *(Task(network, "training") for network in NETWORKS),
    *(Task(network, direction) for direction in ("evaluation", "latency") for network in NETWORKS[:4]),
]

PASSES = {Case: DIRECTIONS, Transposed: DIRECTIONS, Pool: ("forward", "input"), Relu: ("forward", "input")}


def in_every_pass(cases: Sequence[AnyCase]) -> list[AnyCase]:
    """Return the cases of one kind in each pass that they have, pass by pass."""
    return [replace(case, direction=direction) for direction in PASSES[type(cases[0])] for case in cases]


GROUPS: dict[str, list[AnyCase]] = {
    **{group: in_every_pass(cases) for group, cases in LAYERS.items()},
    "transposed": in_every_pass(TRANSPOSED),
    "pooling": in_every_pass(POOLS),
    "relu": in_every_pass(RELUS),
    "networks": list(TASKS),
}
