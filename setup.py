"""Builds fastconv._core: csrc/ compiled once, csrc/kernels/ once per instruction set, each file with its own flags.

Everything else about the package is in pyproject.toml. ``ISA_FLAGS`` is the only place that names the flags of an
instruction set; tests/c/ctests.py imports it from here.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

CSRC = Path("csrc")

# No -ffast-math: linking it would turn subnormals off for the user's whole process. No -march=native: what is built
# here runs on every CPU of the architecture. No link-time optimization: it would merge kernels across instruction sets.
# A function begins with a line of the cache, or a kernel's speed would depend on the length of the files before it.
C_FLAGS = [
    *("-O3", "-std=gnu11", "-fvisibility=hidden", "-fno-lto"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-falign-functions=64"),
    *("-Wall", "-Wextra"),
]

# Without prfchw GCC fetches lines that will be written as if they were read. A CPU that lacks it takes it for a no-op.
AVX2 = ["-mavx2", "-mfma", "-mprfchw"]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", *AVX2, "-mprefer-vector-width=512"]

# By architecture: the instance files of csrc/kernels and what each needs beyond C_FLAGS.
ISA_FLAGS: dict[str, dict[str, list[str]]] = {
    "x86_64": {"isa_baseline.c": [], "isa_avx2.c": AVX2, "isa_avx512.c": AVX512},
    "aarch64": {"isa_baseline.c": [], "isa_neon.c": []},
}
OTHER_ISA_FLAGS: dict[str, list[str]] = {"isa_baseline.c": []}


def c_sources(compiler: list[str]) -> dict[Path, list[str]]:
    """Return the C files of the core for the architecture that `compiler` builds for, each with its flags."""
    triplet = subprocess.run([*compiler, "-dumpmachine"], capture_output=True, text=True, check=True).stdout
    machine = triplet.split("-")[0].strip().replace("arm64", "aarch64")
    sources = dict.fromkeys(sorted(CSRC.glob("*.c")), C_FLAGS)
    for name, flags in ISA_FLAGS.get(machine, OTHER_ISA_FLAGS).items():
        sources[CSRC / "kernels" / name] = C_FLAGS + flags
    return sources


class BuildCore(build_ext):
    """Compiles each C file with its own flags, two at a time, and only those that changed."""

    def finalize_options(self) -> None:
        """Keep each compiler's objects in one place: an editable install would compile all anew in a temporary one."""
        super().finalize_options()
        compiler = Path(os.environ.get("CC", "cc").split()[0]).name
        platform = f"{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        self.build_temp = os.path.join("build", f"objects-{platform}-{compiler}")

    def build_extension(self, ext: Extension) -> None:
        """Check the toolchain, compile, link."""
        self._require_toolchain()
        openmp = self._openmp_flags()
        jobs = {source: [*flags, *openmp] for source, flags in c_sources(self.compiler.compiler_so).items()}
        jobs[self._cythonized(ext)] = ["-O2", "-fno-lto", f"-I{CSRC}", f"-I{sysconfig.get_path('include')}"]
        with ThreadPoolExecutor(max_workers=2) as pool:
            objects = list(pool.map(self._compiled, jobs.keys(), jobs.values()))
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), libraries=["m"], extra_postargs=openmp, build_temp=self.build_temp
        )

    def _cythonized(self, ext: Extension) -> Path:
        from Cython.Build import cythonize

        (module,) = cythonize([ext], build_dir=self.build_temp, quiet=True)
        return Path(module.sources[0])

    def _compiled(self, source: Path, flags: list[str]) -> str:
        """Return the object file of `source`, compiled if older than its command, itself or a header it may read."""
        # -g0 undoes the -g of Python's own flags, which would triple the wheel. CFLAGS come last, so that they win.
        flags = [*flags, "-g0", *shlex.split(os.environ.get("CFLAGS", ""))]
        target = Path(self.build_temp, source.with_suffix(".o").name)
        stamp = target.with_suffix(".command")
        command = shlex.join([*self.compiler.compiler_so, *flags])
        if target.exists() and stamp.exists() and stamp.read_text() == command:
            # Kernels read no other header than their own and the interface: test_architecture.py sees to it.
            of_kernels = [*(CSRC / "kernels").glob("*.h"), CSRC / "fastconv.h"]
            inputs = [source, *(of_kernels if source.parent.name == "kernels" else CSRC.rglob("*.h"))]
            if all(path.stat().st_mtime <= target.stat().st_mtime for path in inputs):
                return str(target)
        stamp.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.spawn([*self.compiler.compiler_so, *flags, "-c", str(source), "-o", str(target)])
        stamp.write_text(command)
        return str(target)

    def _compiles(self, code: str, *flags: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code)
            command = [*self.compiler.compiler_so, str(source), *flags, "-o", str(Path(folder, "probe"))]
            try:
                return subprocess.run(command, capture_output=True).returncode == 0
            except OSError:
                return False

    def _require_toolchain(self) -> None:
        if self.compiler.compiler_type == "msvc":
            raise PlatformError(
                "fastconv needs GCC or Clang, since its kernels use vector extensions that Microsoft's compiler lacks: "
                "install it under the Windows Subsystem for Linux"
            )
        name = self._compiler_name()
        if not self._compiles("int main(void) { return 0; }"):
            raise PlatformError(
                f"fastconv needs a C compiler, and {name!r} compiles nothing: install GCC (Debian, Ubuntu: "
                "apt install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install) or set CC"
            )
        if not self._compiles("#ifndef __GNUC__\n#error\n#endif", "-c"):
            raise PlatformError(f"fastconv needs GCC or Clang, and {name!r} is neither: install one and set CC to it")
        include = sysconfig.get_path("include")
        if not Path(include, "Python.h").exists():
            raise PlatformError(
                f"fastconv needs Python's headers, and {include} has no Python.h: install them (Debian, Ubuntu: "
                "apt install python3-dev; Fedora: dnf install python3-devel)"
            )

    def _openmp_flags(self) -> list[str]:
        if self._compiles("#include <omp.h>\nint main(void) { return omp_get_max_threads() == 0; }", "-fopenmp"):
            return ["-fopenmp"]
        print(
            f"note: {self._compiler_name()!r} has no OpenMP, so fastconv will use one thread "
            "(Clang on Debian, Ubuntu: apt install libomp-dev)"
        )
        return []

    def _compiler_name(self) -> str:
        return os.environ.get("CC") or self.compiler.compiler_so[0]


if __name__ == "__main__":
    setup(ext_modules=[Extension("fastconv._core", ["fastconv/_core.pyx"])], cmdclass={"build_ext": BuildCore})
