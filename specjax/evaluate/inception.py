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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.evaluate.feature_spaces import finite_float32

PUBLISHED = "6726825d"
"""How the SHA-256 of the published weights begins; it is part of the file's name."""

LAYER = "2048"

_BATCH = 64
_MESSAGE_LENGTH = 160
_WEIGHTS_BYTES = 2**30  # that the file may hold; Inception's has 96 million
"""Characters of torch's error message that are shown: it may list a thousand names."""


@dataclass(frozen=True, eq=False)
class Inception:
    """The pooled features [n, 2048] of torch-fidelity's Inception network.

    They are :class:`specjax.evaluate.Features`.

    Attributes:
      network: torch-fidelity's, in evaluation mode. device: where it runs.
      source: provenance: file, sha256, versions.
    """

    network: Any
    device: str
    source: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A description of the features."""
        return f"Inception with the weights {self.source['file']}"

    @property
    def distance_name(self) -> str:
        """The name of the Fréchet distance on them: FID with the published weights alone."""
        is_published = self.source["sha256"].startswith(PUBLISHED)
        return "FID" if is_published else f"feature Fréchet ({self.name})"

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise a UserError for samples that are no images."""
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
            raise UserError(
                f"samples have shape {tuple(shape)}: Inception takes images [H, W], [H, W, 1] or "
                "[H, W, 3]"
            )

    def __call__(self, samples: Any) -> np.ndarray:
        """Map images [n, H, W] or [n, H, W, 1 or 3] in [-1, 1] to features [n, 2048] (float32).

        Raises:
          UserError: for what are no images, or not finite.
        """
        samples = finite_float32(samples)
        self.check_shape(samples.shape[1:])
        torch, pixels = import_extra("torch", "evaluate", "the FID"), to_pixels(samples)
        parts = []
        for start in range(0, len(pixels), _BATCH):
            batch = np.ascontiguousarray(pixels[start : start + _BATCH].transpose(0, 3, 1, 2))
            with torch.inference_mode():
                (features,) = self.network(torch.from_numpy(batch).to(self.device))
            parts.append(features.cpu().numpy())
        return np.concatenate(parts)


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Convert images [n, H, W] or [n, H, W, 1 or 3] in [-1, 1] to RGB of 8 bits [n, H, W, 3].

    Example:
      >>> to_pixels(np.array([[[-1.0, 0.0, 2.0]]]))[0, 0, :, 0]
      array([  0, 128, 255], dtype=uint8)
    """
    images = images[..., None] if images.ndim == 3 else images
    pixels = np.clip(np.rint(127.5 * (images + 1)), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def open_inception(weights: str | os.PathLike[str], *, device: str | None = None) -> Inception:
    """Open torch-fidelity's Inception network with the weights in a file.

    Args:
      weights: pt_inception-2015-12-05-6726825d.pth, from torch-fidelity's or pytorch-fid's release
        page. device: as torch calls it; by default a GPU where there is one.

    Raises:
      UserError: if the file is missing, damaged or holds other weights; if torch or torch-fidelity
        is not installed.
    """
    path = Path(weights)
    content = files.read_bytes(path, _WEIGHTS_BYTES)
    torch = import_extra("torch", "evaluate", "the FID")
    fidelity = import_extra("torch_fidelity.feature_extractor_inceptionv3", "evaluate", "the FID")
    buffer = io.BytesIO()
    torch.save(_load_weights(torch, content, path), buffer)
    buffer.seek(0)
    try:
        # Weights are always given: without them torch-fidelity would download some.
        network = fidelity.FeatureExtractorInceptionV3(
            "inception-v3-compat", [LAYER], feature_extractor_weights_path=buffer
        )
    except (RuntimeError, TypeError, AttributeError) as error:  # of load_state_dict
        reason = " ".join(str(error).split())[:_MESSAGE_LENGTH]
        raise UserError(
            f"{path} has other weights than Inception's for the FID: {reason}"
        ) from None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    source = {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "layer": LAYER,
        "versions": {name: version(name) for name in ("torch", "torch-fidelity")},
    }
    return Inception(network.to(device).eval(), device, source)


def _load_weights(torch: Any, content: bytes, path: Path) -> Any:
    """Load the weights in a file, and none of the code that torch-fidelity itself would run."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # PyTorch's readers raise errors of many types for a file that is not theirs
        raise UserError(
            f"{path} is no file of weights (PyTorch tensors and nothing else), or is damaged"
        ) from None
    if not isinstance(state, Mapping):
        raise UserError(f"{path} is no file of weights: it holds a {type(state).__name__}")
    return state
