import ast
import subprocess
import sys
from pathlib import Path

import pytest

import specjax

PACKAGE = Path(specjax.__file__).parent

# A module imports only from those above it (DESIGN, section 5).
LAYERS = [
    "_values",
    "_check",
    "quadrature",
    "rational",
    "grouping",
    "response",
    "basis",
    "noise_bases",
    "noise",
    "noise_families",
    "estimate",
    "mesh_sums",
    "moments",
    "shift",
    "lowrank",
    "intervals",
    "spectrum",
    "effective",
    "bootstrap",
    "power_law",
    "units",
    "schedule",
    "steps",
    "samplers",
    "denoisers",
    "transfer",
    "losses",
    "objective",
    "spectral",
    "monotone",
    "descent",
    "gain_descent",
    "limits",
    "optimizers",
    "problem",
    "noise_problem",
    "grids",
    "timesteps",
    "families",
    "result",
    "corrections",
    "plan_result",
    "documents",
    "noise_file",
    "schedule_file",
    "plan_file",
    "sample",
    "programs",
    "generate",
    "probe",
    "probe_bands",
    "fit",
    "noise_fit",
    "compare",
    "io",
    "forward_noise",
    "interop",
    "cluster",
    "export",
    "sample_files",
    "data",
    "priors",
    "learning",
    "sweep",
    "nn",
    "evaluate",
    "report_probe",
    "report_plan",
    "report_noise",
    "plots",
    "report",
    "report_spectrum",
    "report_sweep",
    "report_recommend",
    "report_evaluate",
    "report_learn",
    "console",
    "cli",
]
FILES = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def layer(path):
    """The module or package below specjax that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Layers that a file imports from, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "specjax":
                yield name.split(".")[1] if "." in name else "the package itself"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_import_only_from_above(path):
    own = layer(path)
    assert own in LAYERS, f"{own} has no place in the order of the layers"
    allowed = LAYERS[: LAYERS.index(own) + 1]
    for name in imported(path):
        assert name in allowed, f"{own} imports {name}, which is below it"


def test_importing_the_package_is_light():
    heavy = (
        "diffusers", "equinox", "flax", "matplotlib", "optax", "orbax", "pandas", "PIL", "pyarrow",
        "pywt", "rich", "sklearn", "soundfile", "soxr", "tensorboardX", "tensorflow_datasets",
        "torch", "tyro",
    )  # fmt: skip
    code = f"import sys, specjax; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
