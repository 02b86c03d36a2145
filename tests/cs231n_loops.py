"""The layers of CS231n by their formulas, in loops: what the tests of the drop-in compare with."""

import math

import numpy as np


def padded(x, pad):
    return np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))


def windows(size, fields, stride, pad=0):
    """All windows: their index in the output, and rows and columns in the padded image."""
    for i in range((size[0] + 2 * pad - fields[0]) // stride + 1):
        for j in range((size[1] + 2 * pad - fields[1]) // stride + 1):
            yield i, j, slice(i * stride, i * stride + fields[0]), slice(j * stride, j * stride + fields[1])


def output_shape(size, fields, stride, pad=0):
    return tuple((s + 2 * pad - f) // stride + 1 for s, f in zip(size, fields, strict=True))


def conv(x, w, b, stride, pad):
    p, filters = padded(x, pad), np.asarray(w, np.float64)
    out = np.empty((len(x), len(w), *output_shape(x.shape[2:], w.shape[2:], stride, pad)))
    for n in range(len(x)):
        for f in range(len(w)):
            for i, j, rows, columns in windows(x.shape[2:], w.shape[2:], stride, pad):
                out[n, f, i, j] = (p[n, :, rows, columns] * filters[f]).sum() + b[f]
    return out


def conv_backward(dout, x, w, stride, pad):
    p, filters = padded(x, pad), np.asarray(w, np.float64)
    dp, dw, db = np.zeros_like(p), np.zeros(w.shape), np.zeros(len(w))
    for n in range(len(x)):
        for f in range(len(w)):
            for i, j, rows, columns in windows(x.shape[2:], w.shape[2:], stride, pad):
                dp[n, :, rows, columns] += dout[n, f, i, j] * filters[f]
                dw[f] += dout[n, f, i, j] * p[n, :, rows, columns]
                db[f] += dout[n, f, i, j]
    h, width = x.shape[2:]
    return dp[:, :, pad : pad + h, pad : pad + width], dw, db


def pool(x, fields, stride, dout=None):
    """Maxima; with `dout` the gradient, which goes to the first maximum."""
    out, dx = np.empty((*x.shape[:2], *output_shape(x.shape[2:], fields, stride))), np.zeros(x.shape)
    for n, c in np.ndindex(x.shape[:2]):
        for i, j, rows, columns in windows(x.shape[2:], fields, stride):
            window = x[n, c, rows, columns]
            u, v = np.unravel_index(np.argmax(window), window.shape)
            out[n, c, i, j] = window[u, v]
            if dout is not None:
                dx[n, c, i * stride + u, j * stride + v] += dout[n, c, i, j]
    return out if dout is None else dx


def im2col(x, fields, stride, pad):
    p = padded(x, pad)
    columns = [
        p[n, :, rows, cols].ravel()
        for *_, rows, cols in windows(x.shape[2:], fields, stride, pad)
        for n in range(len(x))
    ]
    return np.stack(columns, axis=1)


def col2im(cols, shape, fields, stride, pad):
    n, c, h, w = shape
    p = np.zeros((n, c, h + 2 * pad, w + 2 * pad))
    places = [(k, *place[2:]) for place in windows((h, w), fields, stride, pad) for k in range(n)]
    for column, (k, rows, columns) in zip(cols.T, places, strict=True):
        p[k, :, rows, columns] += column.reshape(c, *fields)
    return p[:, :, pad : pad + h, pad : pad + w]


def affine(x, w, b):
    out = np.empty((len(x), len(b)))
    for n in range(len(x)):
        for m in range(len(b)):
            out[n, m] = sum(float(p) * float(q) for p, q in zip(x[n].ravel(), w[:, m], strict=True)) + float(b[m])
    return out


def normalize(values, eps):
    """Normalize all the numbers of an array together."""
    values = np.asarray(values, np.float64)
    mean = values.sum() / values.size
    return (values - mean) / math.sqrt(((values - mean) ** 2).sum() / values.size + eps)


def svm(x, y):
    total, dx = 0.0, np.zeros(x.shape)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            margin = float(x[n, c]) - float(x[n, y[n]]) + 1
            if c != y[n] and margin > 0:
                total += margin / len(x)
                dx[n, c] += 1 / len(x)
                dx[n, y[n]] -= 1 / len(x)
    return total, dx


def softmax(x, y):
    total, dx = 0.0, np.zeros(x.shape)
    for n in range(len(x)):
        exponentials = [math.exp(value) for value in x[n]]
        for c, value in enumerate(exponentials):
            dx[n, c] = (value / sum(exponentials) - (c == y[n])) / len(x)
        total -= math.log(exponentials[y[n]] / sum(exponentials)) / len(x)
    return total, dx
