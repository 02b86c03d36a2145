"""One way down: layer -> functional -> _core -> C op -> kernel, each level seeing the one below only."""

import ast
import re
from pathlib import Path

import pytest

from fastconv import _core

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, CSRC = ROOT / "fastconv", ROOT / "csrc"
KERNELS = CSRC / "kernels"

if not CSRC.is_dir():
    pytest.skip("the sources are not here", allow_module_level=True)

PYTHON_FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "_core.py")
C_FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PYTHON_FILES}


def imports(path, top_level_only=False):
    """Return the modules that a Python file imports, those named after `from package import` included."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and getattr(guard.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(guard)
    }
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in names if name in MODULES or name.endswith("._core")]
            found.update(known)
            if len(known) < len(names):
                found.add(node.module)
    return found


def package_imports(path):
    return {name for name in imports(path) if name.split(".")[0] == "fastconv"}


def belongs(name, package):
    return name == package or name.startswith(package + ".")


def code(path):
    """Return C without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', code(path), flags=re.MULTILINE)


def files_with(pattern):
    return {path.relative_to(CSRC).as_posix() for path in C_FILES if re.search(pattern, code(path))}


class TestPython:
    def test_only_functions_and_configuration_import_the_core(self):
        users = {name for name, path in MODULES.items() if "fastconv._core" in imports(path)}
        assert users
        assert {name for name in users if not belongs(name, "fastconv.functional")} == {
            "fastconv._config",
            "fastconv._memory",
            "fastconv.bench.own",
        }

    def test_functions_import_the_level_below_only(self):
        below = {"_core", "_checks", "_memory", "_random", "geometry"}
        for name, path in MODULES.items():
            if belongs(name, "fastconv.functional"):
                others = {used for used in package_imports(path) if not belongs(used, "fastconv.functional")}
                assert {used.split(".")[1] for used in others} <= below, name

    @pytest.mark.parametrize("name", ["fastconv.geometry._forms", "fastconv._checks", "fastconv.testing"])
    def test_module_stands_alone(self, name):
        assert package_imports(MODULES[name]) <= {"fastconv._memory"}

    def test_reference_stands_alone_and_nothing_but_tests_uses_it(self):
        for name, path in MODULES.items():
            others = {used for used in package_imports(path) if not belongs(used, "fastconv.reference")}
            if belongs(name, "fastconv.reference"):
                assert others == set(), name
            else:
                assert others == package_imports(path), name

    def test_layers_import_functions_and_know_no_model(self):
        below = {
            "functional",
            "layers",
            "activations",
            "initializers",
            "geometry",
            "_checks",
            "_configurable",
            "_memory",
            "_numbers",
            "_random",
            "_weights",
            "regularizers",
            "graph",
        }
        for name, path in MODULES.items():
            if belongs(name, "fastconv.layers"):
                assert {used.split(".")[1] for used in package_imports(path)} <= below, name

    def test_modules_do_not_import_each_other_in_a_circle(self):
        graph = {
            name: {used for used in imports(path, top_level_only=True) if used in MODULES and used != "fastconv"}
            for name, path in MODULES.items()
        }
        while graph:
            leaves = {name for name, used in graph.items() if not used & graph.keys() - {name}}
            assert leaves, f"a circle among {sorted(graph)}"
            graph = {name: used for name, used in graph.items() if name not in leaves}

    def test_heavy_packages_are_imported_where_they_are_used(self):
        heavy = {"PIL", "matplotlib", "pooch", "scipy", "sklearn", "torch", "tqdm"}
        for name, path in MODULES.items():
            assert not {used.split(".")[0] for used in imports(path, top_level_only=True)} & heavy, name

    def test_cython_sees_the_public_header_only(self):
        text = (PACKAGE / "_core.pyx").read_text()
        headers = re.findall(r'cdef extern from ["<]([^">]+)[">]', text)
        assert {header for header in headers if not header.startswith("std")} == {"fastconv.h"}
        assert "cimport numpy" not in text


