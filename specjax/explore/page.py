"""The page of the explorer, made with Dash.

Whatever a callback needs comes with its call: the server keeps nothing of a tab.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.explore.settings import RANGES, Settings
from specjax.explore.subject import CHOICES, STEPS, Fitted, Subject
from specjax.files.samples import grid
from specjax.report.figures.samples import as_pictures
from specjax.report.figures.style import INK, LEARNED, MUTED, STRONG

PLAN = STRONG[1]
_NAMES = ("slope", "floor", "sampler", "loss", "steps", "noisy", "clean", "noise", "families")
_DASHES = ("solid", "dash", "dot", "dashdot")
_PANELS = ("levels", "ratios", "losses")
_PAGE = """<!DOCTYPE html>
<html lang="en"><head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}<style>
body { margin: 0; font: 15px/1.4 system-ui, sans-serif; color: #222; background: #fff; }
#page { display: grid; grid-template-columns: 19rem minmax(0, 1fr); gap: 1rem; padding: 1rem; }
h1 { font-size: 1.2rem; margin: 0 0 .5rem; } h2 { font-size: 1rem; }
#controls label, #controls legend { font-weight: 600; font-size: .85rem; }
#controls > div, fieldset { margin: 0 0 .7rem; padding: 0; border: 0; }
#charts { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
#numbers table { border-collapse: collapse; } #numbers td, #numbers th { padding: .1rem .8rem;
  text-align: right; } #numbers td:first-child, #numbers th:first-child { text-align: left; }
