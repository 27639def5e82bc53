"""Folders of images: PNG, JPEG and WebP, upright, of one size, as uint8.

The orientation in a photograph's EXIF data is applied. What is transparent lies on white, as
viewers show it. 16-bit grey becomes 8-bit (value / 257). Of an animation the first frame is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.data import folder, labels, options, reading
from specjax.data.dataset import Dataset, of_reader

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "WEBP")
_GREY_MODES = ("1", "L", "LA", "I")
_MODES = {"rgb": "RGB", "grey": "L"}


def open_folder(root: Path, files: list[Path], opts: options.Options) -> Dataset:
    """The images of a folder [n, H, W, 3], or [n, H, W] where they are grey."""
    mine = files[options.share(len(files), opts.shard, "files")]
    first, image = folder.first_good(root, files, load, opts.strict)
    colour = opts.colour or ("grey" if _is_grey(image) else "rgb")
    own = (image.height, image.width)
    size = own if opts.size is None else options.height_width(opts.size)
    read = ReadImage(size, opts.fit or ("resize" if opts.size else None), colour, root, first)
    reader = folder.Files(
        root=root,
        files=mine,
        read=read,
        sample_shape=size if colour == "grey" else (*size, 3),
        sample_dtype=np.dtype(np.uint8),
        expected_samples=len(mine) if opts.limit is None else min(opts.limit, len(mine)),
        threads=reading.threads_for(image.width * image.height),
        limit=opts.limit,
        strict=opts.strict,
        labels=labels.of_files(root, files, opts.label),
    )
    source = {"kind": "images", "files": len(mine), "colour": colour, **_versions()}
    source |= {"size": list(size), "fit": read.fit} if read.fit else {}
    return of_reader(root.resolve().name, reader, opts, source=source)


@dataclass(frozen=True)
class ReadImage:
    """One file to uint8 [1, H, W, 3] or [1, H, W].

    Attributes:
      size: (H, W). fit: "resize", "crop", or None where images must have the size.
      colour: "rgb" or "grey".
      root, first: the folder and the file that the size is from, for the error.
    """

    size: tuple[int, int]
    fit: str | None
    colour: str
    root: Path
    first: Path

    def __call__(self, path: Path) -> np.ndarray:
        """Read a file.

        Raises:
          folder.MixedError: for an image of another size, without a fit.
        """
        image = load(path)
        size = (image.height, image.width)
        if self.fit is None and size != self.size:
            first, this = (folder.name(self.root, file) for file in (self.first, path))
            raise folder.MixedError(
                f"images have mixed sizes: {first} is {_words(self.size)}, {this} is "
                f"{_words(size)} (height x width): give size=... (--size)"
            )
        return np.asarray(fitted(_flat(image, _MODES[self.colour]), self.size, self.fit))[None]


def load(path: Path) -> Image:
    """An image, decoded and upright.

    Raises:
      ValueError: for a file that is none. Whatever else Pillow raises for a damaged one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=_FORMATS) as image:
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError("is not a PNG, JPEG or WebP image") from None


def fitted(image: Image, size: tuple[int, int], fit: str | None) -> Image:
    """An image of that (height, width), by Lanczos with antialiasing."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    wanted = (size[1], size[0])
    if image.size == wanted:
        return image
    if fit == "crop":
        return ImageOps.fit(image, wanted, Resampling.LANCZOS)
    return image.resize(wanted, Resampling.LANCZOS)


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _is_grey(image: Image) -> bool:
    return image.mode.split(";")[0] in _GREY_MODES


def _flat(image: Image, mode: str) -> Image:
    """An image without transparency, of 8 bits, in that mode."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    return image.convert(mode)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits as uint8."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"has grey values from {values.min()} to {values.max()}, not of 16 bits")
    return np.round(values / 257).astype(np.uint8)


def _versions() -> dict[str, Any]:
    import PIL

    return {"pillow": PIL.__version__}
