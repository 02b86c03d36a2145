"""Data files are read as published, and anything else is refused in words that help."""

import gzip
import io
import os
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fastconv import datasets

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
HAS_REAL_DATA = "FASTCONV_DATA" in os.environ
needs_real_data = pytest.mark.skipif(not HAS_REAL_DATA, reason="FASTCONV_DATA is not set: no real MNIST to read")


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(
    folder: Path, *, train: int = 6, test: int = 4, compress: bool = True, labels: np.ndarray | None = None
):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        classes = rng.integers(0, 10, count, np.uint8) if labels is None else labels
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", classes)):
            content = idx_bytes(array)
            (folder / (name + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
            written[name] = array
    return written


class TestReadIdx:
    @pytest.mark.parametrize("dtype", CODES)
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 1, 3, 2), (0, 5)])
    @pytest.mark.parametrize("compress", [False, True])
    def test_reads_every_type_and_rank(self, tmp_path, dtype, shape, compress):
        array = np.random.default_rng(1).integers(-100, 100, shape).astype(dtype)
        content = idx_bytes(array)
        file = tmp_path / "array"
        file.write_bytes(gzip.compress(content) if compress else content)
        found = datasets.read_idx(file)
        assert found.dtype == array.dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, array)

    def test_result_is_a_writable_copy(self, tmp_path):
        (tmp_path / "a").write_bytes(idx_bytes(np.arange(3, dtype=np.uint8)))
        found = datasets.read_idx(tmp_path / "a")
        found += 1
        assert found.tolist() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "starts with two zero bytes.*got an empty file"),
            (b"\0\0\x08", "got bytes 00 00 08"),
            (b"\x89PNG....", "starts with two zero bytes.*got bytes 89 50 4e 47"),
            (b"\0\0\x0a\x01\0\0\0\x01.", "element type out of 0x08, 0x09.*got 0x0a"),
            (b"\0\0\x08\x03\0\0\0\x02", "16 bytes of header for rank 3, got 8 bytes: truncated"),
            (b"\0\0\x08\x01\0\0\0\x05abc", r"13 bytes for an array of shape \(5,\) and type uint8, got 11: truncated"),
            (b"\0\0\x08\x01\0\0\0\x02abc", "10 bytes.*got 11: trailing bytes"),
            (b"\0\0\x0e\x04" + b"\xff" * 16, r"shape \(4294967295, .*truncated"),
        ],
    )
    def test_damage_is_a_value_error_that_names_the_file(self, tmp_path, content, message):
        for name, written in (("plain", content), ("packed.gz", gzip.compress(content))):
            (tmp_path / name).write_bytes(written)
            with pytest.raises(ValueError, match=f"read_idx: .*{name} must.*{message}"):
                datasets.read_idx(tmp_path / name)

    @pytest.mark.parametrize(
        "damage",
        [lambda raw: raw[:-9], lambda raw: raw[:15], lambda raw: raw[:20] + b"!" * 30],
        ids=["truncated", "header only", "overwritten"],
    )
    def test_damaged_gzip_is_a_value_error(self, tmp_path, damage):
        (tmp_path / "a.gz").write_bytes(damage(gzip.compress(idx_bytes(np.arange(200, dtype=np.int32)))))
        with pytest.raises(ValueError, match=r"a\.gz must be a whole gzip file, got a damaged one"):
            datasets.read_idx(tmp_path / "a.gz")

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            datasets.read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize("load", [datasets.load_mnist, datasets.load_fashion_mnist])
class TestIdxSets:
    @pytest.mark.parametrize("compress", [False, True])
    def test_reads_a_folder(self, tmp_path, load, compress):
        written = write_mnist(tmp_path, compress=compress)
        (x_train, y_train), (x_test, y_test) = load(tmp_path)
        for found, wanted in zip((x_train, y_train, x_test, y_test), written.values(), strict=True):
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, wanted)

    def test_reads_below_fastconv_data(self, tmp_path, load, monkeypatch):
        name = {"load_mnist": "mnist", "load_fashion_mnist": "fashion-mnist"}[load.__name__]
        write_mnist(tmp_path / name, train=3)
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
        assert load()[0][0].shape == (3, 28, 28)

    def test_a_given_path_is_the_only_place(self, tmp_path, load, monkeypatch):
        write_mnist(tmp_path / "data" / "mnist")
        write_mnist(tmp_path / "data" / "fashion-mnist")
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path / "data"))
        with pytest.raises(
            FileNotFoundError, match=f"{load.__name__}: path must be a folder with train-images.*FASTCONV_DATA"
        ):
            load(tmp_path)

    def test_counts_must_match(self, tmp_path, load):
        write_mnist(tmp_path, labels=np.zeros(5, np.uint8))
        with pytest.raises(ValueError, match=r"train-labels.*must hold 6 uint8 labels.*got uint8 of shape \(5,\)"):
            load(tmp_path)

    def test_labels_must_be_classes(self, tmp_path, load):
        write_mnist(tmp_path, train=4, labels=np.array([0, 9, 10, 3], np.uint8))
        with pytest.raises(ValueError, match=r"train-labels.*must hold labels 0 to 9, got 10 at position 2"):
            load(tmp_path)

    def test_images_must_be_images(self, tmp_path, load):
        write_mnist(tmp_path, compress=False)
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((4, 32, 32), np.uint8)))
        with pytest.raises(ValueError, match=r"t10k-images.*shape \(n, 28, 28\), got uint8 of shape \(4, 32, 32\)"):
            load(tmp_path)


