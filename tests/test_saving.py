"""Model files: complete or absent, read without trust."""

import contextlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import archive
from fastconv.layers import Add, Conv2D, Dense, Dropout, Flatten
from fastconv.losses import MeanSquaredError


def trained() -> fc.Sequential:
    rng = np.random.default_rng(0)
    model = fc.Sequential(
        [
            Conv2D(2, 3, activation="relu", input_shape=(5, 5, 1), name="conv"),
            Flatten(name="flatten"),
            Dropout(0.5, name="dropout"),
            Dense(3, activation="softmax", name="dense"),
        ],
        name="net",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(rng.random((16, 5, 5, 1)), rng.integers(0, 3, 16), verbose=0, seed=1)
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    trained().save(path)
    return path


def _contents(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _rewrite(path: Path, **changes: Any) -> None:
    """Write the file anew with entries changed, added, or (None) left out."""
    contents = {**_contents(path), **changes}
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=True, **{key: value for key, value in contents.items() if value is not None})


def _change_config(path: Path, change: Any) -> None:
    config = json.loads(_contents(path)["config"].tobytes())
    change(config)
    _rewrite(path, config=np.frombuffer(json.dumps(config).encode(), np.uint8))


def test_a_loaded_model_predicts_and_goes_on_training_bit_for_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    model = trained()
    model.save(tmp_path / "model")
    loaded = fc.load_model(tmp_path / "model")
    x, y = rng.random((16, 5, 5, 1)), rng.integers(0, 3, 16)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    histories = [m.fit(x, y, epochs=3, initial_epoch=1, verbose=0, seed=1).history for m in (model, loaded)]
    assert histories[0] == histories[1]
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.to_json() == model.to_json()
    assert loaded.name == "net"


def test_numpy_reads_the_weights_without_pickle(saved: Path) -> None:
    contents = _contents(saved)
    assert contents["weights/conv/kernel"].shape == (3, 3, 1, 2)
    assert contents["optimizer/velocity/dense/bias"].shape == (3,)


def test_a_model_built_by_its_data_and_never_compiled_can_be_saved(tmp_path: Path) -> None:
    model = fc.Sequential([Flatten(), Dense(2, dtype="float64")])
    x = np.ones((1, 2, 3))
    y = model.predict(x)
    model.save(tmp_path / "m.npz")
    loaded = fc.load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(loaded.predict(x), y)
    assert loaded.loss is None
    assert loaded.predict(x).dtype == np.float64


def test_a_loss_of_ones_own_is_left_out(tmp_path: Path) -> None:
    class Own(MeanSquaredError):
        """Nothing that a file could name."""

    model = fc.Sequential([Dense(2, input_shape=(3,))])
    model.compile("sgd", Own())
    model.save(tmp_path / "m.npz")
    assert fc.load_model(tmp_path / "m.npz").loss is None


def test_weights_assigned_in_another_dtype_are_saved_in_the_layers(tmp_path: Path) -> None:
    model = fc.Sequential([Dense(2, input_shape=(3,))])
    model.layers[0].params["kernel"] = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(fc.load_model(tmp_path / "m.npz").get_weights()[0], [[0, 1], [2, 3], [4, 5]])


def test_an_unbuilt_model_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save: the model must have weights"):
        fc.Sequential([Dense(2)]).save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_while_it_saves_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    script = (
        "import os, signal, sys\n"
        "import fastconv as fc\n"
        "model = fc.load_model(sys.argv[1])\n"
        "model.set_weights([0 * weight for weight in model.get_weights()])\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "model.save(sys.argv[1])\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(saved)], capture_output=True, timeout=120, check=False)
    assert ended.returncode == -9, ended.stderr
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 2  # the half-written one was not in its place


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(saved: Path, error: BaseException) -> None:
    before = saved.read_bytes()

    def write() -> None:
        with archive.atomic_file(saved) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_saving_through_a_link_replaces_what_it_points_to(saved: Path) -> None:
    link = saved.with_name("link")
    link.symlink_to(saved)
    trained().save(link)
    assert link.is_symlink()
    fc.load_model(saved)