button { font: inherit; padding: .3rem .7rem; margin: 0 .4rem .4rem 0; cursor: pointer; }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: .8rem; }
#trouble { color: #a00; min-height: 1.4em; } #samples { display: flex; flex-wrap: wrap; gap: 1rem; }
#samples img { width: 11rem; image-rendering: pixelated; } #samples figure { margin: 0; }
:focus-visible { outline: 2px solid #D55E00; outline-offset: 1px; }
@media (max-width: 38rem) { #page { grid-template-columns: minmax(0, 1fr); } }
</style></head><body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer><script>
const tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
const tell = what => navigator.sendBeacon("/tab/" + what + "/" + tab);
tell("open"); setInterval(() => tell("open"), 20000);
setInterval(() => document.querySelectorAll("[role=slider]").forEach(one => {  // for screen readers
  const label = document.getElementById(one.closest("[id]").id + "-label");
  if (label) one.setAttribute("aria-label", label.textContent);
}), 1000);
addEventListener("pageshow", () => tell("open")); addEventListener("pagehide", () => tell("close"));
</script></body></html>"""
_KEEP_LINK = """query => {
  history.replaceState(null, "", query ? "?" + query : location.pathname);
  return window.dash_clientside.no_update;
}"""


def app_of(subject: Subject) -> Any:
    """Make the Dash application that explores something.

    Raises:
      UserError: where Dash is not installed.
    """
    dash = import_extra("dash", "explore", "specjax explore")
    app = dash.Dash(
        "specjax.explore", title=f"specjax: {subject.name or 'explore'}", update_title="",
        index_string=_PAGE, serve_locally=True, assets_folder="", eager_loading=True,
    )  # fmt: skip
    app.layout = _layout(dash, subject)
    _connect(dash, app, subject)
    return app


def _layout(dash: Any, subject: Subject) -> Any:
    html, dcc = dash.html, dash.dcc
    start = subject.start()
    controls = [
        _slider(dash, name, getattr(start, name))
        for name in ("slope", "floor", "steps", "noisy", "clean", "noise")
        if name != "slope" or subject.spectrum is None
    ]
    if subject.spectrum is not None:  # a callback has all its inputs
        controls.append(dcc.Store(id="slope", data=start.slope))
    chosen = [
        html.Div([
            html.Label(name.capitalize(), htmlFor=name, id=f"{name}-label"),
            dcc.Dropdown(CHOICES[name], getattr(start, name), id=name, clearable=False),
        ])
        for name in ("sampler", "loss")
    ]  # fmt: skip
    families = html.Fieldset([
        html.Legend("Schedules beside it"),
        dcc.Checklist(CHOICES["families"], list(start.families), id="families"),
    ])  # fmt: skip
    buttons = [
        html.Button(label, id=f"get-{name}", n_clicks=0)
        for name, label in (("file", "Schedule file"), ("sigmas", "Sigmas as text"))
    ]
    samples = [
        html.Button("Draw samples", id="draw", n_clicks=0),
        dcc.Loading(html.Div(id="samples"), delay_show=300),
    ]
    graphs = [dcc.Graph(id=name, config={"displaylogo": False}, figure={}) for name in _PANELS]
    return html.Div(id="page", children=[
        dcc.Location(id="url", refresh=False), dcc.Store(id="link"), dcc.Download(id="download"),
        html.Div([html.H1(subject.name or "A power law"), *controls[:3], *chosen, *controls[3:],
                  families], id="controls"),
        html.Main([
            html.Div(id="trouble", role="alert"),
            html.Div([*graphs, html.Div(id="numbers")], id="charts"),
            html.H2("Samples side by side"), *samples,
            html.H2("Take it away"), html.Div([*buttons, dcc.Clipboard(
                target_id="code", title="Copy the code", style={"display": "inline-block"})]),
            html.Pre(id="code"),
        ]),
    ])  # fmt: skip


def _slider(dash: Any, name: str, value: float) -> Any:
    one = RANGES[name]
    return dash.html.Div([
        dash.html.Label(one.label, id=f"{name}-label"),
        dash.dcc.Slider(
            one.least, one.most, step=one.by, value=value, marks=None, id=name, updatemode="drag",
        ),
    ])  # fmt: skip


def _connect(dash: Any, app: Any, subject: Subject) -> None:
    """Connect the controls with what is drawn, and the link with the controls."""
    out, given, state = dash.Output, dash.Input, dash.State
    own = {name: "data" if name == "slope" and subject.spectrum else "value" for name in _NAMES}
    inputs = {name: given(name, kind) for name, kind in own.items()}
    states = {name: state(name, kind) for name, kind in own.items()}
    start = subject.start()

    @app.callback([out(name, kind) for name, kind in own.items()], given("url", "href"),
                  state("url", "search"))  # fmt: skip
    def read_link(_: str, query: str | None) -> list[Any]:
        found = Settings.from_query(query, CHOICES) if query else start
        return [list(x) if isinstance(x := getattr(found, name), tuple) else x for name in _NAMES]

    @app.callback(
        out("levels", "figure"), out("ratios", "figure"), out("numbers", "children"),
        out("code", "children"), out("link", "data"), out("trouble", "children"), inputs=inputs,
    )  # fmt: skip
    def redraw(**values: Any) -> Any:
        settings = _settings(values)
        try:
            fitted = subject.fit(settings)
        except UserError as error:
            return [dash.no_update] * 4 + [settings.to_query(), str(error)]
        return [
            levels_chart(fitted, subject), ratios_chart(fitted), _numbers(dash, fitted),
            subject.code_of(settings), settings.to_query(), "",
        ]  # fmt: skip

    @app.callback(out("losses", "figure"), given("link", "data"))  # after the rest, not beside it
    def redraw_losses(query: str | None) -> Any:
        if query is None:
            return dash.no_update
        settings = Settings.from_query(query, CHOICES)
        try:
            return losses_chart(subject.fit(settings), subject.over_steps(settings))
        except UserError:
            return dash.no_update

    app.clientside_callback(_KEEP_LINK, out("link", "modified_timestamp"), given("link", "data"))

    @app.callback(
        out("download", "data"), inputs={"file": given("get-file", "n_clicks"),
        "sigmas": given("get-sigmas", "n_clicks"), "values": states}, prevent_initial_call=True,
    )  # fmt: skip
    def take(file: int, sigmas: int, values: dict[str, Any]) -> Any:
        fitted = subject.fit(_settings(values))
        if dash.ctx.triggered_id == "get-file":
            return {"content": subject.file_of(fitted), "filename": "schedule.json"}
        text = "\n".join(f"{x:.8g}" for x in np.asarray(fitted.learned.schedule.sigmas))
        return {"content": text + "\n", "filename": "sigmas.txt"}

    @app.callback(out("samples", "children"), inputs={"_": given("draw", "n_clicks"),
                  "values": states}, prevent_initial_call=True)  # fmt: skip
    def draw(_: int, values: dict[str, Any]) -> Any:
        try:
            return _pictures(dash, subject.samples(subject.fit(_settings(values))))
        except UserError as error:
            return str(error)


def _settings(values: dict[str, Any]) -> Settings:
    return Settings(**{**values, "families": tuple(values["families"] or ())})


def colour_of(name: str) -> str:
    """Give each schedule its colour on all charts."""
    if name in ("learned", "plan"):
        return LEARNED if name == "learned" else PLAN
    return MUTED[CHOICES["families"].index(name) % len(MUTED)]


def _line(name: str, x: Any, y: Any, **more: Any) -> dict[str, Any]:
    """Make a line of Plotly's; the fit is in front, as dots on a thick line."""
    strong = name in ("learned", "plan")
    dash = "solid" if strong else _DASHES[CHOICES["families"].index(name) % len(_DASHES)]
    return {
        "type": "scatter", "name": name, "x": np.asarray(x).tolist(), "y": np.asarray(y).tolist(),
        "mode": "lines+markers" if strong else "lines",
        "line": {"color": colour_of(name), "width": 3 if strong else 1.5, "dash": dash}, **more,
    }  # fmt: skip


def _chart(title: str, lines: list[Any], x: dict[str, Any], y: dict[str, Any], **more: Any) -> Any:
    axis = {"gridcolor": "#e6e6e6", "zeroline": False}
    x["title"]["standoff"] = 6
    return {
        "data": lines[::-1],
        "layout": {
            "title": {"text": title, "font": {"size": 14}}, "height": 340, "font": {"color": INK},
            "margin": {"l": 60, "r": 10, "t": 40, "b": 100}, "plot_bgcolor": "#fff",
            "xaxis": {**axis, **x}, "yaxis": {**axis, **y}, "uirevision": "kept",
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom",
                       "traceorder": "reversed"}, **more,
        },
    }  # fmt: skip


def levels_chart(fitted: Fitted, subject: Subject) -> Any:
    """Draw the levels of every schedule."""
    schedules = dict(fitted.schedules)
    if subject.plan is not None:
        schedules["plan"] = subject.plan.schedule
    finite = {name: np.asarray(one.logsnr) for name, one in schedules.items()}
    finite = {name: x[np.isfinite(x)] for name, x in finite.items()}
    lines = [_line(name, range(len(x)), x) for name, x in finite.items()]
    return _chart("Noise levels", lines, {"title": {"text": "level (noisy → clean)"}},
                  {"title": {"text": "logsnr"}})  # fmt: skip


def ratios_chart(fitted: Fitted) -> Any:
    """Draw generated over true standard deviation for each eigenvalue."""
    lam, ratios = fitted.std_ratios()
    lines = [_line(name, lam, x, mode="lines") for name, x in ratios.items()]
    true = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1,
            "line": {"color": INK, "width": 1}}  # fmt: skip
    return _chart(
        "Standard deviation per eigenvalue (1 = exact)", lines,
        {"type": "log", "title": {"text": "eigenvalue"}, "exponentformat": "power"},
        {"title": {"text": "generated / true"}}, shapes=[true],
    )  # fmt: skip


