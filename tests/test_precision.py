"""The choice between speed and accuracy."""

import threading

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv as fc
import fastconv.functional as F
from fastconv import _core


@pytest.fixture(autouse=True)
def restore():
    before = _core.get_strict()
    yield
    _core.set_strict(before)


def arrays(dtype, rng):
    shapes = (2, 64, 28, 28), (64, 64, 3, 3), (2, 64, 28, 28)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_fast_is_the_default():
    assert fc.get_precision() == "fast"


def test_plain_call_stays():
    fc.set_precision("strict")
    assert fc.get_precision() == "strict"
    fc.set_precision("fast")
    assert fc.get_precision() == "fast"


@pytest.mark.parametrize("before", ["fast", "strict"])
def test_with_restores_even_after_an_error(before):
    fc.set_precision(before)
    scope = fc.set_precision("strict")
    with pytest.raises(ZeroDivisionError), scope:
        _ = 1 // 0
    assert fc.get_precision() == before


def test_strict_makes_auto_direct_in_every_pass(rng):
    x, w, gy = arrays(np.float32, rng)
    with fc.set_precision("strict"):
        y, gradients = F.conv2d(x, w, padding=1), F.conv2d_backward(gy, x, w, padding=1)
    assert_same_bits(y, F.conv2d(x, w, padding=1, algorithm="direct"))
    for one, other in zip(gradients[:2], F.conv2d_backward(gy, x, w, padding=1, algorithm="direct")[:2], strict=True):
        assert_same_bits(one, other)


def test_fast_takes_winograd_in_float32(rng):
    x, w, _ = arrays(np.float32, rng)
    assert_same_bits(F.conv2d(x, w, padding=1), F.conv2d(x, w, padding=1, algorithm="winograd"))


@pytest.mark.parametrize("direction", ["forward", "input", "weight"])
@pytest.mark.parametrize(
    ("data_format", "x", "w"),
    [
        ("channels_first", (2, 64, 28, 28), (64, 64, 3, 3)),
        ("channels_last", (2, 28, 28, 64), (3, 3, 64, 64)),
    ],
)
def test_float64_is_never_winograd_unless_asked_for(direction, data_format, x, w):
    given = {"padding": 1, "data_format": data_format, "direction": direction}
    assert not fc.explain(x, w, **given, dtype=np.float64).chosen.startswith("winograd")
    assert fc.explain(x, w, **given, dtype=np.float32).chosen.startswith("winograd")


def test_float64_has_the_accuracy_of_direct(rng):
    x, w, gy = arrays(np.float64, rng)
    results, expected = (
        (F.conv2d(x, w, padding=1, algorithm=name), *F.conv2d_backward(gy, x, w, padding=1, algorithm=name)[:2])
        for name in ("auto", "direct")
    )
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    assert F.conv2d(x, w, padding=1, algorithm="winograd").tobytes() != results[0].tobytes()


def test_strict_does_not_stop_who_asks_for_winograd(rng):
    x, w, _ = arrays(np.float32, rng)
    fast = F.conv2d(x, w, padding=1, algorithm="winograd_4x4")
    with fc.set_precision("strict"):
        assert_same_bits(F.conv2d(x, w, padding=1, algorithm="winograd_4x4"), fast)


def test_precision_is_that_of_the_process():
    seen = []
    with fc.set_precision("strict"):
        thread = threading.Thread(target=lambda: seen.append(fc.get_precision()))
        thread.start()
        thread.join()
    assert seen == ["strict"]


@pytest.mark.parametrize("precision", ["exact", "", None, 1])
def test_another_word_is_refused(precision):
    with pytest.raises(ValueError, match=r"^set_precision: precision must be 'fast' or 'strict', got"):
        fc.set_precision(precision)
    assert fc.get_precision() == "fast"


def test_configuration_shows_it(capsys):
    with fc.set_precision("strict"):
        fc.show_config()
    assert "precision        strict\n" in capsys.readouterr().out
