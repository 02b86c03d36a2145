"""The command ``fastconv``: train, evaluate, look at and use networks, measure layers, without writing Python."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

import fastconv
from fastconv import _image_data, _report, bench, demo, plot, utils, zoo
from fastconv._image_data import ImageData
from fastconv.archive import atomic_file
from fastconv.callbacks import ModelCheckpoint
from fastconv.models import BaseModel, load_model, model_from_json

WRONG_RESULT = 1
USER_ERROR = 2
INTERRUPTED = 130
BEST_GUESSES = 5
# How a model from a .json file is trained, which brings no settings of its own.
FILE_EPOCHS, FILE_BATCH_SIZE, FILE_LEARNING_RATE = 10, 64, 1e-3

PLOTS = "filters, maps, crops, receptive field, confusion matrix, guesses, mistakes"
DATA_HELP = f"{', '.join(_image_data.NAMED)}, or a .npz file with x_train, y_train, x_test, y_test"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        0; or 1 where ``bench`` met a wrong result; or 2 after a line on stderr that says what the user can mend; or
        130 after Ctrl-C.

    Examples
    --------
    >>> from fastconv.cli import main
    >>> main(["evaluate", "missing.npz", "--data", "digits"])
    2
    """
    arguments = _parser().parse_args(argv)
    try:
        status: int | None = arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"fastconv {arguments.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, ImportError, NotImplementedError, MemoryError) as error:
        print(f"fastconv {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    return status or 0


class Parser(argparse.ArgumentParser):
    """Say what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        """Print `message` without the usage and exit."""
        self.exit(USER_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> Parser:
    parser = Parser(prog="fastconv", description="Convolutional networks on NumPy arrays.")
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    command = commands.add_parser("demo", help="train on built-in digits, evaluate, save pictures")
    command.add_argument("--out", type=Path, default=Path("fastconv-demo"), metavar="DIR", help="default: %(default)s")
    command.set_defaults(run=lambda arguments: demo.run(arguments.out))

    command = commands.add_parser("train", help="train a network and test it")
    command.add_argument("--data", required=True, metavar="DATA", help=DATA_HELP)
    command.add_argument(
        "--model", required=True, metavar="MODEL", help=f"{', '.join(zoo.RECIPES)}, or a .json file by model.to_json()"
    )
    command.add_argument("--epochs", type=_at_least(1), metavar="N", help="default: the model's own")
    command.add_argument("--batch-size", type=_at_least(1), metavar="N", help="default: the model's own")
    command.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="default: %(default)s")
    command.add_argument("--save", type=Path, metavar="FILE", help="keep the model, after every epoch (.npz)")
    command.add_argument("--plots", type=Path, metavar="DIR", help=f"save training curve, {PLOTS}")
    command.set_defaults(run=_train)

    command = commands.add_parser("evaluate", help="all figures and the confusion matrix on a test set")
    command.add_argument("model", metavar="MODEL", help="a saved model (.npz)")
    command.add_argument("--data", required=True, metavar="DATA", help=DATA_HELP)
    command.add_argument("--plots", type=Path, metavar="DIR", help=f"save {PLOTS}")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("predict", help="the best guesses for pictures")
    command.add_argument("model", metavar="MODEL", help="a saved model (.npz)")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG or JPEG file")
    command.add_argument("--invert", action="store_true", help="swap dark and light: for dark writing on light paper")
    command.add_argument("--data", choices=_image_data.NAMED, metavar="DATA", help="name the classes as this set does")
    command.set_defaults(run=_predict)

    command = commands.add_parser("summary", help="the layers of a network")
    command.add_argument("model", metavar="MODEL", help=f"{', '.join(zoo.RECIPES)}, a .json file or a saved model")
    command.set_defaults(run=_summary)

    _add_bench(commands.add_parser("bench", help="the algorithms side by side, on this machine"))

    command = commands.add_parser("info", help="what fastconv runs on: instruction set, threads, compiler")
    command.set_defaults(run=lambda arguments: fastconv.show_config())
    return parser


def _add_bench(command: argparse.ArgumentParser) -> None:
    layer = command.add_argument_group("a layer of your own, in place of the built-in table")
    layer.add_argument("--shape", type=_sizes(4), metavar="NxHxWxC", help="its input")
    layer.add_argument("--filters", type=_at_least(1), metavar="N", help="default: as many as input channels")
    layer.add_argument("--kernel", type=_sizes(2), metavar="K|KHxKW", help="default: 3")
    layer.add_argument("--stride", type=_sizes(2), metavar="S|SHxSW", help="default: 1")
    layer.add_argument("--dilation", type=_sizes(2), metavar="D|DHxDW", help="default: 1")
    layer.add_argument("--padding", type=_padding, metavar="P|PHxPW|same|valid", help="default: same")
    layer.add_argument("--groups", type=_at_least(1), metavar="N", help="default: 1")
    command.add_argument("--sweep", choices=bench.SWEEPS, help="curves over what varies, of --shape or a layer of ours")
    command.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default: %(default)s")
    command.add_argument("--direction", choices=bench.DIRECTIONS, default="forward", help="default: %(default)s")
    command.add_argument(
        "--data-format",
        choices=["channels_last", "channels_first"],
        default="channels_last",
        help="of fastconv's arrays; default: %(default)s",
    )
    command.add_argument("--algorithms", type=_names, metavar="A,B", help=f"out of {', '.join(bench.ALGORITHMS)}")
    peers = ", ".join(bench.PEERS)
    command.add_argument("--against", type=_names, default=[], metavar="A,B", help=f"other libraries, out of {peers}")
    command.add_argument("--threads", type=_at_least(1), metavar="N", help="default: all that this process may use")
    command.add_argument(
        "--seconds", type=_from_zero, default=bench.SECONDS, metavar="S", help="for all timing; default: %(default)g"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw them: .png or .svg")
    command.set_defaults(run=_bench)


def _sizes(count: int) -> Callable[[str], tuple[int, ...]]:
    """Read sizes such as 5x3; of two that are equal one is enough."""

    def parse(text: str) -> tuple[int, ...]:
        parts = text.split("x")
        if count == 2 and len(parts) == 1:
            parts *= 2
        if len(parts) != count or not all(part.isdecimal() and int(part) >= 1 for part in parts):
            form = "one number or two, as in 3 or 5x3" if count == 2 else "four numbers as in 8x28x28x64"
            raise argparse.ArgumentTypeError(f"must be {form}, from 1 on, got {text!r}")
        return tuple(map(int, parts))

    return parse


def _padding(text: str) -> str | tuple[int, ...]:
    if text in ("same", "valid"):
        return text
    parts = text.split("x")
    if len(parts) > 2 or not all(map(str.isdecimal, parts)):
        raise argparse.ArgumentTypeError(f"must be same, valid, one number or two as in 2x1, got {text!r}")
    return tuple(map(int, parts))


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name for name in text.split(",") if name))


def _at_least(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number from {minimum} on, got {text!r}")
        return int(text)

    return parse


def _from_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, got {text!r}")
    return number


def _train(arguments: argparse.Namespace) -> None:
    _prepare_outputs(arguments.save, arguments.plots)
    data = _image_data.load(arguments.data)
    utils.set_random_seed(arguments.seed)
    model, epochs, batch_size = _model_to_train(arguments.model, data)
    _check_fits(model, arguments.model, data, arguments.data)
    model.summary()
    try:
        history = model.fit(
            data.x_train,
            data.y_train,
            batch_size=arguments.batch_size or batch_size,
            epochs=arguments.epochs or epochs,
            seed=arguments.seed,
            callbacks=[ModelCheckpoint(_literally(arguments.save))] if arguments.save else [],
        ).history
    except KeyboardInterrupt:
        if arguments.save and model.history and model.history.epoch:
            print(f"{arguments.save} holds the model after {len(model.history.epoch)} epochs")
        raise
    result = _report.evaluate(model, data.x_test, data.y_test)
    print(f"test loss {result.loss:.4f}, test accuracy {result.accuracy:.4f}")
    if arguments.save:
        print(f"saved {arguments.save}")
    if arguments.plots:
        _print_saved(_report.save_pictures(arguments.plots, model, data, result, history))


def _evaluate(arguments: argparse.Namespace) -> None:
    _prepare_outputs(None, arguments.plots)
    model = load_model(arguments.model)
    data = _image_data.load(arguments.data)
    _check_fits(model, arguments.model, data, arguments.data)
    result = _report.evaluate(model, data.x_test, data.y_test)
    print(f"{arguments.model} on {len(data.x_test)} test examples of {arguments.data}\n")
    print(_report.full_text(result, data.classes))
    if arguments.plots:
        print()
        _print_saved(_report.save_pictures(arguments.plots, model, data, result))


def _print_saved(files: Sequence[Path]) -> None:
    for file in files:
        print(f"saved {file}")


def _predict(arguments: argparse.Namespace) -> None:
    model = load_model(arguments.model)
    _check_single_ends(model, arguments.model)
    if len(model.output_shape) != 2:
        raise ValueError(f"{arguments.model} must have outputs of shape (n, classes), got {model.output_shape}")
    shape = model.input_shape[1:]
    pictures, changes = zip(
        *(_image_data.read_picture(file, shape, invert=arguments.invert) for file in arguments.images), strict=True
    )
    probabilities = model.predict(np.stack(pictures))
    classes = _class_names(arguments.data, probabilities.shape[1])
    width = max(map(len, classes))
    for file, change, row in zip(arguments.images, changes, probabilities, strict=True):
        print(f"{file} ({change})")
        for label in np.argsort(-row, kind="stable")[:BEST_GUESSES]:
            print(f"  {classes[label]:<{width}}  {row[label]:7.2%}")


def _summary(arguments: argparse.Namespace) -> None:
    name = arguments.model
    if name.endswith(".json"):
        model = _read_json(Path(name))
    elif name in zoo.RECIPES:
        # There are no data to take the shape from.
        model = zoo.build(name, zoo.RECIPES[name].image, zoo.RECIPES[name].classes)
    elif Path(name).exists():
        model = load_model(name)
    else:
        raise FileNotFoundError(f"model must be one of {', '.join(zoo.RECIPES)}, or a file, got {name!r}")
    model.summary()


def _bench(arguments: argparse.Namespace) -> int:
    for option, file in (("--json", arguments.json), ("--plot", arguments.plot)):
        _check_folder(option, file)
    if arguments.plot is not None:
        plot.check_installed()
        if arguments.plot.suffix.lower() not in (".png", ".svg"):
            raise ValueError(f"--plot must name a .png or .svg file, got {arguments.plot}")
    cases, swept = _bench_cases(arguments)
    report = bench.run(
        cases,
        arguments.algorithms,
        arguments.against,
        threads=arguments.threads,
        seconds=arguments.seconds,
        swept=swept,
    )
    print(report.as_text())
    if arguments.json is not None:
        with atomic_file(arguments.json) as stream:
            stream.write(json.dumps(report.as_dict(), indent=1).encode() + b"\n")
    if arguments.plot is not None:
        plot.save(plot.benchmark(report.as_dict()), arguments.plot)
    return 0 if report.all_right else WRONG_RESULT


def _bench_cases(arguments: argparse.Namespace) -> tuple[Sequence[bench.Case], tuple[str, list[int]] | None]:
    """Return what to measure: the table, the user's own layer, or a sweep with its name and values."""
    given = {
        option: value
        for option in ("shape", "filters", "kernel", "stride", "dilation", "padding", "groups")
        if (value := getattr(arguments, option)) is not None
    }
    how = {"dtype": arguments.dtype, "direction": arguments.direction, "data_format": arguments.data_format}
    if not given and not arguments.sweep:
        return [replace(layer, **how) for layer in bench.LAYERS], None
    if "shape" not in given:
        if not arguments.sweep:
            raise ValueError(f"--{next(iter(given))} must come with --shape, got none")
        given["shape"] = bench.SWEPT_LAYER.shape
    case = bench.Case(**{"filters": given["shape"][-1], "kernel": 3} | given | how)
    if not arguments.sweep:
        return [case], None
    if arguments.sweep == "kernel" and arguments.kernel:
        raise ValueError(f"--kernel must be left out with --sweep kernel, got {arguments.kernel}")
    values, cases = zip(*bench.sweep(case, arguments.sweep, arguments.filters), strict=True)
    return cases, (arguments.sweep, list(values))


def _model_to_train(name: str, data: ImageData) -> tuple[BaseModel, int, int]:
    """Return the model, compiled, and its default epochs and batch size."""
    if name.endswith(".json"):
        model = _read_json(Path(name))
        zoo.compile_classifier(model, FILE_LEARNING_RATE)
        return model, FILE_EPOCHS, FILE_BATCH_SIZE
    model = zoo.build(name, data.x_train.shape[1:], len(data.classes))
    return model, zoo.RECIPES[name].epochs, zoo.RECIPES[name].batch_size


def _read_json(file: Path) -> BaseModel:
    try:
        return model_from_json(file.read_text(encoding="utf-8"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} must be a model as model.to_json() writes it, got: {error}") from error


def _check_fits(model: BaseModel, model_name: str, data: ImageData, data_name: str) -> None:
    _check_single_ends(model, model_name)
    found = data.x_test.shape[1:]
    if not model.built:
        model.build((None, *found))
    wanted, outputs = model.input_shape or (), model.output_shape or ()
    if len(wanted) != 1 + len(found) or any(w not in (None, f) for w, f in zip(wanted[1:], found, strict=True)):
        raise ValueError(f"{model_name} must get inputs of shape {wanted[1:]}, got {data_name} with {found}")
    if outputs[1:] != (len(data.classes),):
        raise ValueError(
            f"{model_name} must have an output for each of the {len(data.classes)} classes of {data_name}, "
            f"got outputs of shape {outputs[1:]}"
        )


def _check_single_ends(model: BaseModel, name: str) -> None:
    for end, names in (("input", model.input_names), ("output", model.output_names)):
        if len(names) > 1:
            raise ValueError(f"{name} must have one {end}, got {len(names)}: {', '.join(names)}")


def _class_names(data_name: str | None, count: int) -> tuple[str, ...]:
    if data_name is None:
        return tuple(map(str, range(count)))
    classes = _image_data.NAMED[data_name].classes
    if len(classes) != count:
        raise ValueError(f"{data_name} must have a class for each of the model's {count} outputs, got {len(classes)}")
    return classes


def _literally(path: Path) -> str:
    """Keep braces in a file's name from `ModelCheckpoint`, which fills them in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _prepare_outputs(save: Path | None, plots: Path | None) -> None:
    """Find out before the training, not after it, what could not be written."""
    _check_folder("--save", save)
    if plots is not None:
        plot.check_installed()
        plots.mkdir(parents=True, exist_ok=True)


def _check_folder(option: str, file: Path | None) -> None:
    if file is not None and not file.resolve().parent.is_dir():
        raise FileNotFoundError(f"{option} must name a file in an existing folder, got {file}")
    if file is not None and file.is_dir():
        raise IsADirectoryError(f"{option} must name a file, got the folder {file}")
