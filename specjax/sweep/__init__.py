"""Sweeps: fits by the hundred thousand.

``spec`` says what is fitted, ``solve`` fits it in batches over all devices, ``store`` keeps the
table, ``run`` does it all, ``recommend`` asks for the fewest steps.
"""

from specjax.sweep.run import SweepResult, sweep
from specjax.sweep.spec import Sweep

__all__ = ["Sweep", "SweepResult", "sweep"]
