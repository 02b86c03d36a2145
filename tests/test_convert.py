"""Weights from and for PyTorch and Keras: outputs of torch's own networks, and arrays back as they were."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.convert import from_keras_weights, from_torch_state_dict, to_keras_weights, to_torch_state_dict
from fastconv.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    LayerNormalization,
    MaxPooling2D,
    Permute,
    PReLU,
    ReLU,
    Reshape,
    SeparableConv2D,
    SpatiallySeparableConv2D,
    ZeroPadding2D,
)


def torch_network(torch, *layers):
    """Return a Sequential of torch with weights and statistics that are all different, in evaluation mode."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if name.endswith("var") else tensor.normal_(0, 0.3)
    return network.eval()


def arrays(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def check_both_ways(torch, network, model, rng, data_format="channels_last"):
    """Weights from torch give torch's outputs, and weights for torch are those that came from there."""
    from_torch_state_dict(model, network.state_dict())
    size = model.input_shape[1:]
    x = rng.standard_normal((3, *size)).astype(np.float32)
    first = np.moveaxis(x, -1, 1) if data_format == "channels_last" else x
    with torch.no_grad():
        expected = network(torch.from_numpy(np.ascontiguousarray(first))).numpy()
    y = model.predict(x)
    if data_format == "channels_last" and y.ndim > 2:
        y = np.moveaxis(y, -1, 1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)

    state = arrays(network)
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    back = to_torch_state_dict(model, modules)
    assert list(back) == [name for name in state if not name.endswith("num_batches_tracked")]
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)
        assert array.flags.c_contiguous
    network.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})


def cases(torch):
    """Return torch's layers and those of a model, by what they show."""
    nn = torch.nn
    return {
        "network": (
            [
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(8, 6, 3, stride=2, padding=1, bias=False), nn.ReLU(),
                nn.Flatten(), nn.Linear(6 * 2 * 3, 10), nn.ReLU(), nn.Linear(10, 4),
            ],
            lambda f: [
                Conv2D(8, 3, padding="same", data_format=f),
                BatchNormalization(axis=channel_axis(f), epsilon=1e-5), ReLU(),
                MaxPooling2D(2, data_format=f), ZeroPadding2D(1, data_format=f),
                Conv2D(6, 3, strides=2, use_bias=False, activation="relu", data_format=f),
                Flatten(data_format=f), Dense(10, activation="relu"), Dropout(0.5), Dense(4),
            ],
            (8, 12, 3),
        ),
        "features": (
            [
                nn.Conv2d(2, 3, 3), nn.Flatten(), nn.BatchNorm1d(60), nn.PReLU(60), nn.LayerNorm(60),
                nn.Linear(60, 3),
            ],
            lambda f: [
                Conv2D(3, 3, data_format=f), Flatten(data_format=f), BatchNormalization(epsilon=1e-5), PReLU(),
                LayerNormalization(epsilon=1e-5), Dense(3),
            ],
            (6, 7, 2),
        ),
        "grouped": (
            [nn.Conv2d(6, 9, (3, 2), groups=3, dilation=2)],
            lambda f: [Conv2D(9, (3, 2), groups=3, dilation_rate=2, data_format=f)],
            (9, 8, 6),
        ),
        "depthwise": (
            [nn.Conv2d(4, 12, 3, groups=4), nn.PReLU(12)],
            lambda f: [
                DepthwiseConv2D(3, depth_multiplier=3, data_format=f),
                PReLU(shared_axes=(1, 2) if f == "channels_last" else (2, 3)),
            ],
            (6, 5, 4),
        ),
        "separable": (
            [nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.Conv2d(8, 5, 1)],
            lambda f: [SeparableConv2D(5, 3, depth_multiplier=2, data_format=f)],
            (6, 5, 4),
        ),
        "spatially separable": (
            [nn.Conv2d(4, 5, (3, 1), bias=False), nn.Conv2d(5, 5, (1, 3), groups=5)],
            lambda f: [SpatiallySeparableConv2D(5, 3, data_format=f)],
            (6, 5, 4),
        ),
        "transposed": (
            [nn.ConvTranspose2d(4, 5, (3, 2), stride=2)],
            lambda f: [Conv2DTranspose(5, (3, 2), strides=2, data_format=f)],
            (4, 5, 4),
        ),
        "signal": (
            [nn.Conv1d(3, 4, 3), nn.ConvTranspose1d(4, 2, 3), nn.Flatten(), nn.Linear(16, 3)],
            lambda f: [Conv1D(4, 3, data_format=f), Conv1DTranspose(2, 3, data_format=f), Flatten(f), Dense(3)],
            (8, 3),
        ),
        "volume": (
            [nn.Conv3d(2, 4, 2), nn.ConvTranspose3d(4, 3, 2), nn.Flatten(), nn.Linear(3 * 3 * 4 * 5, 3)],
            lambda f: [Conv3D(4, 2, data_format=f), Conv3DTranspose(3, 2, data_format=f), Flatten(f), Dense(3)],
            (3, 4, 5, 2),
        ),
    }  # fmt: skip