def test_a_missing_file_or_folder_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fc.load_model(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path}/none/m.npz'$"):
        trained().save(tmp_path / "none" / "m.npz")


def test_a_path_that_cannot_be_written_is_the_one_that_the_error_names(saved: Path) -> None:
    with pytest.raises(IsADirectoryError, match=f"'{saved.parent}'$"):
        trained().save(saved.parent)
    with pytest.raises(NotADirectoryError, match=f"'{saved}/m.npz'$"):
        trained().save(saved / "m.npz")


def _refused(path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        fc.load_model(path)
    assert str(caught.value).startswith(f"load_model: {path} must be a complete model file: ")


def test_every_truncation_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for size in [0, 1, 10, 100, *range(200, len(whole), 397), len(whole) - 1]:
        saved.write_bytes(whole[:size])
        _refused(saved, "must be a complete model file")


def test_every_kind_of_flipped_bytes_is_refused_or_harmless(saved: Path) -> None:
    whole = saved.read_bytes()
    for position in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            fc.load_model(saved)


def test_a_flipped_byte_in_the_weights_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    kernel = _contents(saved)["weights/dense/kernel"].tobytes()
    position = whole.index(kernel) + 5
    saved.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    _refused(saved, "Bad CRC-32 for file 'weights/dense/kernel.npy'")


def test_files_of_other_kinds_are_refused(saved: Path) -> None:
    saved.write_bytes(b"\x00" * 5000)
    _refused(saved, "File is not a zip file")
    np.savez(saved, a=np.zeros(3))
    _refused(saved, "entry 'config' is missing")
    np.savez(saved, config=np.frombuffer(b"[1, 2]", np.uint8))
    _refused(saved, "config must be a JSON object")
    np.savez(saved, config=np.frombuffer(b"{1}", np.uint8))
    _refused(saved, "Expecting property name")
    np.savez(saved, config=np.frombuffer(b"[" * 100_000, np.uint8))
    _refused(saved, "recursion")
    np.savez(saved, config=np.frombuffer(b'{"format": "other"}', np.uint8))
    _refused(saved, "config must say .*'fastconv model'")


def test_pickled_objects_are_never_loaded(saved: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (proof,))

    for key in ("weights/conv/bias", "config"):
        _rewrite(saved, **{key: np.array([Evil(), Evil()], dtype=object)})
        _refused(saved, f"entry '{key}' must have shape")
        trained().save(saved)
    assert not proof.exists()


def test_missing_misshapen_and_mistyped_arrays_are_refused(saved: Path) -> None:
    for change, reason in [
        ({"weights/dense/kernel": None}, "entry 'weights/dense/kernel' is missing"),
        ({"optimizer/velocity/conv/bias": None}, "entry 'optimizer/velocity/conv/bias' is missing"),
        (
            {"weights/conv/bias": np.zeros(3, np.float32)},
            r"entry 'weights/conv/bias' must have shape \(2,\) and float32, got \(3,\) and float32",
        ),
        ({"weights/conv/bias": np.zeros(2)}, r"must have shape \(2,\) and float32, got \(2,\) and float64"),
        ({"weights/conv/bias": np.array(["a", "b"])}, r"must have shape \(2,\) and float32, got \(2,\) and <U1"),
    ]:
        _rewrite(saved, **change)
        _refused(saved, reason)
        trained().save(saved)


def _replace_entry(path: Path, key: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    entries[f"{key}.npy"] = data
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)


def _npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_headers_that_promise_more_than_the_file_holds_are_refused(saved: Path) -> None:
    """Both the configuration and the array's header claim terabytes: nothing of the kind is allocated."""
    _change_config(saved, lambda config: config["model"]["config"]["layers"][3]["config"].update(units=10**12))
    kernel = "{'descr': '<f4', 'fortran_order': False, 'shape': (18, 1000000000000), }"
    _replace_entry(saved, "weights/dense/kernel", _npy(kernel))
    _refused(saved, r"entry 'weights/dense/kernel' must hold 72000000000000 bytes for shape .*, got 129")


def test_compressed_entries_are_refused(saved: Path) -> None:
    _replace_entry(saved, "weights/dense/bias", b"\x00" * 10_000_000, zipfile.ZIP_DEFLATED)
    _refused(saved, "must be stored without compression")


def test_entries_that_claim_to_be_larger_than_the_file_are_refused(saved: Path) -> None:
    whole = bytearray(saved.read_bytes())
    name = whole.rindex(b"weights/dense/bias.npy")  # in the central directory, 46 bytes after the entry's start
    whole[name - 26 : name - 18] = (2**30).to_bytes(4, "little") * 2  # stored size and size
    saved.write_bytes(whole)
    _refused(saved, "entry 'weights/dense/bias' must be stored without compression, within the file's")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EOF: reading magic string"),
        (b"\x93NUMPY\x07\x00" + b"\x00" * 200, r"npy version 1.0 or 2.0, got \(7, 0\)"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", b"\x00" * 4), "must hold 12 bytes"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", b"\x00" * 16), "must hold 12 bytes"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", b"\x00" * 12), "shape"),
        (_npy("__import__('os').abort()"), "must have an array header, got one that does not parse"),
        (_npy("(" * 100), "must have an array header, got one that does not parse"),
    ],
)
def test_broken_array_headers_are_refused(saved: Path, data: bytes, reason: str) -> None:
    _replace_entry(saved, "weights/dense/bias", data)
    _refused(saved, reason)