class TestDownload:
    def test_files_are_fetched_with_their_checksums(self, tmp_path, monkeypatch):
        import pooch

        monkeypatch.delenv("FASTCONV_DATA", raising=False)
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
        asked = []

        def retrieve(url, known_hash, fname, path):
            asked.append((url, known_hash))
            write_mnist(path)

        monkeypatch.setattr(pooch, "retrieve", retrieve)
        assert datasets.load_fashion_mnist()[0][0].shape == (6, 28, 28)
        assert (tmp_path / "fastconv" / "fashion-mnist").is_dir()
        assert len(asked) == 4
        assert all(url.endswith("ubyte.gz") and known.startswith("md5:") for url, known in asked)

    def test_unreachable_network_says_where_it_looked(self, tmp_path, monkeypatch):
        import pooch

        def retrieve(*arguments, **options):
            raise ConnectionError("no route to host")

        monkeypatch.setattr(pooch, "retrieve", retrieve)
        monkeypatch.delenv("FASTCONV_DATA", raising=False)
        with pytest.raises(FileNotFoundError, match=r"FASTCONV_DATA is not set.*no route to host.*set FASTCONV_DATA"):
            datasets.load_mnist()
        monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError, match=f"looked in {tmp_path}/cifar10 and at https.*no route to host"):
            datasets.load_cifar10()

    def test_missing_pooch_says_what_to_install(self, monkeypatch):
        monkeypatch.delenv("FASTCONV_DATA", raising=False)
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(FileNotFoundError, match=r'pip install "fastconv\[demo\]"'):
            datasets.load_mnist()


class TestDigits:
    def test_split_is_fixed_stratified_and_whole(self):
        (x_train, y_train), (x_test, y_test) = datasets.load_digits()
        assert x_train.dtype == y_train.dtype == np.uint8
        assert (x_train.shape, x_test.shape) == ((1438, 8, 8), (359, 8, 8))
        assert (x_train.min(), x_train.max(), x_test.max()) == (0, 16, 16)
        shares = np.bincount(y_test) / (np.bincount(y_test) + np.bincount(y_train))
        assert np.abs(shares - 0.2).max() < 0.005
        # Pinned, so that an accuracy stated anywhere stays one of the same images.
        assert y_test[:12].tolist() == [3, 7, 3, 9, 0, 8, 7, 0, 8, 0, 3, 3]
        assert int(x_test.sum()) == 111461

    def test_train_and_test_share_no_image(self):
        (x_train, _), (x_test, _) = datasets.load_digits()
        assert len(np.unique(np.concatenate([x_train, x_test]).reshape(-1, 64), axis=0)) == 1797

    def test_reads_a_folder(self, tmp_path):
        rows = np.random.default_rng(0).integers(0, 10, (20, 65))
        rows[:, 64] = np.arange(20) % 10
        np.savetxt(tmp_path / "digits.csv.gz", rows, fmt="%d", delimiter=",")
        (x_train, y_train), (x_test, _) = datasets.load_digits(tmp_path)
        assert len(x_train) + len(x_test) == 20
        np.testing.assert_array_equal(x_train.reshape(-1, 64)[y_train == 3][0], rows[rows[:, 64] == 3][0][:64])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "and no values"),
            ("1,2,x", "gzipped table of numbers"),
            ("1,2,3", r"64 pixels 0 to 16 and a label, whole numbers, got shape \(1, 3\)"),
            ("17," * 64 + "1", "values 1 to 17"),
            ("1," * 64 + "12", "labels 0 to 9, got 12 at position 0"),
            ("1," * 64 + "0.5", "whole numbers"),
        ],
    )
    def test_damage_is_a_value_error(self, tmp_path, content, message):
        (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(content.encode()))
        with pytest.raises(ValueError, match=f"load_digits: .*digits.csv.gz must.*{message}"):
            datasets.load_digits(tmp_path)

    def test_damaged_gzip_is_a_value_error(self, tmp_path):
        (tmp_path / "digits.csv.gz").write_bytes(b"not gzip")
        with pytest.raises(ValueError, match=r"digits\.csv\.gz must be a gzipped table of numbers"):
            datasets.load_digits(tmp_path)

    def test_missing_file_and_missing_package(self, tmp_path, monkeypatch):
        with pytest.raises(FileNotFoundError, match=r"load_digits: path must be a folder with digits\.csv\.gz"):
            datasets.load_digits(tmp_path)
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(ImportError, match=r'pip install "fastconv\[demo\]"'):
            datasets.load_digits()


