"""The explorer: its settings, what it computes, its server, and the page in a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import numpy as np
import pytest
from gaussian_runs import gaussian_run

import specjax as sx
from specjax._core.checks import UserError
from specjax.explore.settings import RANGES, Settings
from specjax.explore.subject import CHOICES, STEPS, Subject

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)


def test_a_link_keeps_the_settings():
    moved = Settings(
        slope=1.25, floor=-3.0, sampler="heun", loss="kl", steps=7, noisy=-3.0, clean=2.0,
        noise=-0.2, families=("flow",),
    )  # fmt: skip
    assert Settings.from_query("?" + moved.to_query(), CHOICES) == moved
    assert Settings().to_query() == ""
    assert Settings.from_query("families=", CHOICES).families == ()


@pytest.mark.parametrize(
    "query",
    ["slope=nan", "slope=1e9", "steps=x", "sampler=rm", "families=<b>", "__class__=1", "noise=inf",
     "steps=0", "noisy=", "%00=1"],
)  # fmt: skip
def test_a_link_that_is_wrong_is_as_by_default(query):
    found = Settings.from_query(query, CHOICES)
    assert found in (Settings(), Settings(families=()))


def test_the_ends():
    assert Settings(noisy=-3.0, clean=6.0).alpha_bar_range == (1e-3, 1.0)
    assert Settings(clean=2.0).alpha_bar_range[1] == pytest.approx(0.99)


def test_a_noise_on_data_that_are_under_one_is_a_user_error():
    noise = sx.noise_spectrum("power_law", (8,), basis="data", exponent=0.1)
    under = sx.effective(sx.Spectrum.power_law(8, 1.0), noise)
    with pytest.raises(UserError, match="noise"):
        Subject("a", under).fit(Settings(noise=0.1))


def test_what_cannot_be_explored_is_refused(tmp_path):
    with pytest.raises(UserError):
        Subject.open(str(tmp_path / "nothing"))
    sx.save(tmp_path / "p.json", sx.FitResult.from_schedule(sx.family("cosine", 3)))
    with pytest.raises(UserError, match="data"):
        Subject.open(str(tmp_path / "p.json"))


@pytest.mark.slow
def test_losses_over_steps():
    settings = Settings(slope=1.0, floor=-2.0, families=("cosine",))
    found = Subject().over_steps(settings)
    data = sx.Spectrum.power_law(256, 1.0).floor(1e-2)
    ends = {"alpha_bar_range": settings.alpha_bar_range}
    for k, steps in enumerate(STEPS):
        assert found["learned"][k] == pytest.approx(sx.fit(data, steps, **ends).value, rel=1e-3)
        cosine = sx.loss(data, sx.family("cosine", steps, **ends))
        assert found["cosine"][k] == pytest.approx(float(cosine), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "digits", "s.json", "f.npz"])
@pytest.mark.parametrize("noise", [0.0, -0.2])
def test_the_code_makes_the_same_fit(name, noise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sx.save("s.json", sx.fit(sx.data.open("digits").spectrum(), 4))
    stationary = sx.data.open("digits").spectrum(method="shift-invariant")
    sx.save("f.npz", stationary)
    subject = Subject.open(name)
    settings = Settings(slope=1.5, floor=-3.0, steps=3, noise=noise, clean=2.0, loss="kl")
    made = {}
    exec(subject.code_of(settings), made)
    assert made["learned"].value == pytest.approx(subject.fit(settings).learned.value)


@pytest.mark.slow
def test_a_plan_is_shown_beside_the_fits_with_samples(tmp_path):
    spectrum = sx.data.open("digits").spectrum()
    learned = sx.fit(spectrum, 4)
    sx.save(tmp_path / "s.json", learned)
    subject = Subject.open(str(tmp_path / "s.json"))
    start = subject.start()
    assert (start.steps, start.sampler, start.loss) == (4, "ddim", "w2")
    fitted = subject.fit(start)
    lam, ratios = fitted.std_ratios()
    assert np.all(np.diff(lam) > 0)
    np.testing.assert_allclose(ratios["plan"], ratios["learned"], rtol=0.05)
    assert fitted.values["plan"] == pytest.approx(fitted.values["learned"], rel=0.01)
    samples = subject.samples(fitted)
    assert list(samples)[:2] == ["plan", "learned"]
    assert all(x.shape == (16, 8, 8) for x in samples.values())


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 3])
def test_a_run_draws_its_samples_when_asked(tmp_path, monkeypatch, classes):
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr("specjax.nn.run.open_run", lambda path: gaussian_run(classes=classes))
    subject = Subject.open(str(tmp_path))
    fitted = subject.fit(Settings(steps=4))
    expected = sx.fit(gaussian_run().effective.floor(1e-6), 4, alpha_bar_range=(10**-4.39, 1.0))
    assert fitted.learned.value == pytest.approx(expected.value)
    samples = subject.samples(fitted)
    assert next(iter(samples)) == "learned"
    assert all(x.shape == (16, 4, 4) for x in samples.values())


@pytest.mark.skipif(find_spec("dash") is None, reason="needs dash: pip install -e '.[explore]'")
class TestServer:
    """The server by itself."""

    def client(self):
        from flask import Flask

        from specjax.explore import server

        app, tabs = Flask("test"), server.Tabs()
        server._guard(app, tabs)
        app.get("/")(lambda: "page")
        return app.test_client(), tabs

    def test_requests_under_another_name_are_refused(self):
        client, _ = self.client()
        assert client.get("/", headers={"Host": "127.0.0.1:8000"}).status_code == 200
        assert client.get("/", headers={"Host": "localhost"}).status_code == 200
        assert client.get("/", headers={"Host": "evil.example:8000"}).status_code == 403

    def test_it_is_over_some_time_after_the_last_tab(self, monkeypatch):
        from specjax.explore import server

        client, tabs = self.client()
        now = [0.0]
        monkeypatch.setattr(server.time, "monotonic", lambda: now[0])
        local = {"Host": "127.0.0.1"}
        assert not tabs.are_gone()  # none has been there yet
        client.post("/tab/open/a", headers=local)
        client.post("/tab/open/b", headers=local)
        client.post("/tab/close/a", headers=local)
        now[0] = 100.0
        assert not tabs.are_gone()
        client.post("/tab/close/b", headers=local)
        assert not tabs.are_gone()  # it may be loading again
        now[0] = 110.0
        assert tabs.are_gone()
        client.post("/tab/open/c", headers=local)
        assert not tabs.are_gone()
        now[0] = 1000.0  # it has said nothing: a browser that crashed
        assert tabs.are_gone()

    def test_a_port_that_is_taken_is_one_line(self, run):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            code, _, err = run("explore", "--no-browser", "--port", taken.getsockname()[1])
        assert code == 2
        assert "port" in err
        assert run("explore", "--no-browser", "--port", 99999)[0] == 2


@pytest.fixture
def started():
    """Start the explorer, and give its process and address."""
    pytest.importorskip("dash")
    processes = []

    def start(*args):
        command = [sys.executable, "-m", "specjax", "explore", "--no-browser", *map(str, args)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                return process, found[0]
        raise AssertionError("it did not start")

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_two_instances_and_ctrl_c(started):
    (one, at), (two, elsewhere) = started(), started()
    assert at != elsewhere
    for address in (at, elsewhere):
        assert b"specjax" in urllib.request.urlopen(address).read()
    for process in (one, two):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(at)


@pytest.fixture
def page(started):
    """Open the page in a browser that reports what it asks of whom."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    process, address = started()
    with playwright.sync_playwright() as p:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = p.chromium.launch(executable_path=CHROMIUM, args=arguments)
        found = browser.new_page(viewport={"width": 800, "height": 900})
        found.asked, found.faults, found.process = [], [], process
        found.on("request", lambda request: found.asked.append(request.url))
        found.on("pageerror", lambda error: found.faults.append(str(error)))
        found.goto(address)
        found.wait_for_selector("#value-learned", timeout=120_000)
        yield found
        browser.close()


