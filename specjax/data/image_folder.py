"""Folders of images: PNG, JPEG and WebP, upright, of one size, as uint8.

The orientation in a photograph's EXIF data is applied. What is transparent lies on white, as
viewers show it. 16-bit grey becomes 8-bit (value / 257). Of an animation the first frame is taken.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core.checks import UserError
from specjax.data import batching, folder
from specjax.data.dataset import Dataset, dataset_of_reader
from specjax.data.labels import file_classes
from specjax.data.options import Options, height_width, shard_slice

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "WEBP")
_GREY_MODES = ("1", "L", "LA", "I")
_MOST_PIXELS = 2**27  # 11,585 x 11,585
_SIZES_READ = 256  # headers that are read to find mixed sizes
_ORIENTATION = 0x0112  # of EXIF
_MODES = {"rgb": "RGB", "grey": "L"}


def open_images(root: Path, files: list[Path], options: Options) -> Dataset:
    """Open the images of a folder: [n, H, W, 3], or [n, H, W] where they are grey."""
    kept = files[shard_slice(len(files), options.shard, "files")]
    first, image = folder.first_good(root, files, load_image, options.strict)
    is_grey = image.mode.split(";")[0] in _GREY_MODES
    colour = options.colour or ("grey" if is_grey else "rgb")
    size = (image.height, image.width)
    fit = None
    if options.size is not None:
        size, fit = height_width(options.size), options.fit or "resize"

    def check_size(path: Path, own: tuple[int, int]) -> None:
        if fit is None and own != size:
            names = (folder.name_in(root, file) for file in (first, path))
            sizes = (f"{name} is {h}x{w}" for name, (h, w) in zip(names, (size, own), strict=True))
            raise folder.MixedFilesError(
                f"images have mixed sizes: {', '.join(sizes)} (height x width): give size=... "
                "(--size)"
            )

    def read(path: Path) -> np.ndarray:
        """Read one file to uint8 [1, H, W, 3] or [1, H, W]."""
        image = load_image(path)
        check_size(path, (image.height, image.width))
        return np.asarray(fit_image(_opaque(image, _MODES[colour]), size, fit))[None]

    # Mixed sizes are named before the data are too large, or too few, for something else.
    for path in kept[:: -(-len(kept) // _SIZES_READ)]:
        if fit is None and (own := _size_of(path)) is not None:
            check_size(path, own)
    reader = folder.FolderReader(
        root=root,
        files=kept,
        read=read,
        sample_shape=size if colour == "grey" else (*size, 3),
        sample_dtype=np.dtype(np.uint8),
        expected_samples=len(kept) if options.limit is None else min(options.limit, len(kept)),
        threads=batching.decoding_threads(image.width * image.height),
        limit=options.limit,
        strict=options.strict,
        file_classes=file_classes(root, files, options.label),
    )
    source: dict[str, Any] = {
        "kind": "images", "files": len(kept), "colour": colour, "pillow": version("pillow"),
    }  # fmt: skip
    source |= {"size": list(size), "fit": fit} if fit else {}
    return dataset_of_reader(root.resolve().name, reader, options, source=source)


def _size_of(path: Path) -> tuple[int, int] | None:
    """Read the (height, width) of an upright image from its header; None of a bad file."""
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return image.size if turned else image.size[::-1]
    except Exception:  # a bad file is named when it is read
        return None


def load_image(path: Path) -> Image:
    """Load an image, decoded and upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=_FORMATS) as image:
            check_pixels(image)
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError("is not a PNG, JPEG or WebP image") from None


def read_picture(path: str | os.PathLike[str], *, colour: bool) -> np.ndarray:
    """Read one picture as an array [height, width] or [height, width, 3] in [-1, 1].

    Raises:
      UserError: for what is no picture that can be read.
    """
    try:
        image = _opaque(load_image(Path(path)), "RGB" if colour else "L")
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}: give a picture that is there"
        ) from None
    except ValueError as error:
        raise UserError(f"{path} {error}: give a PNG, JPEG or WebP picture") from None
    return np.asarray(image, np.float32) / 127.5 - 1


def check_pixels(image: Image) -> None:
    """Refuse an image of more pixels than are decoded, before they are."""
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"has {image.width}x{image.height} pixels, more than {_MOST_PIXELS:,}")


def fit_image(image: Image, size: tuple[int, int], fit: str | None) -> Image:
    """Bring an image to a (height, width), by Lanczos with antialiasing."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    wanted = (size[1], size[0])
    if image.size == wanted:
        return image
    if fit == "crop":
        return ImageOps.fit(image, wanted, Resampling.LANCZOS)
    return image.resize(wanted, Resampling.LANCZOS)


def _opaque(image: Image, mode: str) -> Image:
    """Convert an image to 8 bits and a mode; what is transparent lies on white."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"has values from {values.min()} to {values.max()}, not of 16 bits")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    return image.convert(mode)
