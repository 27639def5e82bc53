"""The folder of what is kept between processes: compiled programs, and what commands put there."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

from specjax._core import checks
from specjax._core.checks import UserError


class ProgramsFolder(NamedTuple):
    """The folder of compiled programs of the package, :mod:`specjax._core.kept_programs`.

    Attributes:
      path: the folder.
      max_bytes: how much is kept.
    """

    path: Path
    max_bytes: int


_programs: ProgramsFolder | None = None


def programs_folder() -> ProgramsFolder | None:
    """Return the folder of the package's own programs; None where none are kept."""
    return _programs


def cache_folder(name: str = "") -> Path | None:
    """Return the folder that is kept between processes; None if it cannot be written to.

    It is ``specjax`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specjax" / name
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        return cache if os.access(cache, os.W_OK) else None
    return None


def enable_cache(
    folder: str | os.PathLike[str] | None = None, *, max_bytes: int = 2**30
) -> Path | None:
    """Keep compiled programs in a folder, so that the next process need not compile them again.

    It is JAX's own compilation cache (for all programs of the process), with a limit: what was not
    used for longest goes first. In its folder ``programs``, within an eighth of the limit, programs
    of fits are kept ready to run: they need not even be traced. Several processes may share it. A
    cache that is set already, by ``JAX_COMPILATION_CACHE_DIR`` or in JAX's configuration, stays as
    it is. Call it before the first program is compiled; the command line does so itself.

    Args:
      folder: where; by default ``specjax/compiled`` in the user's cache folder. What is in it is
        run: nobody should be able to write to it whom you do not trust.
      max_bytes: how much is kept, 1 GiB by default.

    Returns:
      The folder in use; None where the default one cannot be written to, and nothing is kept.

    Raises:
      UserError: for a folder that cannot be made or written to, or max_bytes below 1.

    Example:
      >>> sx.enable_cache()  # doctest: +SKIP
      PosixPath('/home/me/.cache/specjax/compiled')
    """
    import jax

    global _programs
    checks.whole_number("max_bytes", max_bytes, most=sys.maxsize)
    given = getattr(jax.config, "jax_compilation_cache_dir", None)
    if given:
        return Path(given)
    if folder is None:
        found = cache_folder("compiled")
        if found is None:
            return None
    else:
        found = Path(folder)
        try:
            found.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder = {str(folder)!r}: {error.strerror or error}") from error
        if not os.access(found, os.W_OK):
            raise UserError(f"folder = {str(folder)!r} cannot be written to")
    own = max_bytes // 8
    jax.config.update("jax_compilation_cache_max_size", max_bytes - own)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(found))
    _programs = ProgramsFolder(found / "programs", own)
    _programs.path.mkdir(exist_ok=True)
    return found
