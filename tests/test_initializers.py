"""Initial weights: formulas, seeds, names."""

import numpy as np
import pytest

from fastconv import initializers, utils
from fastconv.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    RandomNormal,
    RandomUniform,
    Zeros,
)

# fan_in = 9 * 16 = 144, fan_out = 9 * 32 = 288.
SHAPE = (3, 3, 16, 32)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (GlorotUniform(1), 2 / 432),
        (GlorotNormal(1), 2 / 432),
        (HeUniform(1), 2 / 144),
        (HeNormal(1), 2 / 144),
        (LecunUniform(1), 1 / 144),
        (LecunNormal(1), 1 / 144),
        (RandomNormal(stddev=0.3, seed=1), 0.09),
        (RandomUniform(-0.3, 0.3, seed=1), 0.03),
    ],
    ids=repr,
)
def test_mean_and_variance_are_those_of_the_formula(initializer: Initializer, variance: float) -> None:
    values = initializer(SHAPE, "float64")
    assert values.var() == pytest.approx(variance, rel=0.05)
    assert abs(values.mean()) < 5 * (variance / values.size) ** 0.5


def test_uniform_ones_stay_within_their_limit() -> None:
    limit = (6 / 432) ** 0.5
    values = GlorotUniform(1)(SHAPE, "float64")
    assert limit * 0.99 < np.abs(values).max() <= limit


def test_normal_ones_are_cut_at_two_standard_deviations() -> None:
    bound = 2 * (2 / 144) ** 0.5 / 0.87962566103423978
    values = HeNormal(1)(SHAPE, "float64")
    assert bound * 0.95 < np.abs(values).max() <= bound


def test_constants() -> None:
    np.testing.assert_array_equal(Constant(0.5)((2, 3)), np.full((2, 3), 0.5))
    np.testing.assert_array_equal(Zeros()((2,)), [0, 0])
    np.testing.assert_array_equal(Ones()((2,)), [1, 1])


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    np.testing.assert_array_equal(HeNormal(3)(SHAPE), HeNormal(3)(SHAPE))
    unseeded = HeNormal()
    assert not np.array_equal(unseeded(SHAPE), unseeded(SHAPE))


def test_a_seed_of_its_own_does_not_depend_on_the_global_one() -> None:
    utils.set_random_seed(1)
    first = HeNormal(3)(SHAPE)
    utils.set_random_seed(2)
    np.testing.assert_array_equal(HeNormal(3)(SHAPE), first)


@pytest.mark.parametrize("name", ["zeros", "ones", "constant", "random_normal", "random_uniform", "glorot_normal"])
def test_every_name_gives_float32_by_default(name: str) -> None:
    assert initializers.get(name)((4, 5)).dtype == np.float32


def test_forms_of_identifiers() -> None:
    for identifier in ("he_normal", HeNormal, HeNormal(), {"class_name": "HeNormal", "config": {"seed": 4}}):
        assert isinstance(initializers.get(identifier), HeNormal)
    with pytest.raises(ValueError, match=r"must have a class_name among .*, got 'Evil'"):
        initializers.get({"class_name": "Evil"})
    with pytest.raises(TypeError, match=r"must be one of .* got 3"):
        initializers.get(3)


def test_bad_seeds_are_refused() -> None:
    with pytest.raises(TypeError, match=r"HeNormal: seed must be an integer, got 1\.5"):
        HeNormal(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set_random_seed: seed must not be negative, got -1"):
        utils.set_random_seed(-1)
