"""Tables and claims in Markdown, written between marks from the JSON of all experiments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.experiment import HERE, NOT_YET, load, names
from specjax._core.checks import UserError
from specjax.report.table import Table

VERDICTS = ("yes", "in part", "no", "not clear", NOT_YET)
YES, NO, NOT_CLEAR = "yes", "**no**", "**not clear**"

SHOWN = {
    "On six sets of images and sound, levels learned on one half of the data beat every usual "
    "schedule on the other half (DDIM, 10 steps)": (
        "real_spectra",
        "6 real spectra, ddim, w2, S = 10: the learned schedule beats every heuristic",
    ),
    "Through a published network of galaxies, 6 calls of a learned plan are nearer to the fine "
    "solution than 8 of any other sampler along its best schedule": (
        "published_networks",
        "galaxies of HSC, 32x32: S = 6: the learned plan beats every rival in 8 calls",
    ),
    "There, 5 calls are nearer than 8 of any other": (
        "published_networks",
        "galaxies of HSC, 32x32: S = 5: the learned plan beats every rival in 8 calls",
    ),
    "A diffusers pipeline (epsilon, digits): 6 calls of a learned plan are nearer to the fine "
    "solution than 10 of any of its schedulers": (
        "diffusers_pipelines",
        "A UNet that predicts eps, DDPM's grid: the learned plan in 6 network calls has a lower "
        "mean distance than the best of diffusers' schedulers in 10",
    ),
    "The same of a guided flow transformer": (
        "diffusers_pipelines",
        "A flow transformer, guided: the learned plan in 6 network calls has a lower mean distance "
        "than the best of diffusers' schedulers in 10",
    ),
    "A UNet trained on digits: 5 calls of a learned plan are better, by features, than 5 of any "
    "sampler along any usual schedule": (
        "learned_plans",
        "a UNet of 0.69 M parameters trained on the digits: S = 5: the learned plan beats every "
        "heuristic",
    ),
    "The paper's 12.3 % lower Fréchet distance: DDIM's levels learned on the spectrum against the "
    "best usual schedule, on the UNet of digits": (
        "trained_networks",
        "a UNet of 0.69 M parameters on the digits: ddim spectral W2 has",
    ),
    "The same on the published network of galaxies": (
        "paper_claims",
        "galaxies of HSC, 32x32, DDIM, learned, W2: Fréchet distance (squared), 64 principal "
        "components is 12.3 % below",
    ),
    "On a second one, a few of whose galaxies are far from all others": (
        "paper_claims",
        "galaxies of ZTF, 32x32, DDIM, learned, W2: Fréchet distance (squared), 64 principal "
        "components is 12.3 % below",
    ),
    "The paper's 1.8 times fewer steps for the same Fréchet distance, on the first": (
        "paper_claims",
        "galaxies of HSC, 32x32, DDIM, learned, W2: Fréchet distance (squared), 64 principal "
        "components is below that of the best family in 1.8",
    ),
    "Levels for DPM-Solver++(2M) that count a denoiser's error of 0.1, as fits do by default, are "
    "nearer to the fine solution on the first than those for an ideal denoiser": (
        "defaults",
        "galaxies of HSC, 32x32, published: fitted with a denoiser's error of 0.1",
    ),
    "The timestep shift that the spectrum names beats no shift on the first, from 5 to 50 steps": (
        "shift",
        "galaxies of HSC, 32x32, DDIM: the named shift beats 1 (no shift) at every S",
    ),
    "Where data are far from Gaussian, levels that a Gaussian's spectrum names for "
    "DPM-Solver++(2M) still beat the usual ones": (
        "beyond_gaussian",
        "half of the digits, kernel width: dpmpp_2m learned W2",
    ),
    "Noise with a spectrum, as in 2510.09660, makes better networks of digits": (
        "anisotropic_noise",
        "1,797 digits, 8x8, dpmpp_2m, 64 steps: noise (r + 0.01)^-0.06 is better",
    ),
    "Guidance weights learned on the spectrum deblur galaxies better than the best constant": (
        "restoration",
        "A network of galaxies: learned weights deblur better than the best constant",
    ),
}
"""The claims on the page of evidence, each a sentence that can be read alone: the experiment, and
how the claim of it begins that was tested."""


class Claim(NamedTuple):
    """A line of the table of claims."""

    claim: str
    verdict: str
    measured: str
    command: str

    @property
    def kind(self) -> str:
        """One of VERDICTS; a claim that holds at some S is "in part"."""
        plain = self.verdict.strip("*")
        return plain if plain in VERDICTS else "in part"


def not_run(claim: str, command: str) -> Claim:
    """Make the line of a claim that has not been tested."""
    return Claim(claim, NOT_YET, "-", command)


def verdict(holds: bool) -> str:
    """Give the verdict on a claim that has no error."""
    return YES if holds else NO


def all_hold(verdicts: Iterable[str]) -> str:
    """Give the verdict on a claim about all of several."""
    known = list(verdicts)
    return next((x for x in (NO, NOT_CLEAR) if x in known), YES)


def table(
    head: Iterable[Any], rows: Iterable[Iterable[Any]], title: str = "", level: int = 4
) -> list[str]:
    """Give the lines of a Markdown table below a heading, with an empty line after each."""
    cells = [[str(x) for x in row] for row in rows]
    lines = Table("", [str(x) for x in head], cells).to_markdown().splitlines()
    return [*([f"{'#' * level} {title}", ""] if title else []), *lines, ""]


def seeds_line(count: int) -> list[str]:
    """Say how many seeds there are."""
    return [f"{count} seed{'s' * (count > 1)}.", ""]


def pages(chosen: Sequence[str], root: Path = HERE.parent) -> dict[Path, str]:
    """Give the Markdown files as the JSON says that they should be.

    Args:
      chosen: the experiments whose tables and claims are made. The two tables of all experiments
        are always made.
      root: of a checkout.
    """
    texts: dict[Path, str] = {}

    def put(path: Path, name: str, lines: list[str]) -> None:
        text = texts.get(path) or path.read_text()
        texts[path] = between(text, name, lines)

    folder, claims = root / "experiments", {}
    for name in names():
        summary, own = load(name).module("summary"), folder / name
        claims[name] = list(summary.claims(own / "results"))
        if name in chosen:
            put(own / "README.md", "tables", summary.tables(own / "results"))
            if hasattr(summary, "more_tables"):
                put(own / "tables.md", "tables", summary.more_tables(own / "results"))
            rows = [[*x[:3], f"`{x.command}`"] for x in claims[name]]
            put(folder / "README.md", name, table(["claim", "holds", "measured", "command"], rows))
    put(folder / "README.md", "counts", counts(claims))
    put(root / "docs/evidence.md", "claims", shown(claims))
    return texts


def counts(claims: dict[str, list[Claim]]) -> list[str]:
    """Count the verdicts on the claims of each experiment."""
    rows = []
    for name, known in claims.items():
        kinds = Counter(claim.kind for claim in known)
        rows.append([f"[{load(name).question}]({name}/README.md)", *(kinds[x] for x in VERDICTS)])
    return table(["experiment", *VERDICTS], rows)


def shown(claims: dict[str, list[Claim]]) -> list[str]:
    """Make the short table of the page of evidence.

    Raises:
      UserError: if a beginning in SHOWN is not that of one claim alone.
    """
    rows = []
    for sentence, (name, start) in SHOWN.items():
        found = [x for x in claims[name] if x.claim.startswith(start)]
        if len(found) != 1:
            raise UserError(f"{len(found)} claims of {name} begin with {start!r}: one should")
        rows.append([f"{sentence} ([{name}](../experiments/{name}/README.md))", *found[0][1:3]])
    return table(["claim", "holds", "measured"], rows)


def between(text: str, name: str, lines: list[str]) -> str:
    """Replace the lines between the two marks of a name."""
    first = f"<!-- {name}: written by python -m experiments summary -->"
    last = f"<!-- end of {name} -->"
    before, rest = text.split(first)
    after = rest.split(last)[1]
    body = "\n".join(lines).strip("\n")
    return f"{before}{first}\n\n{body}\n\n{last}{after}"


def stale(chosen: Sequence[str], root: Path = HERE.parent) -> list[Path]:
    """List the Markdown files that are not what the JSON says."""
    made = pages(chosen, root)
    return [path.relative_to(root) for path, text in made.items() if path.read_text() != text]
