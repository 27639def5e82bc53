"""``specjax advise``: what to use for data, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

from specjax._core import checks
from specjax.cli.console import print_json, progress
from specjax.cli.data import Data, GivenData, remark_on_skipped


@dataclass(frozen=True, kw_only=True)
class AdviseCommand:
    """What to use for data: ranges and density of noise levels for training, shift, rho, calls."""

    data: GivenData = field(default_factory=Data)
    framework: str | None = None
    """edm, vp or flow: its numbers only; by default all"""
    steps: tuple[int, ...] = (8, 20, 50)
    """the numbers of steps to advise for"""
    loss: str = "w2"
    """of what is looked for step by step: w2, kl, kl_reverse or relative"""
    mean: str = "match"
    """match or ignore: whether losses count the error of the data's mean"""
    replicates: int = 100
    """of the bootstrap, for standard errors"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Estimate the spectrum and print what it advises."""
        from specjax.advise.advice import FRAMEWORKS, advise, method_for
        from specjax.advise.by_steps import check_steps
        from specjax.data import Dataset
        from specjax.report import advise as report
        from specjax.report.table import print_blocks

        chosen: tuple[str, ...] = FRAMEWORKS
        if self.framework is not None:
            chosen = (checks.one_of("framework", self.framework, FRAMEWORKS),)
        check_steps(self.steps)
        checks.seed(self.data.seed)
        opened = self.data.open()
        dataset = opened if isinstance(opened, Dataset) else None
        method = None if dataset is None else method_for(dataset)
        spectrum = self.data.spectrum(opened, method)
        with progress("resampling", "samples") as update:
            advice = advise(
                spectrum, steps=self.steps, samples=dataset, replicates=self.replicates,
                seed=self.data.seed, progress=update, loss=self.loss, mean=self.mean,
            )  # fmt: skip
        if dataset is not None:
            remark_on_skipped(dataset, self.data.reading)
        if self.json:
            print_json(report.advice_json(advice, chosen))
        else:
            print_blocks(report.advice_blocks(advice, chosen))
