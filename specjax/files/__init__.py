"""Files: one codec for every kind, and a gate for what is read and one for what is written.

:mod:`specjax.files.inputs` opens what a user names, :mod:`specjax.files.outputs` says what may be
written, :mod:`specjax.files.atomic` writes whole files, :mod:`specjax.files.codec` a header with
arrays, :mod:`specjax.files.kinds` what the core keeps. ``from specjax import files`` has them all.
"""

from specjax.files.atomic import atomically, new_folder, write_atomically
from specjax.files.codec import (
    Document,
    check_version,
    checksum,
    decoding,
    kind_of,
    numbers,
    plain,
    read,
    versions,
    write,
)
from specjax.files.inputs import (
    check_input,
    json_of,
    naming,
    open_archive,
    open_input,
    read_array,
    read_bytes,
    read_toml,
)
from specjax.files.kinds import corrections_document, is_spectrum, load, noise_field, save
from specjax.files.outputs import check_not_owned, check_output, check_outputs

__all__ = [
    "Document",
    "atomically",
    "check_input",
    "check_not_owned",
    "check_output",
    "check_outputs",
    "check_version",
    "checksum",
    "corrections_document",
    "decoding",
    "is_spectrum",
    "json_of",
    "kind_of",
    "load",
    "naming",
    "new_folder",
    "noise_field",
    "numbers",
    "open_archive",
    "open_input",
    "plain",
    "read",
    "read_array",
    "read_bytes",
    "read_toml",
    "save",
    "versions",
    "write",
    "write_atomically",
]
