"""Schedules and noises learned through the closed form, and what they are compared to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["limits"])