class TestCifar10:
    @staticmethod
    def contents(records: int = 2) -> dict[str, bytes]:
        rng = np.random.default_rng(2)
        names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
        rows = rng.integers(0, 256, (len(names), records, 3073), np.uint8)
        rows[:, :, 0] %= 10
        return {name: row.tobytes() for name, row in zip(names, rows, strict=True)}

    def write(self, folder: Path, layout: str, contents: dict[str, bytes]) -> None:
        if layout == "archive":
            with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
                for name, content in contents.items():
                    info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            return
        below = folder / "cifar-10-batches-bin" if layout == "folder" else folder
        below.mkdir(exist_ok=True)
        for name, content in contents.items():
            (below / name).write_bytes(content)

    @pytest.mark.parametrize("layout", ["archive", "folder", "flat"])
    def test_reads_every_layout(self, tmp_path, layout):
        contents = self.contents()
        self.write(tmp_path, layout, contents)
        (x_train, y_train), (x_test, y_test) = datasets.load_cifar10(tmp_path)
        assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == (
            (10, 32, 32, 3),
            (10,),
            (2, 32, 32, 3),
            (2,),
        )
        record = contents["data_batch_2.bin"][3073:]
        assert y_train[3] == record[0]
        # The file has the red plane, then the green, then the blue.
        assert x_train[3, 4, 5].tolist() == [record[1 + plane * 1024 + 4 * 32 + 5] for plane in range(3)]

    def test_damage_is_a_value_error(self, tmp_path):
        contents = self.contents()
        contents["data_batch_3.bin"] = contents["data_batch_3.bin"][:-1]
        self.write(tmp_path, "flat", contents)
        with pytest.raises(
            ValueError, match=r"data_batch_3\.bin must hold records of .* = 3073 bytes, got 6145 = 1\*3073 \+ 3072"
        ):
            datasets.load_cifar10(tmp_path)
        contents = self.contents()
        contents["test_batch.bin"] = bytes([11]) + contents["test_batch.bin"][1:]
        self.write(tmp_path, "flat", contents)
        with pytest.raises(ValueError, match=r"test_batch\.bin must hold labels 0 to 9, got 11 at position 0"):
            datasets.load_cifar10(tmp_path)

    def test_damaged_archive_is_a_value_error(self, tmp_path):
        contents = self.contents()
        del contents["test_batch.bin"]
        self.write(tmp_path, "archive", contents)
        with pytest.raises(ValueError, match=r"must be a whole tar archive.*test_batch\.bin"):
            datasets.load_cifar10(tmp_path)
        archive = tmp_path / "cifar-10-binary.tar.gz"
        archive.write_bytes(archive.read_bytes()[:5000])
        with pytest.raises(ValueError, match="must be a whole tar archive"):
            datasets.load_cifar10(tmp_path)

    def test_pickles_are_not_even_looked_at(self, tmp_path):
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": [], b"labels": []}))
        with pytest.raises(
            FileNotFoundError, match=r"load_cifar10: path must be a folder with cifar-10-binary\.tar\.gz"
        ):
            datasets.load_cifar10(tmp_path)


