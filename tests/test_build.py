"""What is installed, and what importing it costs."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import fastconv as fc

ROOT = Path(__file__).parents[1]
# Each would cost more than `import fastconv` may.
HEAVY = ["Cython", "matplotlib", "PIL", "pooch", "pytest", "scipy", "setuptools", "sklearn", "torch", "tqdm"]
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def built(pattern: str) -> Path:
    """Return the package in dist/ that was built from this version, or skip."""
    packages = sorted((ROOT / "dist").glob(pattern))
    if not packages:
        pytest.skip(f"no dist/{pattern}: python -m build makes it")
    return packages[-1]


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has loaded after `code`."""
    code += "\nimport json, sys; print(json.dumps(list({name.split('.')[0] for name in sys.modules})))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(json.loads(output))


def test_import_loads_nothing_heavy_but_numpy():
    assert not modules_after("import fastconv") & set(HEAVY)


def test_layers_and_models_load_nothing_heavy_but_numpy():
    code = "import fastconv as fc, fastconv.layers\nfc.Sequential, fc.load_model, fc.datasets, fc.plot"
    assert not modules_after(code) & set(HEAVY)


def test_import_loads_few_modules_of_its_own():
    code = "import numpy, sys; before = set(sys.modules); import fastconv; print(len(set(sys.modules) - before))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(output) <= 45


def test_metadata_matches_the_package():
    try:
        version = importlib.metadata.version("fastconv")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fastconv is imported from its sources, not installed")
    assert version == fc.__version__
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fastconv")
    assert script.value == "fastconv.cli:main"


def test_runtime_dependencies_are_numpy_and_tqdm(project):
    names = {re.split(r"[<>=!~ ;\[]", requirement)[0] for requirement in project["project"]["dependencies"]}
    assert names == {"numpy", "tqdm"}


def test_changelog_has_this_version():
    changelog = ROOT / "CHANGELOG.md"
    assert f"## {fc.__version__}" in changelog.read_text()


def test_package_is_typed():
    package = Path(fc.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()


def test_compiled_module_does_not_need_numpy_to_load():
    code = f"""
import importlib.util, sys
path = {fc._core.__file__!r}
spec = importlib.util.spec_from_file_location("_core", path)
spec.loader.exec_module(importlib.util.module_from_spec(spec))"""
    assert "numpy" not in modules_after(code)


def test_wheel_is_small_and_holds_no_sources():
    wheel = built(f"fastconv-{fc.__version__}-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < 3 * MEBIBYTE
    assert {Path(name).suffix for name in names if name.startswith("fastconv/")} <= {".py", ".pyi", ".so", ".typed"}
    assert {name.split("/")[0] for name in names} == {"fastconv", f"fastconv-{fc.__version__}.dist-info"}
    assert sum(name.endswith(".so") for name in names) == 1


def test_sdist_holds_what_a_build_and_its_tests_need():
    with tarfile.open(built(f"fastconv-{fc.__version__}.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"Makefile", "setup.py", "pyproject.toml", "LICENSE", "README.md", "fastconv/_core.pyx", "bench/run.py"}
    needed |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").rglob("*.[ch]")}
    needed |= {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.[pc]*") if path.suffix in (".py", ".c")
    }
    assert needed <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]
