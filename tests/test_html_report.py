"""The HTML reports of the command line: self-contained, complete, and safe to open."""

import html.parser
import json
import re

import numpy as np
import pytest

from specjax.report.html import HtmlReport
from specjax.report.table import Table


class Page(html.parser.HTMLParser):
    """What a browser would see: elements, texts, and the pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page(path):
    found = Page(path.read_text())
    assert found.open == []
    loaded = [value for name, value in found.attributes if name in ("src", "href")]
    assert all(one.startswith("data:image/png;base64,") for one in loaded)  # nothing from outside
    assert not re.search(r"url\(|@import|<script|<link", path.read_text())
    return found


def test_names_from_outside_are_text(tmp_path):
    bad = '<script>alert("x")</script>'
    blocks = [bad, Table(bad, [bad], [[bad]], [bad])]
    report = HtmlReport(bad, blocks, [], {bad: bad, "none": None, "list": (1, 2)}, bad, {bad: bad})
    found = page(report.save(tmp_path / "r.html"))
    assert found.text.count(bad) == 12
    assert "script" not in found.tags
    assert "1 2" in found.text


def test_a_figure_is_cut_into_its_panels_and_a_legend_of_text(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    for axes in figure.subplots(1, 2):
        axes.plot([0, 1], label="a <line>", color="#123456")
        axes.set_title("a panel", loc="left")
    figure.legend(*axes.get_legend_handles_labels())
    text = HtmlReport("t", [], [figure]).to_html()
    assert len(re.findall("<img", text)) == 2
    assert text.count('alt="a panel"') == 2
    assert "a &lt;line&gt;" in text
    assert "#123456" in text
    assert all(axes.get_visible() for axes in figure.axes)


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4, 4)))
    np.save(tmp_path / "data.npy", rng.normal(size=(80, 4, 4)))


def test_an_evaluation(run, tmp_path, samples):
    args = ("x.npy", "--against", "data.npy", "--measures", "spectrum", "--html", "r.html")
    code, out, _ = run("evaluate", *args, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["files"] == ["evaluation.json", "r.html"]
    found = page(tmp_path / "r.html")
    assert found.tags.count("img") == 4  # real, generated, two panels
    value = document["rows"][0]["values"]["spectrum_db"]["value"]
    assert f"{value:.2g}"[:3] in found.text
    assert "specjax evaluate x.npy --against data.npy" in found.text
    assert "inception-weights" in found.text  # all settings


def test_the_report_is_an_output_like_any_other(run, tmp_path, samples):
    args = ("evaluate", "x.npy", "--against", "data.npy", "--measures", "sliced", "--html")
    assert run(*args, "data.npy")[0] == 2
    (tmp_path / "r.html").write_text("mine")
    assert run(*args, "r.html")[0] == 2
    assert (tmp_path / "r.html").read_text() == "mine"
    assert run(*args, "r.html", "--force")[0] == 0
    assert page(tmp_path / "r.html").tags.count("table") == 2
    assert run(*args, "evaluation.json", "--force")[0] == 2
    assert run(*args, "no/r.html", "--force")[0] == 2
    assert run("fit", "digits", "--steps", 2, "--html", "schedule.json")[0] == 2
    assert run("sweep", "no.toml", "--html", "r.html")[0] == 2


@pytest.mark.slow
def test_fits_plans_and_sweeps(run, tmp_path):
    assert run("fit", "digits", "--steps", 3, "--html", "fit.html")[0] == 0
    found = page(tmp_path / "fit.html")
    assert found.tags.count("img") == 4
    (code,) = [x for x in found.texts if "sx.load" in x]
    assert "schedule.json" in code
    assert "(8, 8)" in code
    (tmp_path / "s.toml").write_text('spectra = ["digits"]\nsteps = [2, 3]\n')
    assert run("sweep", "s.toml", "--html", "s.html")[0] == 0
    assert "read_parquet" in page(tmp_path / "s.html").text
    args = ("--steps", 2, "--prior", "gaussian", "--html", "plan.html")
    assert run("learn", "digits", *args)[0] == 0
    assert "PlanScheduler" in page(tmp_path / "plan.html").text
