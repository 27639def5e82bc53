import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Workers and runs share what they compile: most of the time goes there.
CACHE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# LLVM's optimisations cost a test run more than they save. They change results by rounding at most;
# XLA_FLAGS= (empty) compiles as users do.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# JAX's own default: NumPy arguments must give float64 all the same. Tests that want float64 JAX
# arrays ask for them with jax.enable_x64(True).
jax.config.update("jax_enable_x64", False)

# The same examples on every run and machine; compilation makes single examples slow.
settings.register_profile("specjax", derandomize=True, deadline=None)
settings.load_profile("specjax")


@pytest.fixture(scope="module", autouse=True)
def forget_compilations() -> Iterator[None]:
    """Each compiled program takes memory maps, of which Linux allows a process 65,530."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[1] / "../shared/data"
    folder = Path(os.environ.get("SPECJAX_DATA", beside)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set SPECJAX_DATA to the folder of the datasets")
    return folder


@pytest.fixture
def beside_the_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``experiments`` can be imported, as from the root of a checkout, and is forgotten again."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1])
    yield
    for name in [x for x in sys.modules if x.split(".")[0] == "experiments"]:
        del sys.modules[name]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in an empty folder: (exit code, standard output, standard error)."""
    from specjax.cli import main

    monkeypatch.chdir(tmp_path)
    # JAX runs already, and its devices are what they are.
    monkeypatch.setattr("specjax._core.distributed.use_all_cores", lambda devices=None: None)

    def command(*args: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(arg) for arg in args])
        except SystemExit as error:
            code = int(error.code or 0)
        return code, *capsys.readouterr()

    return command
