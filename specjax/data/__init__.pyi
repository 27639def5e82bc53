from .band_noise import corrupted
from .builtin import BUILTIN
from .dataset import Dataset
from .in_memory import Collected, Drawn, collect, drawn, is_cache, rescaled
from .open_dataset import open
from .options import Options

__all__ = [
    "BUILTIN",
    "Collected",
    "Dataset",
    "Drawn",
    "Options",
    "collect",
    "corrupted",
    "drawn",
    "is_cache",
    "open",
    "rescaled",
]
