import ast
import re
import subprocess
import sys
from pathlib import Path

import specjax

PACKAGE = Path(specjax.__file__).parent

# A package imports only from those before it, or beside it in braces (DESIGN, section 5).
ORDER = """_core < spectra < noise < schedules < sampling < gaussian < fitting < files
           < {data, priors} < learning < interop < {sweep, nn} < evaluate < bench < report < plots
           < explore < cli"""
LAYERS = [re.findall(r"\w+", part) for part in ORDER.split("<")]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imported(path):
    """The packages that a file imports from, at its top or inside functions."""
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


def test_packages_import_only_from_those_before_them():
    wrong = []
    for path in FILES:
        own = path.relative_to(PACKAGE).parts[0]
        allowed = {own} | {name for name, rank in RANK.items() if rank < RANK[own]}
        wrong += [f"{path}: {name}" for name in imported(path) if name not in allowed]
    assert wrong == []


def test_the_root_of_the_package_holds_public_names_only():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py"]


def test_importing_the_package_is_light():
    heavy = (
        "diffusers", "equinox", "flax", "matplotlib", "optax", "orbax", "pandas", "PIL", "pyarrow",
        "pywt", "rich", "sklearn", "soundfile", "soxr", "tensorboardX", "tensorflow_datasets",
        "torch", "tyro",
    )  # fmt: skip
    code = f"import sys, specjax; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
