from . import limits

__all__ = ["limits"]