def _layer(index: int, **config: Any) -> Any:
    return lambda whole: whole["model"]["config"]["layers"][index]["config"].update(config)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda config: config["model"].update(class_name="os.system"),
            r"must be one of \['Sequential', 'Model'\], got 'os.system'",
        ),
        (lambda config: config["model"].update(class_name=["x"]), "must be one of"),
        (lambda config: config["model"]["config"]["layers"][0].update(class_name="eval"), "class_name among .* 'eval'"),
        (lambda config: config["model"].update(config=3), "config must hold an object 'config'"),
        (lambda config: config.update(version=99), "config must say"),
        (_layer(0, filters=-1), "Conv2D: filters must be at least 1, got -1"),
        (_layer(0, filters=1.5), r"Conv2D: filters must be an integer, got 1\.5"),
        (_layer(0, dtype="object"), "dtype must be 'float32' or 'float64'"),
        (_layer(0, dtype=["f4"]), "must hold arguments that the layer takes"),
        (_layer(0, surprise=1), "unexpected keyword argument 'surprise'"),
        (_layer(0, input_shape=[2, 2, 1]), "output height"),
        (_layer(0, activation={"class_name": "LeakyRelu", "config": {"x": 1}}), "keyword argument 'x'"),
        (_layer(0, name="dense"), "layers must have names that differ"),
        (_layer(0, name="other"), "entry 'weights/other/kernel' is missing"),
        (_layer(0, filters=4), r"weights/conv/kernel' must have shape \(3, 3, 1, 4\)"),
        (_layer(2, noise_shape=5), "must hold arguments"),
        (lambda config: config["training"].update(optimizer="lion"), "compile: optimizer must be one of"),
        (lambda config: config["training"].update(metrics=[3]), "must hold arguments of compile"),
        (lambda config: config["training"].update(metrics=3), r"\['metrics'\] must be a list of 1, got '3'"),
        (lambda config: config["training"].update(remembered=["x"]), r"\['remembered'\] must name weights"),
        (lambda config: config["training"].update(loss_weights=["x"]), "loss_weights must hold numbers"),
        (lambda config: config["training"].update(iterations=-1), "iterations'] must be an integer"),
        (lambda config: config["training"].update(loss=[{"class_name": 3}]), "compile: loss must have a class_name"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(saved: Path, change: Any, reason: str) -> None:
    _change_config(saved, change)
    _refused(saved, reason)


# Graphs: the same, for files whose model is connected by what they say.


@pytest.fixture
def saved_graph(tmp_path: Path) -> Path:
    x = fc.Input((4,), name="x")
    shared = Dense(4, name="shared")
    inner = fc.Sequential([Dense(4, name="dense")], name="inner")
    y = Add(name="sum")([shared(x), inner(shared(shared(x)))])
    model = fc.Model(x, [y, Dense(2, activation="softmax", name="label")(y)], name="net")
    model.compile("adam", {"label": "sparse_categorical_crossentropy"}, {"label": ["acc"]})
    model.fit(np.ones((4, 4)), np.array([0, 1, 0, 1]), verbose=0)
    path = tmp_path / "graph.npz"
    model.save(path)
    fc.load_model(path)
    return path


def test_graph_files_hold_each_weight_once_by_its_path(saved_graph: Path) -> None:
    weights = sorted(key for key in _contents(saved_graph) if key.startswith("weights/"))
    assert weights == [
        f"weights/{path}/{name}" for path in ("inner/dense", "label", "shared") for name in ("bias", "kernel")
    ]


def _graph(config: Any) -> Any:
    return config["model"]["config"]


def _calls(name: str, calls: Any) -> Any:
    def change(config: Any) -> None:
        for layer in _graph(config)["layers"]:
            if layer["name"] == name:
                layer["inbound_nodes"] = calls

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: _graph(config).pop("layers"), "Model: config must hold a list of layers"),
        (
            lambda config: _graph(config).pop("input_layers"),
            r"config\['input_layers'\] must be a list of \[layer, call",
        ),
        (lambda config: _graph(config).update(output_layers=[]), r"config\['output_layers'\] must be a list of"),
        (lambda config: _graph(config).update(output_layers=[["sum", 0]]), r"must hold \[layer, call, output\], got"),
        (
            lambda config: _graph(config).update(output_layers=[["sum", 0, 1]]),
            r"must name outputs of calls that it holds",
        ),
        (lambda config: _graph(config).update(output_layers=[["sum", 0, -1]]), r"must name outputs of calls"),
        (lambda config: _graph(config).update(output_layers=[["sum", True, 0]]), r"must hold \[layer, call, output\]"),
        (lambda config: _graph(config).update(output_layers=[[["sum"], 0, 0]]), r"must hold \[layer, call, output\]"),
        (
            lambda config: _graph(config).update(input_layers=[["sum", 0, 0]]),
            "inputs must be made by Input, got .* 'sum'",
        ),
        (lambda config: _graph(config).update(name=["net"]), "name must be a string"),
        (lambda config: _graph(config)["layers"].append(3), r"layers'\]\[5\] must be a mapping, got '3'"),
        (lambda config: _graph(config)["layers"].append(_graph(config)["layers"][1]), "must have a name of its own"),
        (_calls("sum", 5), "must have a list of inbound_nodes, got 5"),
        (_calls("sum", [5]), r"\['inbound_nodes'\]\[0\] must be a list of \[layer, call, output\], got '5'"),
        (_calls("sum", [[["x", 0, 0]]]), "sum: input must be a list of at least 2, got 1"),
        (
            _calls("sum", [[["x", 0, 0], ["other", 0, 0]]]),
            r"must name outputs of calls that it holds, got \['other', 0, 0\]",
        ),
        (_calls("shared", [[["x", 0, 0]], [["sum", 0, 0]], [["shared", 1, 0]]]), "graph without circles"),
        (_calls("shared", [[["shared", 0, 0]]]), "graph without circles"),
        (_calls("inner", [[["x", 0, 0], ["x", 0, 0]]]), "x must be a list of 1 inputs, got 2"),
        (lambda config: config["training"].update(loss="mse"), r"\['loss'\] must be a list of 2, got 'mse'"),
        (lambda config: config["training"].update(metrics=[[], 3]), "must hold arguments of compile"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(saved_graph: Path, change: Any, reason: str) -> None:
    _change_config(saved_graph, change)
    _refused(saved_graph, reason)


@pytest.mark.parametrize("depth", [100, 200, 5000])
def test_models_nested_too_deep_are_refused(saved_graph: Path, depth: int) -> None:
    start, end = '{"class_name": "Sequential", "config": {"layers": [', '], "build_input_shape": [null, 2]}}'
    model = start * depth + '{"class_name": "Dense", "config": {"units": 1}}' + end * depth
    text = f'{{"format": "fastconv model", "version": 2, "model": {model}}}'
    _rewrite(saved_graph, config=np.frombuffer(text.encode(), np.uint8))
    _refused(saved_graph, "recursion|is missing")


def test_every_changed_value_of_a_graphs_configuration_is_refused_or_harmless(saved_graph: Path) -> None:
    """Each leaf of the JSON in turn becomes something else: ValueError or a model, never another error."""
    text = _contents(saved_graph)["config"].tobytes()
    whole = json.loads(text)

    def places(node: Any, path: tuple[Any, ...] = ()) -> Any:
        yield path
        if isinstance(node, dict | list):
            for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
                yield from places(value, (*path, key))

    for path in places(whole):
        for value in (None, -1, "x", [], {}, [[1]], {"class_name": "Dense"}):
            changed = json.loads(text)
            if path:
                parent = changed
                for key in path[:-1]:
                    parent = parent[key]
                parent[path[-1]] = value
            else:
                changed = value
            _rewrite(saved_graph, config=np.frombuffer(json.dumps(changed).encode(), np.uint8))
            with contextlib.suppress(ValueError):
                fc.load_model(saved_graph)


class TestWeightsAlone:
    def model(self, seed: int, units: int = 3) -> fc.Sequential:
        fc.utils.set_random_seed(seed)
        layers = fc.layers
        return fc.Sequential(
            [
                fc.Input((5, 5, 1)),
                layers.Conv2D(2, 3),
                layers.BatchNormalization(),
                fc.Sequential([layers.Flatten(), layers.Dense(units)]),
            ]
        )

    def test_they_go_into_a_model_whose_layers_have_other_names(self, tmp_path: Path) -> None:
        first, second = self.model(1), self.model(2)
        first.layers[1].state["moving_mean"][...] = 5
        assert first.layers[0].name != second.layers[0].name
        first.save_weights(tmp_path / "a.weights.npz")
        second.load_weights(tmp_path / "a.weights.npz")
        for ours, theirs in zip(second.get_weights(), first.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        with np.load(tmp_path / "a.weights.npz", allow_pickle=False) as arrays:
            np.testing.assert_array_equal(arrays["weights/1/moving_mean"], [5, 5])

    def test_others_are_refused_and_nothing_changes(self, tmp_path: Path) -> None:
        path, model = tmp_path / "w", self.model(1)
        before = model.get_weights()
        self.model(2, units=4).save_weights(path)
        with pytest.raises(ValueError, match=r"load_weights: .*w must be a complete weights file: entry .* \(18, 3\)"):
            model.load_weights(path)
        fc.Sequential([fc.layers.Dense(3, input_shape=(2,))]).save_weights(path)
        with pytest.raises(ValueError, match="must hold the 8 arrays that the model has, got 2 arrays or other names"):
            model.load_weights(path)
        model.save(path)
        with pytest.raises(
            ValueError, match=r"config must say {'format': 'fastconv weights', .*got .*'fastconv model'"
        ):
            model.load_weights(path)
        model.save_weights(path)
        with pytest.raises(ValueError, match=r"load_model: .* config must say {'format': 'fastconv model'"):
            fc.load_model(path)
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match="must be a complete weights file"):
            model.load_weights(path)
        with pytest.raises(FileNotFoundError):
            model.load_weights(tmp_path / "none")
        for ours, theirs in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_a_model_that_is_not_built_has_none(self, tmp_path: Path) -> None:
        model = fc.Sequential([fc.layers.Dense(3)])
        with pytest.raises(ValueError, match="save_weights: the model must have weights, got one that is not built"):
            model.save_weights(tmp_path / "w")
        with pytest.raises(ValueError, match="load_weights: the model must have weights, got one that is not built"):
            model.load_weights(tmp_path / "w")

    def test_a_checkpoint_of_the_best_weights(self, tmp_path: Path) -> None:
        model, path = self.model(1), tmp_path / "best"
        model.compile("sgd", "mse")
        x, y = np.ones((4, 5, 5, 1)), np.zeros((4, 3))
        checkpoint = fc.callbacks.ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=True)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[checkpoint])
        best = model.get_weights()
        model.fit(x, y + 1e3, epochs=1, verbose=0, callbacks=[checkpoint])
        model.load_weights(path)
        for ours, theirs in zip(model.get_weights(), best, strict=True):
            np.testing.assert_array_equal(ours, theirs)
