"""``specjax learn RECORDING``: plans from what another program recorded, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from specjax import files
from specjax._core.checks import UserError
from specjax.cli.console import print_json, status
from specjax.cli.data import changed

if TYPE_CHECKING:
    from specjax.cli.learn import LearnCommand

_APPLY = ("memory", "process")
_ARRAYS = {"x", "alpha", "sigma"}


def is_recording(path: str) -> bool:
    """Tell whether there is a file with the arrays of a recording."""
    if not Path(path).is_file() or not path.endswith((".npz", ".safetensors")):
        return False
    if path.endswith(".safetensors"):
        return True
    with files.open_input(path) as file:
        try:
            with files.open_archive(file) as archive:
                return set(archive.files) >= _ARRAYS
        except Exception:  # damaged: whoever reads it says so
            return False


def learn_recording(command: LearnCommand) -> None:
    """Make a plan of each S from a recording, write them, draw, and print what is predicted."""
    from specjax.learning import learn
    from specjax.learning.recording import Recording
    from specjax.report.figures import learn_figure, save_figure
    from specjax.report.learn import print_recorded, recorded_blocks, recorded_json
    from specjax.report.use import code_of

    path, through = command.through.source, command.through
    others = changed(through, "source", "reading", "forward") + changed(through.reading)
    others += changed(through.forward) + changed(command.learning, *_APPLY)
    for option in others + ["--start"] * bool(command.start):
        raise UserError(f"{option} does not apply to {path}, a recording: leave it out")
    options = {name: getattr(command.learning, name) for name in _APPLY}
    known = {f"--{name}": value for name, value in options.items()}
    given: dict[str, Any] = {x[2:]: known[x] for x in changed(command.learning) if x in known}
    outputs = command.outputs(set(command.steps))
    command.check_outputs(outputs)
    with status(f"learning from {path}"):
        recording = Recording.open(path)
        found = [learn(recording, steps, **given) for steps in sorted(set(command.steps))]
    written = [str(files.save(command.path_of(one.steps), one)) for one in found]
    if outputs["plot"] is not None:
        save_figure(learn_figure(found), outputs["plot"])
        written.append(str(outputs["plot"]))
    written += command.write_html(
        f"{found[-1].steps} calls, learned from {path}", recorded_blocks(found),
        [learn_figure(found)], code_of(found[-1], written[len(found) - 1]),
    )  # fmt: skip
    if command.json:
        print_json({**recorded_json(found), "files": written})
    else:
        print_recorded(found, written)