class TestLoadNpz:
    @staticmethod
    def arrays(**changes):
        arrays = {
            "x_train": np.zeros((4, 8, 8), np.uint8),
            "y_train": np.arange(4),
            "x_test": np.ones((2, 8, 8), np.uint8),
            "y_test": np.arange(2),
        }
        return arrays | changes

    def test_returns_the_arrays(self, tmp_path):
        np.savez_compressed(tmp_path / "a.npz", **self.arrays())
        (x_train, y_train), (x_test, y_test) = datasets.load_npz(tmp_path / "a.npz")
        assert (x_train.shape, x_train.dtype, x_test.sum()) == ((4, 8, 8), np.uint8, 128)
        assert (y_train.tolist(), y_test.tolist()) == ([0, 1, 2, 3], [0, 1])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"y_train": np.arange(5)},
                r"one label for each example, got x_train of shape \(4, 8, 8\) and y_train of .*5",
            ),
            ({"x_test": np.ones((2, 9, 8))}, r"x_train and x_test alike .* got shapes \(4, 8, 8\) and \(2, 9, 8\)"),
            ({"y_test": np.float64(1)}, r"one label for each example.*y_test of shape \(\)"),
            ({"x_train": np.array([{}] * 4)}, "allow_pickle"),
        ],
    )
    def test_arrays_must_fit_together(self, tmp_path, changes, message):
        np.savez(tmp_path / "a.npz", **self.arrays(**changes))
        with pytest.raises(ValueError, match=f"load_npz: .*a.npz must hold.*{message}"):
            datasets.load_npz(tmp_path / "a.npz")

    def test_missing_array_is_named(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=np.zeros(1), y_train=np.zeros(1))
        with pytest.raises(ValueError, match="it holds x_train, y_train and lacks x_test, y_test"):
            datasets.load_npz(tmp_path / "a.npz")

    @pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1, 2])])
    def test_another_format_is_refused(self, tmp_path, content):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz must be a whole \.npz file"):
            datasets.load_npz(tmp_path / "a.npz")

    def test_damage_is_a_value_error(self, tmp_path):
        file = tmp_path / "a.npz"
        np.savez(file, **self.arrays())
        content = bytearray(file.read_bytes())
        content[180:220] = b"?" * 40
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"load_npz: .*a\.npz must hold"):
            datasets.load_npz(file)
        file.write_bytes(content[:-30])
        with pytest.raises(ValueError, match=r"whole \.npz file"):
            datasets.load_npz(file)

    @pytest.mark.parametrize(
        ("place", "value"), [("version", 99), ("flags", 1 << 5), ("method", 77), ("offset", 2**31)]
    )
    def test_damage_in_the_directory_is_a_value_error(self, tmp_path, place, value):
        file = tmp_path / "a.npz"
        np.savez(file, **self.arrays())
        content = bytearray(file.read_bytes())
        # Fields of an entry of the zip directory, by their places and sizes in bytes.
        at, size = {"version": (6, 2), "flags": (8, 2), "method": (10, 2), "offset": (42, 4)}[place]
        entry = content.index(b"PK\x01\x02") + at
        content[entry : entry + size] = value.to_bytes(size, "little")
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"load_npz: .*a\.npz must "):
            datasets.load_npz(file)

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"mine\.npz"):
            datasets.load_npz(tmp_path / "mine.npz")


@needs_real_data
@pytest.mark.parametrize(
    ("name", "load", "mean"),
    [
        ("mnist", datasets.load_mnist, 33.318421449829934),
        ("fashion-mnist", datasets.load_fashion_mnist, 72.94035223214286),
    ],
)
def test_real_files_are_the_published_ones(name, load, mean):
    if not Path(os.environ["FASTCONV_DATA"], name).is_dir():
        pytest.skip(f"FASTCONV_DATA has no folder {name}")
    (x_train, y_train), (x_test, y_test) = load()
    assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert x_train.mean() == pytest.approx(mean, abs=1e-9)
    if name == "fashion-mnist":
        assert set(np.bincount(y_train)) == {6000}
    assert set(y_test) == set(range(10))


def test_names_of_keras() -> None:
    for name in ("mnist", "fashion_mnist", "cifar10"):
        assert getattr(datasets, name).load_data is getattr(datasets, f"load_{name}")
