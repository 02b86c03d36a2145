"""Builds and runs the C tests: operations and kernels with no Python in the process, a guard page beside every array.

    python tests/c/ctests.py                          plain
    python tests/c/ctests.py --sanitize               under AddressSanitizer and UndefinedBehaviorSanitizer
    python tests/c/ctests.py --lowered                AVX-512's kernels on a CPU that has AVX2 only
    python tests/c/ctests.py --cc aarch64-linux-gnu-gcc --static --runner qemu-aarch64-static

Nothing is installed; objects and programs stay in build/tests-c.
"""

import argparse
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path("tests/c")
HALVED = "conv"  # takes most of the time: its halves run at once
ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign")
# -O1: above, an instance file of the kernels takes 8 minutes to compile, not 1.5.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
# Fresh memory holds NaN in both types, so that a result that depends on it is seen.
ENVIRONMENT = {
    "MALLOC_PERTURB_": "1",
    "OMP_WAIT_POLICY": "passive",  # more threads than cores, which would spin while they wait for each other
    "ASAN_OPTIONS": "max_malloc_fill_size=1000000000:malloc_fill_byte=255:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}

sys.path.insert(0, str(ROOT))
from setup import AVX2, C_FLAGS, c_sources  # noqa: E402

LOWERED = "-DFCV_LOWERED"


def compile_all(compiler: list[str], flags: list[str], folder: Path) -> dict[str, Path]:
    """Compile the core and the tests into `folder`, what changed only; return the object of each file by its name."""
    sources = c_sources(compiler)
    if LOWERED in flags:
        sources[Path("csrc/kernels/isa_avx512.c")] = [*C_FLAGS, *AVX2, "-Wno-psabi", "-O1"]
    sources |= {path: [*C_FLAGS, "-O2"] for path in sorted(TESTS.glob("*.c"))}
    headers = [path for place in ("csrc", "tests/c") for path in Path(place).rglob("*.h")]
    newest = max(path.stat().st_mtime for path in [*headers, Path("setup.py"), Path(__file__)])

    def compile_one(source: Path, own_flags: list[str]) -> Path:
        target = folder / source.with_suffix(".o").name
        if not target.exists() or target.stat().st_mtime < max(newest, source.stat().st_mtime):
            subprocess.run([*compiler, *own_flags, *flags, "-Werror", "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = pool.map(compile_one, sources, sources.values())
    return {source.name: target for source, target in zip(sources, objects, strict=True)}


def run_tests(args: argparse.Namespace, compiler: list[str], flags: list[str], folder: Path) -> list[str]:
    """Compile, link and run; return the names of the tests that failed."""
    objects = compile_all(compiler, flags, folder)
    tests = {name.removeprefix("test_").removesuffix(".c"): name for name in objects if name.startswith("test_")}
    shared = [target for name, target in objects.items() if name not in tests.values()]
    # An emulator takes some fifty times as long.
    environment = ({"FASTCONV_TEST_EVERY": "6"} if args.runner else {}) | ENVIRONMENT | os.environ

    def passes(run: tuple[str, dict[str, str]]) -> bool:
        test, variables = run
        command = [*shlex.split(args.runner), folder / test]
        return subprocess.run(command, env=environment | variables).returncode == 0

    runs: list[tuple[str, dict[str, str]]] = []
    for test in args.tests or tests:
        link = [*flags, *(["-static"] if args.static else [])]
        if test == "memory":
            link += [f"-Wl,--wrap={name}" for name in ALLOCATORS]
        program = [*compiler, *link, *shared, objects[tests[test]], "-lm", "-lpthread", "-o", folder / test]
        subprocess.run(program, check=True)
        runs += [(test, {"FASTCONV_TEST_HALF": half}) for half in "01"] if test == HALVED else [(test, {})]
    with ThreadPoolExecutor(max_workers=2) as pool:
        passed = list(pool.map(passes, runs))
    return sorted({test for (test, _), right in zip(runs, passed, strict=True) if not right})


def main() -> int:
    """Return 0 if all tests passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"), help="compiler command")
    parser.add_argument("--sanitize", action="store_true", help="AddressSanitizer and UndefinedBehaviorSanitizer")
    parser.add_argument("--static", action="store_true", help="link statically")
    parser.add_argument("--lowered", action="store_true", help="compile AVX-512's kernels for AVX2")
    parser.add_argument("--no-openmp", action="store_true", help="build for one thread")
    parser.add_argument("--runner", default="", help="command that runs the programs: an emulator, valgrind")
    parser.add_argument("tests", nargs="*", help="names such as conv; all by default")
    args = parser.parse_args()

    os.chdir(ROOT)
    compiler = shlex.split(args.cc)
    flags = [*(SANITIZE if args.sanitize else []), *([] if args.no_openmp else ["-fopenmp"])]
    flags += [LOWERED] if args.lowered else []
    options = [name for name in ("sanitize", "static", "lowered", "no_openmp") if vars(args)[name]]
    variant = "-".join([Path(compiler[-1]).name, *options])
    folder = Path("build", "tests-c", variant)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        failed = run_tests(args, compiler, flags, folder)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"C tests ({variant}): " + (f"FAILED: {', '.join(failed)}" if failed else "all passed"))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