def set_number(page, name, value):
    field = page.locator(f"#{name} input[type=number]").first
    if field.is_visible():
        field.fill(str(value))
        field.press("Enter")
    else:
        raise AssertionError(name)


def shown(page, expected):
    """Wait for the loss that is shown to be as expected."""
    text = f"{expected:.6g}"[:6]
    page.wait_for_function(
        "text => document.querySelector('#value-learned')?.textContent.startsWith(text)",
        arg=text, timeout=60_000,
    )  # fmt: skip


def choose(page, name, value):
    page.locator(f"#{name}").click()
    page.get_by_role("option", name=value, exact=True).click()


@pytest.mark.slow
def test_the_page(page, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 900})
    given = {"steps": 10, "sampler": "ddim", "loss": "w2", "alpha_bar_range": (10**-4.39, 1.0)}
    spectrum, noise = {"slope": 2.0, "floor": 1e-6}, None

    def expected():
        data = sx.Spectrum.power_law(256, spectrum["slope"]).floor(spectrum["floor"])
        return sx.fit(data, noise=noise, **given).value

    shown(page, expected())
    for name, value in {"slope": 1.5, "floor": -3, "steps": 6, "noisy": -3, "clean": 2}.items():
        set_number(page, name, value)
        if name == "floor":
            spectrum[name] = 1e-3
        elif name == "slope":
            spectrum[name] = value
        elif name == "steps":
            given[name] = value
        else:
            ends = given["alpha_bar_range"]
            given["alpha_bar_range"] = (1e-3, ends[1]) if name == "noisy" else (1e-3, 0.99)
        shown(page, expected())
    set_number(page, "noise", -0.2)
    noise = sx.noise_spectrum("power_law", (256,), basis="data", exponent=-0.2)
    shown(page, expected())
    for name, value in (("sampler", "dpmpp_2m"), ("loss", "kl")):
        choose(page, name, value)
        given[name] = value
        shown(page, expected())
    assert page.locator("#value-cosine").count() == 1
    page.get_by_role("checkbox", name="cosine", exact=True).uncheck()
    page.wait_for_selector("#value-cosine", state="detached")

    slider = page.locator("#steps [role=slider]")  # by the keyboard alone
    slider.focus()
    page.keyboard.press("ArrowRight")
    given["steps"] = 7
    shown(page, expected())
    for name in ("levels", "ratios", "losses"):
        assert page.locator(f"#{name} .trace").count() > 0

    with page.expect_download() as download:
        page.get_by_role("button", name="Sigmas as text").click()
    sigmas = np.loadtxt(download.value.path())
    assert len(sigmas) == 8
    with page.expect_download() as download:
        page.get_by_role("button", name="Schedule file").click()
    path = tmp_path / "s.json"
    path.write_bytes(download.value.path().read_bytes())
    loaded = sx.load(path)
    np.testing.assert_allclose(np.asarray(loaded.schedule.sigmas), sigmas, rtol=1e-6)
    assert loaded.value == pytest.approx(expected())
    assert "loss='kl'" in page.inner_text("#code")

    link = page.url  # keeps the state
    assert "steps=7" in link
    page.goto(link.split("?")[0])
    shown(page, sx.fit(sx.Spectrum.power_law(256, 2.0), 10).value)
    page.goto(link)
    shown(page, expected())

    page.set_viewport_size({"width": 800, "height": 900})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 800
    address = link.split("?")[0]
    local = (address, "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(local)] == []
    assert page.faults == []
    page.close(run_before_unload=True)
    assert page.process.wait(30) == 0


@pytest.mark.slow
def test_a_moved_control_redraws_soon(page):
    """Within 100 ms on an idle machine; here within what a busy one may take."""
    page.wait_for_timeout(3000)
    took = page.evaluate("""async () => {
      const shown = () => document.querySelector("#value-learned").textContent;
      const thumb = document.querySelector("#steps [role=slider]"), took = [];
      for (let i = 0; i < 12; i++) {
        const before = shown(), start = performance.now();
        thumb.focus();
        const key = i % 2 ? "ArrowRight" : "ArrowLeft";
        thumb.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        while (shown() === before && performance.now() - start < 5000)
          await new Promise(done => requestAnimationFrame(done));
        took.push(performance.now() - start);
        await new Promise(done => setTimeout(done, 300));
      }
      return took;
    }""")
    print(json.dumps([round(x) for x in took]), time.process_time())
    assert np.median(took) < 1000


def test_the_ranges_hold_the_defaults():
    for name, one in RANGES.items():
        assert one.read(str(getattr(Settings, name))) == getattr(Settings, name)
