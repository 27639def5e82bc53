"""Inception's features by torch-fidelity, for the real FID, with weights that the user gives.

Nothing is downloaded. The preprocessing is that of the published FID: samples in [-1, 1] become
uint8 by ``round(127.5 (x + 1))`` clipped to 0..255, grey is repeated to RGB, and torch-fidelity's
network resizes to 299x299 by TensorFlow 1's bilinear interpolation and takes (x - 128) / 128. The
features are its 2,048 averages before the classes.

Numbers are called FID only where the weights are the published ones
(pt_inception-2015-12-05-6726825d.pth), known by their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files

FID = "FID"

PUBLISHED = "6726825d"
"""How the SHA-256 of the published weights begins; it is part of the file's name."""

LAYER = "2048"

_BATCH = 64

_SAID = 160  # characters of an error that may list a thousand names


@dataclass(frozen=True, eq=False)
class Inception:
    """The pooled features [n, 2048] of torch-fidelity's Inception network.

    Attributes:
      network: torch-fidelity's, in evaluation mode. device: where it runs.
      source: provenance: file, sha256, versions.
    """

    network: Any
    device: str
    source: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What they are, in words."""
        return f"Inception with the weights {self.source['file']}"

    @property
    def distance_name(self) -> str:
        """What the Fréchet distance on them is called: FID with the published weights alone."""
        return FID if self.is_inception else f"feature Fréchet ({self.name})"

    @property
    def is_inception(self) -> bool:
        """Whether that distance is the FID."""
        return bool(self.source["sha256"].startswith(PUBLISHED))

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse samples that are no images.

        Raises:
          ValueError: for those.
        """
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
            raise ValueError(
                f"samples have shape {tuple(shape)}: Inception takes images [H, W], [H, W, 1] or "
                "[H, W, 3]"
            )

    def __call__(self, samples: Any) -> np.ndarray:
        """Features [n, 2048] (float32) of images [n, H, W] or [n, H, W, 1 or 3] in [-1, 1].

        Raises:
          ValueError: for what are no images, or not finite.
        """
        import torch

        pixels = to_pixels(samples)
        parts = []
        for start in range(0, len(pixels), _BATCH):
            batch = np.ascontiguousarray(pixels[start : start + _BATCH].transpose(0, 3, 1, 2))
            with torch.inference_mode():
                (found,) = self.network(torch.from_numpy(batch).to(self.device))
            parts.append(found.cpu().numpy())
        return np.concatenate(parts)


def to_pixels(samples: Any) -> np.ndarray:
    """Images in [-1, 1] as RGB of 8 bits [n, H, W, 3]; see the module for the rounding.

    Raises:
      ValueError: for another shape or dtype, NaN or infinite values.

    Example:
      >>> to_pixels(np.array([[[-1.0, 0.0, 2.0]]]))[0, 0, :, 0]
      array([  0, 128, 255], dtype=uint8)
    """
    array = np.asarray(samples)
    array = array[..., None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise ValueError(
            f"samples have shape {np.shape(samples)}: Inception takes images [n, H, W], "
            "[n, H, W, 1] or [n, H, W, 3]"
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"samples have dtype {array.dtype}: give floats in [-1, 1]")
    if not np.isfinite(array).all():
        raise ValueError("samples have NaN or infinite values: Inception needs finite ones")
    pixels = np.clip(np.rint(127.5 * (array + 1)), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def open_inception(weights: str | os.PathLike[str], *, device: str | None = None) -> Inception:
    """torch-fidelity's Inception network with the weights in a file.

    Args:
      weights: pt_inception-2015-12-05-6726825d.pth, from torch-fidelity's or pytorch-fid's release
        page. device: as torch calls it; by default a GPU where there is one.

    Raises:
      ValueError: if the file is missing, damaged or holds other weights; if torch or
        torch-fidelity is not installed.
    """
    path = Path(weights)
    content = files.read_bytes(path)
    torch, extractor = _libraries()
    state = _state(torch, content, path)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        # Weights are always given: without them torch-fidelity would download some.
        network = extractor("inception-v3-compat", [LAYER], feature_extractor_weights_path=buffer)
    except (RuntimeError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:_SAID]
        raise ValueError(f"{path} has other weights than Inception's for the FID: {said}") from None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Inception(network.to(device).eval(), device, _source(path, content))


def _libraries() -> tuple[Any, Any]:
    """torch, and torch-fidelity's network."""
    try:
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ValueError(
            "the FID needs torch and torch-fidelity, not installed here: pip install 'specjax[fid]'"
        ) from None
    return torch, FeatureExtractorInceptionV3


def _state(torch: Any, content: bytes, path: Path) -> Any:
    """The weights in a file. torch-fidelity would also run code that a file holds: not here."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can fail anywhere in its parser
        raise ValueError(
            f"{path} is no file of weights (PyTorch tensors and nothing else), or is damaged"
        ) from None
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} is no file of weights: it holds a {type(state).__name__}")
    return state


def _source(path: Path, content: bytes) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "layer": LAYER,
        "versions": {name: version(name) for name in ("torch", "torch-fidelity")},
    }
