import json
from dataclasses import replace

import checks
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")


def driver(*argv):
    from experiments.__main__ import main

    return main(["run", "diffusers_pipelines", *argv])


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
    pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
    return found


@pytest.mark.thorough
# NumPy 2 on torch tensors, inside diffusers.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_smallest_run_trains_learns_and_judges(tmp_path, capsys, torch):
    argv = ["--smallest", "--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver(*argv) == 0
    assert "update 4 of 4" in capsys.readouterr().out
    first = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}
    cases = {"eps-0": 5, "zero_snr-0": 6, "flow-0": 3, "flow_longer-0": 6}  # and their steps
    assert first.keys() == {*cases, "shifts"}
    assert all(one["complete"] for one in first.values())
    assert driver(*argv) == 0
    assert capsys.readouterr().out == ""

    for name, steps in cases.items():
        one, each = first[name], 1 + name.startswith("flow")  # calls of a step
        rivals = one["rivals"][str(steps)].values()
        judged = [one["plans"][str(steps)]["judged"], *rivals]
        assert {x["calls"] for x in judged} == {steps * each}
        kind = one["fine"]["training"]["config"]["kind"]
        assert (tmp_path / "work" / kind / "samples.png").read_bytes()[:4] == b"\x89PNG"
    assert first["flow-0"]["guided"]["4 of 6"]["judged"]["calls"] == 6
    from experiments.__main__ import draw
    from experiments.diffusers_pipelines.configs import SMALLEST_CONFIGS
    from experiments.diffusers_pipelines.train import open_pipeline

    draw(["diffusers_pipelines"], tmp_path / "results", tmp_path)
    assert all((tmp_path / f"{name[:-2]}.png").exists() for name in cases)
    other = replace(SMALLEST_CONFIGS["eps"], updates=5)
    assert "eps" in checks.one_line(open_pipeline, other, tmp_path / "work" / "eps")


def test_a_flow_that_answers_its_velocity_has_no_loss(torch):
    """The transformer is told 1000 t and the class, and answers eps - x0."""
    from types import SimpleNamespace

    from experiments.diffusers_pipelines.configs import FLOW, NetworkConfig
    from experiments.diffusers_pipelines.networks import loss_of

    clean, labels = torch.full((64, 1, 2, 2), 0.25), torch.arange(64) % 3
    told = []

    def network(x, tokens, pooled, timesteps):
        t = timesteps[:, None, None, None] / 1000
        told.append(pooled)
        return SimpleNamespace(sample=(x - clean) / t)  # x - x0 = t (eps - x0)

    network.config = SimpleNamespace(joint_attention_dim=4)
    loss = loss_of(network, None, clean, labels, NetworkConfig(FLOW, unlabelled=0.0))
    assert float(loss) < 1e-6
    np.testing.assert_array_equal(told[0].argmax(1), labels)
    loss_of(network, None, clean, labels, NetworkConfig(FLOW, unlabelled=1.0))
    assert set(told[1].argmax(1).tolist()) == {3}


def test_without_torch_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver("--smallest", "--cases", "eps", *folders) == 0
    assert "pip install" in capsys.readouterr().out
    assert list(tmp_path.glob("results/*")) == []


def test_pictures_are_packed_as_bytes():
    from experiments.diffusers_pipelines.run import packed, unpacked

    images = np.linspace(-1.2, 1.2, 32, dtype="f4").reshape(2, 1, 4, 4)
    expected = np.clip(np.round((images[:, 0] + 1) * 127.5), 0, 255)
    np.testing.assert_array_equal(unpacked(packed(images)), expected)


def test_claims_compare_calls_of_the_network_not_steps(tmp_path):
    """3 guided steps, 6 calls, against the best of two schedulers at 5 steps, 10 calls."""
    from experiments.diffusers_pipelines.summary import MEASURES, claims, tables

    def judged(value, calls):
        return {**dict.fromkeys(MEASURES, value), "calls": calls, "pictured": []}

    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        rivals = {
            str(steps): {"a": judged(a + shift, 2.0 * steps), "b": judged(b, 2.0 * steps)}
            for steps, a, b in ((3, 9.0, 8.0), (5, 4.0, 6.0))
        }
        document = {
            "seed": seed, "config": {"fine": 64}, "fine": {"frechet": 1.0}, "rivals": rivals,
            "plans": {"3": {"judged": judged(3.0 + shift, 6.0)}},
        }  # fmt: skip
        (tmp_path / f"flow-{seed}.json").write_text(json.dumps(document))
    found = [one for one in claims(tmp_path) if "guided: the learned" in one.claim]
    assert len(found) == 2 * len(MEASURES)
    assert {one.verdict for one in found} == {"yes"}
    assert {one.measured.split("against ")[1] for one in found} == {
        "8.00 ± 0.00 (b)", "4.00 ± 0.06 (a)",
    }  # fmt: skip
    assert any(one.verdict == "not yet run" for one in claims(tmp_path))
    assert "| **learned plan** | 3 | 6 | 3.00 ± 0.06 |" in "\n".join(tables(tmp_path))
