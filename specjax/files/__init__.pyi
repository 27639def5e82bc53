from .atomic import atomically, new_folder, write_atomically
from .codec import (
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
from .inputs import (
    check_input,
    json_of,
    naming,
    open_archive,
    open_input,
    read_array,
    read_bytes,
    read_toml,
)
from .kinds import corrections_document, is_spectrum, load, noise_field, save
from .outputs import check_not_owned, check_output, check_outputs
from .tensors import read_tensors

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
    "read_tensors",
    "read_toml",
    "save",
    "versions",
    "write",
    "write_atomically",
]
