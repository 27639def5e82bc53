"""Where the repository and the site are: what the workflow that publishes them knows, or nothing.

GitHub's runners say it in ``GITHUB_SERVER_URL`` and ``GITHUB_REPOSITORY``. Where these are not set,
links that need an address are left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_GITHUB = "https://github.com/"


class Address(NamedTuple):
    """The addresses of the repository, without a slash at the end, and of the site; "" if unknown."""

    repository: str = ""
    site: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Address:
        """Read the environment of a runner."""
        server, name = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
        if not server or not name:
            return cls()
        owner, _, project = name.partition("/")
        return cls(f"{server}/{name}", f"https://{owner.lower()}.github.io/{project}/")

    def in_colab(self, notebook: str) -> str:
        """Return where Colab opens a notebook of the site; "" where it cannot."""
        if not self.repository.startswith(_GITHUB):
            return ""
        name = self.repository.removeprefix(_GITHUB)
        return f"https://colab.research.google.com/github/{name}/blob/gh-pages/{notebook}"

    def install(self, requirements: Sequence[str]) -> str:
        """Write a notebook's cell that installs specjax, or asks for it, and what else it needs."""
        if not self.repository:
            return f"# Install {', '.join(requirements)} first."
        located = [
            f"{one} @ git+{self.repository}" if one.partition("[")[0] == "specjax" else one
            for one in requirements
        ]
        return (
            "# Where specjax is missing (Colab); on a TPU put 'jax[tpu]' before it.\n"
            f"# !pip install {shlex.join(located)}"
        )
