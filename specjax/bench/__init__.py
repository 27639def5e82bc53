"""The bench: what a plan learned for a denoiser gains over the samplers and schedules of others."""

from specjax.bench.bench import Bench, BenchRow, bench
from specjax.bench.measures import MEASURES
from specjax.bench.rivals import RIVALS

__all__ = ["MEASURES", "RIVALS", "Bench", "BenchRow", "bench"]