def channel_axis(data_format):
    return -1 if data_format == "channels_last" else 1


CASES = (
    "network", "features", "grouped", "depthwise", "separable", "spatially separable", "transposed", "signal", "volume",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_weights_of_torch_give_its_outputs_and_go_back(name, data_format, torch, rng):
    theirs, ours, size = cases(torch)[name]
    if data_format == "channels_first":
        size = (size[-1], *size[:-1])
    model = fc.Sequential(ours(data_format))
    model.build((None, *size))
    check_both_ways(torch, torch_network(torch, *theirs), model, rng, data_format)


def test_images_flattened_as_they_are_keep_torchs_order(torch, rng):
    """Channels-first images and a Flatten or Reshape that does not know it."""
    network = torch_network(torch, torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(60, 4))
    for flat in (Flatten(), Reshape((-1,))):
        model = fc.Sequential([Conv2D(3, 3, data_format="channels_first", input_shape=(2, 6, 7)), flat, Dense(4)])
        check_both_ways(torch, network, model, rng, "channels_first")


def test_reshape_counts_as_flatten_and_pooled_features_keep_their_order(torch, rng):
    nn = torch.nn
    network = torch_network(torch, nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(60, 4))
    model = fc.Sequential([Conv2D(3, 3, input_shape=(6, 7, 2)), Reshape((-1,)), Dense(4)])
    check_both_ways(torch, network, model, rng)
    network = torch_network(torch, nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    model = fc.Sequential([Conv2D(3, 3, input_shape=(6, 7, 2)), GlobalAveragePooling2D(), Dense(4)])
    check_both_ways(torch, network, model, rng)


def test_graphs_with_models_within(torch, rng):
    inner_input = Input((5, 6, 3))
    inner = fc.Model(inner_input, Flatten()(Conv2D(2, 3, name="conv")(inner_input)), name="inner")
    x = Input((5, 6, 3))
    features = inner(x)
    y = Dense(4, name="last")(Add()([ReLU()(features), features]))
    model = fc.Model(x, y)
    state = arrays(torch_network(torch, torch.nn.Conv2d(3, 2, 3), torch.nn.Linear(24, 4)))
    mixed = {name.replace("1.", "b.").replace("0.", "a."): state[name] for name in reversed(state)}
    from_torch_state_dict(model, mixed, modules=["a", "b"])
    images = rng.standard_normal((2, 5, 6, 3)).astype(np.float32)
    F = torch.nn.functional
    theirs = {name: torch.from_numpy(array) for name, array in state.items()}
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    flat = F.conv2d(x, theirs["0.weight"], theirs["0.bias"]).flatten(1)
    expected = F.linear(F.relu(flat) + flat, theirs["1.weight"], theirs["1.bias"])
    np.testing.assert_allclose(model.predict(images), expected, rtol=1e-4, atol=1e-4)
    assert list(to_torch_state_dict(model)) == ["inner.conv.weight", "inner.conv.bias", "last.weight", "last.bias"]


def test_same_with_a_stride_is_keras_and_padding_before_it_is_torchs(torch, rng):
    network = torch_network(torch, torch.nn.Conv2d(2, 3, 3, stride=2, padding=1))
    x = rng.standard_normal((1, 8, 8, 2)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
    padded = fc.Sequential([ZeroPadding2D(1, input_shape=(8, 8, 2)), Conv2D(3, 3, strides=2)])
    same = fc.Sequential([Conv2D(3, 3, strides=2, padding="same", input_shape=(8, 8, 2))])
    for model in (padded, same):
        from_torch_state_dict(model, network.state_dict())
    np.testing.assert_allclose(padded.predict(x), expected, rtol=1e-4, atol=1e-4)
    # The windows of "same" begin one pixel further on.
    assert same.predict(x).shape == expected.shape
    before = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :8, :8]
    np.testing.assert_allclose(same.predict(before)[:, 0, 0], expected[:, 0, 0], rtol=1e-4, atol=1e-4)
    assert np.abs(same.predict(x) - expected).max() > 0.1


def test_order_of_dense_rows_without_torch():
    """Flatten in PyTorch: feature c * h * w + i * w + j of pixel (i, j)."""
    model = fc.Sequential([Flatten(input_shape=(2, 3, 4)), Dense(1, use_bias=False)])
    from_torch_state_dict(model, {"fc.weight": np.arange(24.0)[None]})
    kernel = model.layers[1].params["kernel"][:, 0].reshape(2, 3, 4)
    expected = [[[c * 6 + i * 3 + j for c in range(4)] for j in range(3)] for i in range(2)]
    np.testing.assert_array_equal(kernel, expected)
    np.testing.assert_array_equal(to_torch_state_dict(model, ["fc"])["fc.weight"], np.arange(24.0)[None])


def test_default_names_and_copies():
    model = fc.Sequential([SeparableConv2D(2, 3, input_shape=(5, 5, 1), name="sep"), Flatten(), Dense(3, name="fc")])
    state = to_torch_state_dict(model)
    assert {name: array.shape for name, array in state.items()} == {
        "sep.depthwise.weight": (1, 1, 3, 3),
        "sep.pointwise.weight": (2, 1, 1, 1),
        "sep.pointwise.bias": (2,),
        "fc.weight": (3, 18),
        "fc.bias": (3,),
    }
    before = model.get_weights()
    for array in state.values():
        array += 1
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    given = np.ones(3, np.float32)
    from_torch_state_dict(model, {**state, "fc.bias": given})
    given += 1
    assert (model.layers[2].params["bias"] == 1).all()


def test_dtype_of_the_layer_stays(rng):
    model = fc.Sequential([Dense(2, input_shape=(3,), dtype="float64")])
    from_torch_state_dict(model, {"a.weight": np.ones((2, 3), np.float16), "a.bias": np.zeros(2, np.float32)})
    assert {array.dtype.name for array in model.get_weights()} == {"float64"}


class TestTorchErrors:
    @pytest.fixture
    def model(self):
        return fc.Sequential([Conv2D(2, 3, input_shape=(5, 5, 1), name="conv"), Flatten(), Dense(4, name="fc")])

    @pytest.fixture
    def state(self, model):
        return to_torch_state_dict(model)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"fc.weight": np.zeros((4, 17))},
                r"layer 'fc' must have kernel from 'fc\.weight' of shape \(4, 18\), got \(4, 17\)",
            ),
            (
                {"conv.weight": np.zeros((2, 1, 5, 5))},
                r"layer 'conv' must have kernel from 'conv\.weight' of shape \(2, 1, 3, 3\)",
            ),
            ({"fc.bias": None}, r"layer 'fc' must have bias from 'fc\.bias' of shape \(4,\), got none"),
            ({"fc.extra": np.zeros(1)}, r"layer 'fc' must have all weights of 'fc', got none for \['extra'\]"),
            (
                {"more.weight": np.zeros(1)},
                r"there must be 2 modules with weights, for conv, fc, got \['conv', 'fc', 'more'\]",
            ),
        ],
    )
    def test_what_does_not_fit(self, model, state, change, message):
        before = model.get_weights()
        with pytest.raises(ValueError, match=f"from_torch_state_dict: {message}"):
            from_torch_state_dict(
                model, {name: array for name, array in {**state, **change}.items() if array is not None}
            )
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_wrong_modules(self, model, state):
        with pytest.raises(ValueError, match=r"state_dict must have weights of 'conv9', got 'conv', 'fc'"):
            from_torch_state_dict(model, state, ["conv9", "fc"])
        with pytest.raises(ValueError, match=r"modules must differ, got \['fc', 'fc'\]"):
            to_torch_state_dict(model, ["fc", "fc"])
        with pytest.raises(ValueError, match="there must be 2 modules with weights, for conv, fc, got fc"):
            to_torch_state_dict(model, "fc")
        with pytest.raises(ValueError, match=r"modules must name all that state_dict has, got none for \['other'\]"):
            from_torch_state_dict(model, {**state, "other.weight": np.zeros(1)}, ["conv", "fc"])

    def test_wrong_types(self, model, state):
        with pytest.raises(TypeError, match="from_torch_state_dict: model must be a Sequential or a Model, got list"):
            from_torch_state_dict([], state)
        with pytest.raises(
            TypeError, match="from_torch_state_dict: state_dict must be a mapping of names to arrays, got list"
        ):
            from_torch_state_dict(model, [])
        with pytest.raises(TypeError, match=r"from_torch_state_dict: state_dict\['fc\.bias'\] must"):
            from_torch_state_dict(model, {**state, "fc.bias": np.zeros(4, complex)})
        with pytest.raises(RuntimeError, match="to_torch_state_dict: model must be built; give its first layer"):
            to_torch_state_dict(fc.Sequential([Dense(2)]))

    def test_features_whose_order_is_lost(self):
        x = Input((2, 2, 3))
        y = Dense(2, name="last")(Concatenate(name="both")([Flatten()(x), Flatten()(x)]))
        with pytest.raises(
            NotImplementedError, match="layer 'both' must keep the order of features that were flattened"
        ):
            to_torch_state_dict(fc.Model(x, y))
        generator = fc.Sequential([Dense(12, input_shape=(3,)), Reshape((2, 2, 3), name="images"), Conv2D(1, 1)])
        with pytest.raises(NotImplementedError, match="layer 'images' must make no images of several channels"):
            to_torch_state_dict(generator)
        turned = fc.Sequential([Permute((2, 1, 3), input_shape=(2, 2, 3), name="turned"), Flatten(), Dense(1)])
        with pytest.raises(NotImplementedError, match="layer 'turned' must keep the axes of images"):
            to_torch_state_dict(turned)

    def test_weights_without_a_counterpart(self):
        model = fc.Sequential([PReLU(input_shape=(2, 2, 3), name="slopes")])
        with pytest.raises(
            NotImplementedError, match="layer 'slopes' must have a counterpart in PyTorch, got a PReLU with alpha"
        ):
            to_torch_state_dict(model)


