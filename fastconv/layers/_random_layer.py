"""What layers that draw random numbers share: their seeds."""

from fastconv._random import check_seed, fresh_seed, generator
from fastconv.layers.base import Layer


class RandomLayer(Layer):
    """A layer that draws random numbers in training. Its constructor calls `_start`."""

    seed: int | None

    def _start(self, seed: int | None) -> None:
        """Take the seed of the constructor; without one the layer draws its own."""
        self.seed = None if seed is None else check_seed(type(self).__name__, seed)
        self._random = generator(fresh_seed() if self.seed is None else self.seed)

    def reseed(self, *entropy: int) -> None:
        if self.seed is not None:
            entropy = (self.seed, *entropy[1:])
        self._random = generator(*entropy)
