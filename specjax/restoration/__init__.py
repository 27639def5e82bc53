"""Restoration: posterior sampling given a measurement, judged and learned in closed form."""

from specjax.restoration import measure as measure