def losses_chart(fitted: Fitted, over_steps: dict[str, list[float]]) -> Any:
    """Draw the loss over S."""
    curves = {k: [x if x > 0 else None for x in y] for k, y in over_steps.items()}
    lines = [_line(name, STEPS, y) for name, y in curves.items()]
    steps, value = fitted.learned.steps, fitted.values["learned"]
    star = {"type": "scatter", "name": f"S = {steps}", "mode": "markers", "showlegend": False,
            "x": [steps], "y": [value if value > 0 else None],
            "marker": {"symbol": "star", "size": 14, "color": LEARNED}}  # fmt: skip
    return _chart(
        f"Loss over steps ({fitted.task.loss.name})", [star, *lines],
        {"type": "log", "title": {"text": "S"}, "tickvals": [*STEPS, 32]},
        {"type": "log", "title": {"text": fitted.task.loss.name}, "exponentformat": "power"},
    )  # fmt: skip


def _numbers(dash: Any, fitted: Fitted) -> Any:
    """Make the table of losses."""
    html, loss = dash.html, fitted.task.loss.name
    own = fitted.values["learned"]
    rows = sorted(fitted.values.items(), key=lambda one: (one[0] != "learned", one[1]))
    body = [
        html.Tr([html.Td(name), html.Td(f"{value:.6g}", id=f"value-{name}"),
                 html.Td(f"{value / own:.4g}x" if own > 0 else "-")])
        for name, value in rows
    ]  # fmt: skip
    state = "converged" if fitted.learned.converged else "not converged"
    head = html.Tr([html.Th("schedule"), html.Th(loss), html.Th("over learned")])
    return [html.Table([html.Thead(head), html.Tbody(body)]), html.P(f"the fit: {state}")]


def _pictures(dash: Any, samples: dict[str, np.ndarray]) -> Any:
    """Show sets of images side by side."""
    from PIL import Image

    figures = []
    for name, x in samples.items():
        pictures = as_pictures(x)
        if pictures is None or pictures.ndim < 3:
            return "these samples are no images: 'specjax sample' writes them to a file"
        content = io.BytesIO()
        Image.fromarray(grid(pictures)).save(content, "png")
        source = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
        caption = dash.html.Figcaption(name)
        figures.append(dash.html.Figure([caption, dash.html.Img(src=source, alt=name)]))
    return figures
