"""Shifts of flow-matching schedules that a spectrum names, beside customary ones, on networks."""
