"""Layers with the names, arguments and defaults of Keras 3, on NumPy arrays.

A layer works alone: ``y = layer(x)``, ``layer.forward(x, training=True)``, ``grad_x = layer.backward(grad_y)``.
"""

from fastconv.layers.activations import Activation, LeakyReLU, ReLU, Softmax
from fastconv.layers.base import Layer
from fastconv.layers.conv import Conv2D
from fastconv.layers.dense import Dense
from fastconv.layers.input import Input, InputLayer
from fastconv.layers.merging import Add, Average, Concatenate, Maximum, Multiply, Subtract
from fastconv.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from fastconv.layers.regularization import Dropout
from fastconv.layers.reshaping import Flatten, Reshape, ZeroPadding2D

__all__ = [
    "Layer",
    "Conv2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Dense",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "Softmax",
    "Dropout",
    "Flatten",
    "Reshape",
    "ZeroPadding2D",
    "Input",
    "InputLayer",
    "Add",
    "Subtract",
    "Multiply",
    "Average",
    "Maximum",
    "Concatenate",
]