class TestC:
    def test_there_are_sources_to_look_at(self):
        assert {"fastconv.h", "internal.h", "kernels/kernels.h", "kernels/simd.h"} <= files_with(r"\w")

    def test_kernels_include_kernels_only(self):
        """The types of the public header apart, which kernels.h takes from there, and the masks of simd.h."""
        standard = {"math.h", "stddef.h", "stdint.h", "string.h", "assert.h", "float.h", "limits.h"}
        others = {("kernels.h", "../fastconv.h"), ("simd.h", "immintrin.h")}
        for path in KERNELS.iterdir():
            if path.suffix not in (".c", ".h"):
                continue
            for header in includes(path):
                own = (KERNELS / header).exists()
                known = own or header in standard or (path.name, header) in others
                assert known, f"{path.name} includes {header}"

    def test_operations_include_internal_h_only(self):
        """Or the header that some files of one subject share, which includes it."""
        parts = set(includes(CSRC / "internal.h"))
        shared = {path.name for path in CSRC.glob("*.h")} - parts - {"fastconv.h", "internal.h"}
        assert all(includes(CSRC / header) == ["internal.h"] for header in shared)
        for path in CSRC.glob("*.c"):
            own = [header for header in includes(path) if (CSRC / header).exists()]
            assert len(own) == 1, path.name
            assert own[0] in shared | {"internal.h"}, path.name

    def test_parts_of_internal_h_are_used_through_it(self):
        """They include each other, each what it builds on; support.h alone what is outside."""
        parts = set(includes(CSRC / "internal.h"))
        outside = set(includes(CSRC / "support.h"))
        assert {"fastconv.h", "kernels/kernels.h"} <= outside
        for header in parts - {"support.h"}:
            assert set(includes(CSRC / header)) <= parts - {header}, header

    def test_public_header_includes_no_other(self):
        assert includes(CSRC / "fastconv.h") == ["stddef.h", "stdint.h"]

    def test_operations_know_no_instruction_set(self):
        """dispatch.c chooses one, threads.c sets its floating-point mode; no other file asks which there is."""
        users = files_with(r"__(AVX|SSE|FMA|ARM|aarch64|x86_64|i386)|\b_mm\w*|immintrin|arm_neon|cpu_supports")
        assert {name for name in users if not name.startswith("kernels/")} <= {"dispatch.c", "threads.c"}

    def test_choose_c_decides_about_every_algorithm(self):
        algorithms = re.search(r"enum \{([^}]*)\} fcv_algorithm;", code(CSRC / "fastconv.h"))[1]
        names = re.findall(r"FCV_\w+", algorithms)
        assert [name.removeprefix("FCV_").lower() for name in names] == [*_core.ALGORITHMS, "algorithms"]
        choose = code(CSRC / "choose.c")
        assert [name for name in names[:-1] if not re.search(rf"case {name}:", choose)] == []

    def test_only_choose_c_knows_of_precision(self):
        assert files_with(r"fcv_[gs]et_strict") == {"choose.c", "fastconv.h"}

    def test_only_threads_c_knows_openmp(self):
        assert files_with(r"#\s*pragma\s+omp|\bomp_\w+|omp\.h|_OPENMP") == {"threads.c"}

    def test_only_scratch_c_allocates(self):
        allocation = (
            r"\b(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|mmap|munmap|alloca|free|strdup)\s*\("
        )
        assert files_with(allocation) == {"scratch.c"}

    def test_only_simd_h_has_vector_types(self):
        assert files_with("vector_size") == {"kernels/simd.h"}

    def test_nothing_prints_or_ends_the_process(self):
        assert files_with(r"\b(printf|fprintf|puts|putchar|perror|abort|exit|_exit|raise)\s*\(") == set()

    def test_no_code_is_switched_off(self):
        assert files_with(r"#\s*if\s+0\b") == set()


class TestBuild:
    FILES = ("setup.py", "pyproject.toml", "Makefile", ".ci/run")

    def test_build_files_are_there(self):
        assert [name for name in self.FILES if not (ROOT / name).is_file()] == []

    @pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-march=native", "-mtune=native", "-flto"])
    def test_no_file_of_the_build_uses_a_flag_that_changes_results_or_processes(self, flag):
        for name in self.FILES:
            without_comments = re.sub(r"#.*", "", (ROOT / name).read_text())
            assert not re.search(rf"{flag}\b", without_comments), name
