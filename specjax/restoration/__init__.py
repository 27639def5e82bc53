"""Restoration: posterior sampling given a measurement, judged and learned in closed form."""
