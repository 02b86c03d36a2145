"""Memory of results: kept when an array is dropped, and handed to the next array of about that size."""

import threading

import numpy as np
import pytest

import fastconv as fc
import fastconv.functional as F
from fastconv import _core
from fastconv._memory import empty, empty_like

MIB = 1 << 20
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.fixture(autouse=True)
def nothing_kept():
    fc.release_memory()
    yield
    fc.release_memory()


def address(array):
    return array.__array_interface__["data"][0]


class TestArrays:
    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (7,), (300, 300), (3, 1024, 1024)])
    @pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, np.dtype(np.int64)])
    def test_array_is_as_numpy_makes_it(self, shape, dtype):
        array, expected = empty(shape, dtype), np.empty(shape, dtype)
        assert (array.shape, array.dtype, array.strides) == (shape, dtype, expected.strides)
        assert all((array.flags.c_contiguous, array.flags.writeable, array.flags.aligned))
        array[...] = 5
        assert (array == 5).all()

    def test_empty_like_takes_shape_and_dtype_only(self):
        array = empty_like(np.ones((200, 300)).T)
        assert (array.shape, array.dtype, array.flags.c_contiguous) == ((300, 200), FLOAT64, True)

    def test_large_arrays_begin_with_a_cache_line(self):
        assert [address(empty((MIB + i,), FLOAT32)) % 64 for i in range(3)] == [0, 0, 0]

    @pytest.mark.parametrize("shape", [(1 << 45,), (1 << 40, 1 << 40)])
    def test_more_than_there_is_is_a_memory_error(self, shape):
        with pytest.raises(MemoryError, match="no memory for an array"):
            empty(shape, FLOAT64)

    def test_a_view_keeps_the_memory_alive(self):
        array = empty((1024, 1024), FLOAT32)
        array[...] = 1
        row, _ = array[5], address(array)
        del array
        other = empty((1024, 1024), FLOAT32)
        other[...] = 2
        assert (row == 1).all()

    def test_negative_size_is_refused(self):
        with pytest.raises(ValueError, match="size must not be negative"):
            _core.Block(-1)


class TestReuse:
    def test_dropped_array_serves_the_next_one(self):
        first = empty((MIB,), FLOAT32)
        where = address(first)
        del first
        assert address(empty((MIB - 100,), FLOAT32)) == where

    def test_arrays_in_use_do_not_share_memory(self):
        arrays = [empty((100_000 + i,), FLOAT32) for i in range(20)]
        for i, array in enumerate(arrays):
            array[...] = i
        assert all((array == i).all() for i, array in enumerate(arrays))

    def test_small_request_leaves_a_large_block(self):
        large = empty((4 * MIB,), FLOAT32)
        size = large.nbytes
        del large
        small = empty((2 * MIB,), FLOAT32)
        assert _core.array_bytes() >= size
        del small

    def test_no_more_than_the_limit_is_kept(self):
        arrays = [empty((100 * MIB // 4,), FLOAT32) for _ in range(7)]
        del arrays
        assert 400 * MIB < _core.array_bytes() <= 512 * MIB

    def test_a_block_past_the_limit_is_not_kept_and_drives_none_out(self):
        small = empty((MIB,), FLOAT32)
        del small
        kept = _core.array_bytes()
        del_me = empty((600 * MIB // 4,), FLOAT32)
        del del_me
        assert _core.array_bytes() == kept

    def test_release_gives_everything_back(self):
        x = np.ones((16, 64, 64, 8), np.float32)
        F.conv2d(x, np.ones((3, 3, 8, 8), np.float32), data_format="channels_last")
        assert fc.release_memory() >= 16 * 62 * 62 * 8 * 4
        assert fc.release_memory() == 0

    def test_threads_get_memory_of_their_own(self):
        wrong = []

        def work(number):
            for _ in range(200):
                array = empty((50_000,), FLOAT32)
                array[...] = number
                if not (array == number).all():
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
