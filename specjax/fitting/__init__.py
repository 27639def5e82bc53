"""Schedules and noises learned through the closed form, and what they are compared to."""
