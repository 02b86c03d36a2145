"""Arguments of the functions: what is accepted, how it reaches the core, and the wording of every refusal.

A refusal reads ``<function>: <argument> must <rule>, got <value>``.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._memory import converted, empty

Array = NDArray[Any]
Dtype = np.dtype[Any]

FLOAT16: Dtype = np.dtype(np.float16)
FLOAT32: Dtype = np.dtype(np.float32)
FLOAT64: Dtype = np.dtype(np.float64)


def _is_masked_array(value: Any) -> bool:
    # By its attribute: numpy.ma takes 9 ms to import, and who has such an array has imported it.
    return type(value) is not np.ndarray and isinstance(value, np.ndarray) and hasattr(value, "mask")


def to_array(function: str, name: str, value: Any) -> Array:
    """`value` as a plain ndarray of real numbers, without a copy where possible.

    Takes arrays and their subclasses, lists, scalars, and objects with ``__array__`` or ``__dlpack__``.

    Raises
    ------
    TypeError
        What is no array, or not of a boolean, integer, float16, float32 or float64 dtype; masked values, which no
        operation here could honour.
    ValueError
        Nested lists of unequal length.
    """
    if type(value) is np.ndarray and (value.dtype is FLOAT32 or value.dtype is FLOAT64):
        return value
    masked = np.count_nonzero(value.mask) if _is_masked_array(value) else 0
    if masked:
        raise TypeError(
            f"{function}: {name} must have no masked values, got {masked}; replace them first, as with .filled(0)"
        )
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            array: Array = np.from_dlpack(value)
        else:
            array = np.asarray(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{function}: {name} must be an array, got {type(value).__name__} ({error})") from error
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        given = array.dtype if isinstance(value, np.ndarray) else f"{type(value).__name__} of dtype {array.dtype}"
        raise TypeError(
            f"{function}: {name} must have a boolean, integer, float16, float32 or float64 dtype, got {given}"
        )
    return array


def to_arrays(function: str, names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Dtype]:
    """Arrays as the core takes them, and the dtype of the result.

    The result dtype is ``np.result_type`` of all arrays; booleans and integers are promoted by
    ``np.result_type(..., np.float32)``. The arrays are C-contiguous, aligned, and of the result dtype, or of float32
    where that is float16. An array that is so already is returned itself; any other is converted in one copy.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    names : tuple of str
        Names of the arguments. One named "bias" may be None and stays it.
    values : tuple
        The arguments.

    Raises
    ------
    TypeError, ValueError
        As `to_array`.
    """
    dtype = getattr(values[0], "dtype", None)
    if dtype is FLOAT32 or dtype is FLOAT64:
        for name, value in zip(names, values, strict=True):
            if type(value) is np.ndarray and value.dtype is dtype:
                flags = value.flags
                if flags.c_contiguous and flags.aligned:
                    continue
            if value is None and name == "bias":
                continue
            break
        else:
            return values, dtype
    arrays = [
        None if value is None and name == "bias" else to_array(function, name, value)
        for name, value in zip(names, values, strict=True)
    ]
    result: Dtype = np.result_type(*(array.dtype for array in arrays if array is not None))
    if result.kind != "f":
        result = np.result_type(result, np.float32)
    ready = FLOAT32 if result == FLOAT16 else result
    return tuple(None if array is None else converted(array, ready) for array in arrays), result


def to_dtype(function: str, value: DTypeLike) -> Dtype:
    """Return the argument `dtype` as one; a TypeError if it is none."""
    try:
        return np.dtype(value)
    except TypeError:
        raise TypeError(f"{function}: dtype must be a dtype, got {value!r}") from None


def output_buffer(
    function: str, name: str, out: Any, shape: tuple[int, ...], result: Dtype, inputs: Iterable[Array | None] = ()
) -> Array:
    """Choose the array that the core writes: `out` itself where that is possible, else a new one.

    Parameters
    ----------
    function, name : str
        Names of the caller and of the argument, for error messages.
    out : ndarray or None
        The caller's array: of the result's dtype and shape, and writable. One that is not contiguous, of a subclass or
        float16, or shares memory with `inputs`, is filled afterwards, by `deliver`.
    shape : tuple of int
    result : dtype
        Dtype of the result, which the core computes in float32 if it is float16.
    inputs : iterable of ndarray
        Arrays that must not change while the result is written.

    Raises
    ------
    TypeError
        `out` is no ndarray or has another dtype.
    ValueError
        `out` has another shape or is read-only.
    """
    ready = FLOAT32 if result == FLOAT16 else result
    if out is None:
        return empty(shape, ready)
    if not isinstance(out, np.ndarray) or _is_masked_array(out):
        raise TypeError(f"{function}: {name} must be an ndarray, got {type(out).__name__}")
    if out.dtype != result:
        raise TypeError(f"{function}: {name} must have dtype {result}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{function}: {name} must be writable, got a read-only array")
    usable = type(out) is np.ndarray and out.dtype == ready and out.flags.c_contiguous and out.flags.aligned
    if not usable or any(array is not None and np.may_share_memory(out, array) for array in inputs):
        return empty(shape, ready)
    return out


def deliver(buffer: Array, out: Array | None, result: Dtype) -> Array:
    """Return what the core wrote as the result: in `out` where there is one, and of the result's dtype."""
    if out is None:
        return buffer if buffer.dtype is result else buffer.astype(result, copy=False)
    if buffer is not out:
        out[...] = buffer
    return out


def number(function: str, name: str, value: Any) -> float:
    """Return an argument that is a number as a float; a TypeError if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be a number, got {value!r}") from None


def flag(function: str, name: str, value: Any) -> bool:
    """Return an argument that is true or false as a bool; a TypeError if it is neither, which is to say an array."""
    try:
        return bool(value)
    except ValueError:
        raise TypeError(f"{function}: {name} must be True or False, got {type(value).__name__}") from None


def one_of(function: str, name: str, value: Any, choices: Sequence[str], reason: str = "") -> None:
    """Refuse what is none of the strings `choices` with a ValueError."""
    # An array is compared element by element.
    if not isinstance(value, str) or value not in choices:
        words = [repr(choice) for choice in choices]
        listed = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
        raise ValueError(f"{function}: {name} must be {listed}{reason}, got {value!r}")


def channels_last(function: str, data_format: str) -> bool:
    """Whether `data_format` is "channels_last"; a ValueError if it is neither that nor "channels_first"."""
    if isinstance(data_format, str):
        if data_format == "channels_first":
            return False
        if data_format == "channels_last":
            return True
    raise ValueError(f"{function}: data_format must be 'channels_first' or 'channels_last', got {data_format!r}")


def check_shape(function: str, name: str, array: Array, shape: tuple[int, ...], reason: str) -> None:
    """Refuse an array of another shape with a ValueError."""
    if array.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {shape}{reason}, got {array.shape}")


def needed(function: str, needs: str | Collection[str], names: tuple[str, ...]) -> Collection[str]:
    """Return the names of the gradients asked for, one or several of `names`; a ValueError if there is another."""
    if needs is names:
        return names
    chosen = tuple(needs) if isinstance(needs, Iterable) and not isinstance(needs, str) else (needs,)
    for name in chosen:
        if not isinstance(name, str) or name not in names:
            raise ValueError(f"{function}: needs must consist of {', '.join(map(repr, names))}, got {name!r}")
    return chosen
