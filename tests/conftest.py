import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import settings

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
