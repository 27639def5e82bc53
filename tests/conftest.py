import os
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


@pytest.fixture(scope="session")
def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[1] / "../shared/data"
    folder = Path(os.environ.get("SPECJAX_DATA", beside)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set SPECJAX_DATA to the folder of the datasets")
    return folder
