"""Number of threads, lazy imports and the report of the configuration."""

import os
import subprocess
import sys

import pytest

import fastconv as fc
from fastconv import _config, _core


def run(code, **environ):
    """Return what a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return result.stdout + result.stderr


@pytest.fixture
def machine(monkeypatch):
    """Set the CPUs of the affinity mask and of the cgroup's quota."""

    def pretend(affinity, quota):
        monkeypatch.setattr(_config, "_affinity", lambda: affinity)
        monkeypatch.setattr(_config, "_cgroup_quota", lambda: quota)

    pretend(8, 1024)
    return pretend


class TestDefaultThreads:
    def test_own_variable_comes_first(self, machine):
        assert _config.default_threads({"FASTCONV_NUM_THREADS": " 3 ", "OMP_NUM_THREADS": "5"}) == 3

    @pytest.mark.parametrize("value", ["5", " 5 ", "5,2", "5 , 2 , 1"])
    def test_openmp_variable_comes_second(self, machine, value):
        assert _config.default_threads({"OMP_NUM_THREADS": value, "FASTCONV_NUM_THREADS": ""}) == 5

    @pytest.mark.parametrize(
        ("affinity", "quota", "expected"), [(8, 1024, 8), (8, 2, 2), (2, 4, 2), (5000, 1024, 1024)]
    )
    def test_the_smaller_of_affinity_and_quota_comes_last(self, machine, affinity, quota, expected):
        machine(affinity, quota)
        assert _config.default_threads({}) == expected

    @pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1025", "4,2", "²"])
    def test_bad_own_variable_is_an_error(self, machine, value):
        with pytest.raises(ValueError, match=f"FASTCONV_NUM_THREADS must be a number from 1 to 1024, got '{value}'"):
            _config.default_threads({"FASTCONV_NUM_THREADS": value})

    @pytest.mark.parametrize("value", ["0", "two", ",4"])
    def test_bad_openmp_variable_is_a_warning(self, machine, value):
        with pytest.warns(RuntimeWarning, match=f"OMP_NUM_THREADS must be .*, got '{value}'; ignored"):
            assert _config.default_threads({"OMP_NUM_THREADS": value}) == 8

    def test_variable_reaches_the_core_at_import(self):
        assert run("import fastconv; print(fastconv.get_num_threads())", FASTCONV_NUM_THREADS="3") == "3\n"

    def test_bad_variable_stops_the_import(self):
        assert "ValueError: FASTCONV_NUM_THREADS must be" in run("import fastconv", FASTCONV_NUM_THREADS="many")


class TestCgroup:
    """Each case: lines of /proc/self/cgroup, files below the mount, CPUs."""

    NO_QUOTA = 1024

    @pytest.mark.parametrize(
        ("membership", "files", "expected"),
        [
            pytest.param("0::/app", {"app/cpu.max": "200000 100000"}, 2, id="v2"),
            pytest.param("0::/app", {"app/cpu.max": "max 100000"}, NO_QUOTA, id="v2-unlimited"),
            pytest.param("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3, id="v2-parent"),
            pytest.param("0::/", {"cpu.max": "400000 100000"}, 4, id="v2-namespace"),
            pytest.param("0::/../../x", {"cpu.max": "400000 100000"}, 4, id="v2-outside-of-the-namespace"),
            pytest.param("0::/app", {"app/cpu.max": "250000 100000"}, 2, id="fraction-rounds-down"),
            pytest.param("0::/app", {"app/cpu.max": "50000 100000"}, 1, id="at-least-one"),
            pytest.param("0::/app", {"app/cpu.max": "rubbish"}, NO_QUOTA, id="unreadable"),
            pytest.param(
                "4:memory:/m\n3:cpu,cpuacct:/app\n0::/",
                {"cpu,cpuacct/app/cpu.cfs_quota_us": "150000", "cpu,cpuacct/app/cpu.cfs_period_us": "50000"},
                3,
                id="v1",
            ),
            pytest.param(
                "1:cpu:/docker/0123",
                {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"},
                2,
                id="v1-container-mounts-its-own-group",
            ),
            pytest.param(
                "1:cpu:/app",
                {"cpu/app/cpu.cfs_quota_us": "-1", "cpu/app/cpu.cfs_period_us": "100000"},
                NO_QUOTA,
                id="v1-unlimited",
            ),
            pytest.param("5:cpuset:/app", {"cpuset/app/cpu.max": "100000 100000"}, NO_QUOTA, id="other-controller"),
            pytest.param("", {}, NO_QUOTA, id="no-cgroups"),
        ],
    )
    def test_quota_is_found(self, tmp_path, membership, files, expected):
        (tmp_path / "self").write_text(membership)
        for name, content in files.items():
            path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
        assert _config._cgroup_quota(str(tmp_path / "self"), str(tmp_path / "mount")) == expected


class TestSetNumThreads:
    @pytest.fixture(autouse=True)
    def restore(self):
        before = _core.get_threads()
        yield
        _core.set_threads(before)

    def test_plain_call_stays(self):
        fc.set_num_threads(3)
        assert fc.get_num_threads() == 3

    def test_with_restores_even_after_an_error(self):
        fc.set_num_threads(3)
        scope = fc.set_num_threads(2)
        with pytest.raises(ZeroDivisionError), scope:
            _ = fc.get_num_threads() // (fc.get_num_threads() - 2)
        assert fc.get_num_threads() == 3

    @pytest.mark.parametrize("n", [0, -1, 1025])
    def test_number_out_of_range(self, n):
        with pytest.raises(ValueError, match=f"set_num_threads: n must be from 1 to 1024, got {n}"):
            fc.set_num_threads(n)

    @pytest.mark.parametrize("n", [1.0, "2", None, True])
    def test_not_an_integer(self, n):
        with pytest.raises(TypeError, match="set_num_threads: n must be an integer, got "):
            fc.set_num_threads(n)


class TestPackage:
    def test_show_config_names_what_runs(self, capsys):
        with fc.set_num_threads(2):
            fc.show_config()
        text = capsys.readouterr().out
        assert text.startswith(f"fastconv {fc.__version__}\n")
        for value in (_core.isa(), _core.compiler(), *_core.kernels()):
            assert value in text
        assert "threads          2\n" in text

    def test_import_loads_no_more_than_functions(self):
        heavy = {
            "tqdm",
            "scipy",
            "matplotlib",
            "sklearn",
            "pooch",
            "PIL",
            "numpy.ma",
            "fastconv.layers",
            "fastconv.models",
        }
        loaded = run("import sys, fastconv; print(*sys.modules)").split()
        assert "fastconv.functional.conv" in loaded
        assert not heavy & set(loaded)

    @pytest.mark.parametrize("name", fc.__all__)
    def test_every_public_name_is_there(self, name):
        assert getattr(fc, name) is getattr(fc, name)
        assert name in dir(fc)

    def test_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="module 'fastconv' has no attribute 'Convolution'"):
            fc.Convolution  # noqa: B018
