"""Weights of layers as lists, and what layers know of the models that they are in: their input and output."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import fastconv as fc


@pytest.fixture
def model():
    return fc.Sequential(
        [
            fc.layers.Conv2D(4, 3, input_shape=(8, 8, 2), activation="relu"),
            fc.layers.BatchNormalization(),
            fc.layers.Flatten(),
            fc.layers.Dense(3),
        ]
    )


class TestWeights:
    def test_layers_have_them_in_the_order_of_keras(self, model):
        kernel, bias = model.layers[0].get_weights()
        assert (kernel.shape, bias.shape) == ((3, 3, 2, 4), (4,))
        np.testing.assert_array_equal(kernel, model.layers[0].params["kernel"])
        gamma, beta, mean, variance = model.layers[1].get_weights()
        assert (gamma.max(), beta.max(), mean.max(), variance.max()) == (1, 0, 0, 1)
        assert model.layers[2].get_weights() == []
        together = [array for layer in model.layers for array in layer.get_weights()]
        for ours, known in zip(model.get_weights(), together, strict=True):
            np.testing.assert_array_equal(ours, known)

    def test_what_get_weights_returns_are_copies_and_weights_are_not(self, model):
        layer = model.layers[0]
        layer.get_weights()[0][:] = 7
        assert not (layer.params["kernel"] == 7).any()
        layer.weights[1][:] = 7
        assert (layer.params["bias"] == 7).all()
        assert (model.weights[1] == 7).all()

    def test_set_weights_changes_what_the_model_computes(self, model, rng):
        x = rng.standard_normal((2, 8, 8, 2))
        last = model.layers[-1]
        kernel, _ = last.get_weights()
        last.set_weights([np.zeros_like(kernel), [1, 2, 3]])
        np.testing.assert_array_equal(model.predict(x, verbose=0), np.tile(np.float32([1, 2, 3]), (2, 1)))

    @pytest.mark.parametrize("wrong", [lambda w: w[:1], lambda w: [w[0], w[1][:2]], lambda w: [*w, w[0]]])
    def test_set_weights_of_other_shapes_changes_nothing(self, model, wrong):
        layer = model.layers[0]
        before = layer.get_weights()
        with pytest.raises(ValueError, match="set_weights: weights"):
            layer.set_weights(wrong([array + 1 for array in before]))
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_trainable_weights_are_those_that_training_changes(self, model):
        norm = model.layers[1]
        assert [len(norm.weights), len(norm.trainable_weights), len(norm.non_trainable_weights)] == [4, 2, 2]
        assert [len(model.trainable_weights), len(model.non_trainable_weights)] == [6, 2]
        norm.trainable = False
        assert [len(model.trainable_weights), len(model.non_trainable_weights)] == [4, 4]


class TestOutput:
    def test_a_model_of_outputs_shows_what_each_layer_makes(self, model, rng):
        x = rng.standard_normal((3, 8, 8, 2)).astype(np.float32)
        maps = fc.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
        found = maps.predict(x, verbose=0)
        for layer, ours in zip(model.layers, found, strict=True):
            x = layer.forward(x)
            np.testing.assert_allclose(ours, x, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[-1], x)

    def test_input_is_the_output_of_the_layer_before(self, model):
        for before, layer in zip(model.layers, model.layers[1:], strict=False):
            assert layer.input.node is before.output.node
            assert layer.input.shape == before.output.shape
        assert model.layers[0].input.node is model.input.node
        assert model.layers[-1].output.node is model.output.node

    def test_layers_with_several_inputs_have_a_list_and_shared_ones_their_first_call(self):
        first, second = fc.Input((4,)), fc.Input((4,))
        dense, add = fc.layers.Dense(2), fc.layers.Add()
        y = add([dense(first), dense(second)])
        model = fc.Model([first, second], y)
        assert [tensor.node for tensor in add.input] == [tensor.node for tensor in y.node.inputs]
        assert dense.input.node is first.node
        assert [tensor.node for tensor in model.input] == [first.node, second.node]
        assert first.node.layer.input.node is first.node

    def test_copies_know_their_own_graph(self, model):
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert other.layers[1].output.node.layer is other.layers[1]
            assert other.layers[1].output.node is not model.layers[1].output.node

    def test_a_layer_keeps_no_graph_alive(self, model):
        layer, graph = model.layers[0], weakref.ref(model.graph)
        gc.disable()
        try:
            model.layers.clear()
            del model.graph
            assert graph() is None
        finally:
            gc.enable()
        with pytest.raises(AttributeError, match="output is known where the layer is part of a model"):
            layer.output  # noqa: B018

    def test_a_layer_in_no_model_has_none(self):
        with pytest.raises(AttributeError, match=r"dense.*: input is known where"):
            fc.layers.Dense(3).input  # noqa: B018
