"""The layers of the comparison with other libraries, as data: a new row is a new line here."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fastconv.bench import Case

BATCHES = (1, 16)

RESNET50 = (
    Case((1, 224, 224, 3), 64, 7, stride=2, padding=3),
    Case((1, 56, 56, 64), 64, 1),
    Case((1, 56, 56, 64), 64, 3),
    Case((1, 56, 56, 64), 256, 1),
    Case((1, 56, 56, 256), 64, 1),
    Case((1, 56, 56, 256), 128, 1, stride=2, padding=0),
    Case((1, 56, 56, 128), 128, 3, stride=2, padding=1),
    Case((1, 28, 28, 128), 128, 3),
    Case((1, 28, 28, 512), 128, 1),
    Case((1, 28, 28, 128), 512, 1),
    Case((1, 14, 14, 256), 256, 3),
    Case((1, 14, 14, 1024), 256, 1),
    Case((1, 14, 14, 256), 1024, 1),
    Case((1, 7, 7, 512), 512, 3),
    Case((1, 7, 7, 2048), 512, 1),
    Case((1, 7, 7, 512), 2048, 1),
)

VGG16 = (
    Case((1, 224, 224, 3), 64, 3),
    Case((1, 224, 224, 64), 64, 3),
    Case((1, 112, 112, 64), 128, 3),
    Case((1, 28, 28, 256), 512, 3),
    Case((1, 14, 14, 512), 512, 3),
)

ALEXNET = (
    Case((1, 227, 227, 3), 96, 11, stride=4, padding=0),
    Case((1, 27, 27, 96), 256, 5, groups=2),
    Case((1, 13, 13, 256), 384, 3),
)

MOBILENET = (
    Case((1, 112, 112, 32), 32, 3, groups=32),
    Case((1, 112, 112, 64), 64, 3, stride=2, padding=1, groups=64),
    Case((1, 56, 56, 128), 128, 3, groups=128),
    Case((1, 28, 28, 256), 256, 3, stride=2, padding=1, groups=256),
    Case((1, 14, 14, 512), 512, 3, groups=512),
    Case((1, 7, 7, 1024), 1024, 3, groups=1024),
    Case((1, 28, 28, 120), 120, 5, groups=120),
    Case((1, 112, 112, 32), 64, 1),
    Case((1, 14, 14, 512), 512, 1),
    Case((1, 7, 7, 1024), 1024, 1),
)

RESNEXT = (Case((1, 56, 56, 128), 128, 3, groups=32),)

THIN = (
    Case((256, 28, 28, 1), 8, 7, stride=2, padding=3),
    Case((256, 11, 11, 8), 16, 5, stride=2, padding=0),
    Case((256, 4, 4, 16), 32, 3, padding=0),
    Case((64, 28, 28, 1), 32, 3),
    Case((64, 14, 14, 32), 64, 3),
    Case((64, 32, 32, 1), 6, 5, padding=0),
    Case((64, 14, 14, 6), 16, 5, padding=0),
    Case((32, 32, 32, 3), 64, 3),
)

UNUSUAL = (
    Case((1, 28, 28, 512), 512, 3, dilation=2),
    Case((1, 28, 28, 512), 512, 3, dilation=4),
    Case((1, 17, 17, 192), 192, (1, 7)),
    Case((1, 17, 17, 192), 192, (7, 1)),
    Case((1, 56, 56, 24), 144, 1),
    Case((1, 28, 28, 40), 240, 1),
    Case((1, 56, 56, 24), 24, 3),
)


def at_batches(cases: Sequence[Case], batches: Sequence[int] = BATCHES) -> list[Case]:
    """Return the cases at each batch size."""
    return [replace(case, shape=(n, *case.shape[1:])) for n in batches for case in cases]


def in_float64(cases: Iterable[Case]) -> list[Case]:
    """Return the cases in float64."""
    return [replace(case, dtype="float64") for case in cases]


# Layers by the table they stand in.
LAYERS: dict[str, list[Case]] = {
    "resnet50": at_batches(RESNET50),
    "vgg16": at_batches(VGG16),
    "alexnet": at_batches(ALEXNET),
    "mobilenet": at_batches(MOBILENET),
    "resnext": at_batches(RESNEXT),
    "thin": list(THIN),
    "unusual": list(UNUSUAL),
    "float64": in_float64([*at_batches([case for case in RESNET50 if case.kernel in (1, 3)]), *THIN]),
}
