"""Sweeps: fits by the hundred thousand.

``spec`` says what is fitted, ``files`` reads that from TOML, ``solve`` fits it in batches over all
devices, ``store`` keeps the table, ``run`` does it all, ``recommend`` asks for the fewest steps.
"""

from specjax.sweep.axes import Sweep
from specjax.sweep.recommend import Recommendation, recommend
from specjax.sweep.run import SweepResult, sweep

__all__ = ["Recommendation", "Sweep", "SweepResult", "recommend", "sweep"]
