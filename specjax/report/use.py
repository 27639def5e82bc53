"""Code that uses a result, to paste, for reports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from specjax.fitting.learned import LearnedResult


def code_of(result: LearnedResult, path: str) -> Mapping[str, str]:
    """Write how a schedule or a plan in a file is used, by headings."""
    shape = result.source.get("shape")
    given = str(tuple(shape)) if shape else "shape"
    ours = (
        "import specjax as sx\n\n"
        f"learned = sx.load({json.dumps(path)})\n"
        "# denoise(x, alpha, sigma) -> x0 is yours; sx.from_eps, sx.from_v, ... adapt networks\n"
        f"samples = sx.generate(learned.plan, denoise, 16, {given})"
    )
    if result.corrections is None:
        export = shlex.join(["specjax", "export", path, "--to", "diffusers"])
        return {
            "Use it in JAX": ours,
            "Use it in diffusers, k-diffusion or ComfyUI": (
                f"{export}    # or k-diffusion, comfyui, csv, npz, json"
            ),
        }
    diffusers = (
        "from specjax.interop.diffusers import PlanScheduler\n\n"
        f"pipe.scheduler = PlanScheduler.from_file({json.dumps(path)}, pipe.scheduler.config)\n"
        f"images = pipe(num_inference_steps={result.steps}).images"
    )
    return {"Use it in JAX": ours, "Use it in diffusers": diffusers}


def code_of_evaluation(path: str, measures: Sequence[str]) -> Mapping[str, str]:
    """Write how the file of an evaluation is read."""
    return {
        "Read the numbers": (
            "import json\n\n"
            f'rows = json.load(open({json.dumps(path)}))["rows"]\n'
            f'print({{row["name"]: row["values"][{measures[0]!r}] for row in rows}})'
        )
    }


def code_of_sweep(folder: str) -> Mapping[str, str]:
    """Write how the table of a sweep is read."""
    return {
        "Read the table": (
            "import pandas as pd\n\n"
            f"table = pd.read_parquet({json.dumps(folder + '/table')})\n"
            'best = table.sort_values("value").groupby(["spectrum", "steps"]).first()'
        )
    }
