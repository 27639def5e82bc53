"""Files: one codec for every kind, atomic and checked.

:mod:`specjax.files.atomic` writes whole files, :mod:`specjax.files.codec` a header with arrays,
:mod:`specjax.files.kinds` what the core keeps. ``from specjax import files`` has them all.
"""

from specjax.files.atomic import (
    atomically,
    check_apart,
    check_folder,
    read_bytes,
    write_atomically,
)
from specjax.files.codec import (
    Document,
    check_version,
    checksum,
    kind_of,
    numbers,
    plain,
    read,
    versions,
    write,
)
from specjax.files.kinds import corrections_document, is_spectrum, load, noise_field, save

__all__ = [
    "Document",
    "atomically",
    "check_apart",
    "check_folder",
    "check_version",
    "checksum",
    "corrections_document",
    "is_spectrum",
    "kind_of",
    "load",
    "noise_field",
    "numbers",
    "plain",
    "read",
    "read_bytes",
    "save",
    "versions",
    "write",
    "write_atomically",
]
