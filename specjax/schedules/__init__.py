"""Noise schedules: levels, families, training grids and whole timesteps."""