class TestKeras:
    @pytest.fixture
    def model(self):
        return fc.Sequential([
            Conv2D(4, 3, input_shape=(7, 6, 2), name="conv"),
            BatchNormalization(name="norm"),
            SeparableConv2D(3, 3, name="sep"),
            Flatten(),
            Dense(5, name="fc"),
        ])  # fmt: skip

    def weights(self, rng):
        """Arrays in the shapes and the order that Keras gives them."""
        shapes = [(3, 3, 2, 4), (4,), (4,), (4,), (4,), (4,), (3, 3, 4, 1), (1, 1, 4, 3), (3,), (18, 5), (5,)]
        return [rng.uniform(0.5, 1.5, shape).astype(np.float32) for shape in shapes]

    def test_round_trip(self, model, rng):
        weights = self.weights(rng)
        from_keras_weights(model, weights)
        back = to_keras_weights(model)
        assert len(back) == len(weights)
        for old, new in zip(weights, back, strict=True):
            np.testing.assert_array_equal(new, old)
        norm = model.get_layer("norm")
        places = norm.params["gamma"], norm.params["beta"], norm.state["moving_mean"], norm.state["moving_variance"]
        for array, place in zip(weights[2:6], places, strict=True):
            np.testing.assert_array_equal(place, array)
        back[0] += 1
        np.testing.assert_array_equal(model.get_layer("conv").params["kernel"], weights[0])

    def test_by_layer_in_any_order(self, model, rng):
        w = self.weights(rng)
        from_keras_weights(model, {"fc": w[9:], "conv": w[:2], "sep": w[6:9], "norm": w[2:6]})
        for old, new in zip(w, to_keras_weights(model), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_errors(self, model, rng):
        w, before = self.weights(rng), model.get_weights()
        named = {"conv": w[:2], "norm": w[2:6], "sep": w[6:9], "fc": w[9:]}
        with pytest.raises(ValueError, match=r"weights must hold 11 arrays, 2 for 'conv', 4 for 'norm', .*, got 10"):
            from_keras_weights(model, w[:-1])
        with pytest.raises(ValueError, match=r"kernel of layer 'fc' must have shape \(18, 5\), got \(5, 18\)"):
            from_keras_weights(model, [*w[:9], w[9].T, w[10]])
        with pytest.raises(ValueError, match=r"layer 'conv' must have 2 weights \(kernel, bias\), got 1"):
            from_keras_weights(model, {**named, "conv": w[:1]})
        with pytest.raises(ValueError, match=r"weights must have those of layer 'fc', got \['conv', 'norm', 'sep'\]"):
            from_keras_weights(model, {name: value for name, value in named.items() if name != "fc"})
        with pytest.raises(ValueError, match=r"weights must be of layers .*, got some of 'dense_9'"):
            from_keras_weights(model, {**named, "dense_9": []})
        with pytest.raises(TypeError, match="bias of layer 'fc' must"):
            from_keras_weights(model, [*w[:10], w[10].astype(complex)])
        with pytest.raises(TypeError, match="to_keras_weights: model must be a Sequential or a Model, got Dense"):
            to_keras_weights(Dense(2))
        with pytest.raises(RuntimeError, match="from_keras_weights: model must be built"):
            from_keras_weights(fc.Sequential([Dense(2)]), [])
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
