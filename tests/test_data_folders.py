import io
import json
import subprocess
import sys

import numpy as np
import pytest
from checks import one_line
from PIL import Image

from specjax import data
from specjax.data import batching

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
pytest.importorskip("soxr", reason="soxr is not installed")

# A resampler's ripple in its pass band, and 16-bit rounding.
SOUND_TOLERANCE = 1e-3
WHITE = 255


def picture(height=12, width=10, seed=0, channels=3):
    """A smooth random picture: rescaling it is a matter of taste to within a grey level or two."""
    shape = (4, 4, channels) if channels > 1 else (4, 4)
    coarse = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pictures(root, count, suffix=".png", **options):
    root.mkdir(exist_ok=True, parents=True)
    made = [picture(seed=seed, **options) for seed in range(count)]
    for number, image in enumerate(made):
        image.save(root / f"{number:03}{suffix}", lossless=True)
    return np.stack([np.asarray(image) for image in made])


def sine(frequency, rate, seconds=0.5, peak=0.3):
    return peak * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def sounds(root, *clips, rate=8000, suffix=".wav"):
    root.mkdir(exist_ok=True, parents=True)
    for number, clip in enumerate(clips):
        soundfile.write(root / f"{number:03}{suffix}", clip, rate)
    return root


def read(opened):
    return np.concatenate(list(opened.samples))


# Images


@pytest.mark.parametrize("suffix", [".png", ".webp", ".PNG"])
def test_images_are_read_in_the_order_of_their_names(tmp_path, suffix):
    expected = pictures(tmp_path, 5, suffix)
    opened = data.open(tmp_path)
    assert opened.data_range == (0, 255)
    assert opened.source["shape"] == [12, 10, 3]
    np.testing.assert_array_equal(read(opened), expected)
    np.testing.assert_array_equal(read(opened), expected)  # a second pass reads them anew
    assert (opened.source["samples"], opened.source["skipped"]) == (5, 0)


def test_jpegs_are_what_pillow_decodes(tmp_path):
    pictures(tmp_path, 3, ".jpg")
    expected = [np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir())]
    np.testing.assert_array_equal(read(data.open(tmp_path)), expected)


def test_the_spectrum_of_a_folder_is_that_of_its_array(tmp_path):
    images = pictures(tmp_path, 30)
    progress = []
    spectrum = data.open(tmp_path).spectrum(progress=lambda *seen: progress.append(seen))
    direct = data.open(images).spectrum()
    np.testing.assert_allclose(spectrum.eigenvalues, direct.eigenvalues, atol=1e-10)
    assert progress[-1] == (30, 30)
    assert (spectrum.source["kind"], spectrum.source["files"]) == ("images", 30)
    json.dumps(spectrum.source)


def test_subfolders_are_read_and_hidden_files_are_not(tmp_path):
    inner = pictures(tmp_path / "b" / "deep", 2)
    outer = pictures(tmp_path / "a", 1)
    (tmp_path / "a" / "._000.png").write_bytes(b"resource fork")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("1")
    opened = data.open(str(tmp_path), strict=True)
    np.testing.assert_array_equal(read(opened), np.concatenate([outer, inner]))


def test_grey_images_stay_grey_unless_asked(tmp_path):
    grey = pictures(tmp_path, 3, channels=1)
    np.testing.assert_array_equal(read(data.open(tmp_path)), grey)
    coloured = read(data.open(tmp_path, colour="rgb"))
    np.testing.assert_array_equal(coloured, np.repeat(grey[..., None], 3, -1))


def test_colour_becomes_grey_by_the_luma_of_bt601(tmp_path):
    rgb = pictures(tmp_path, 3)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read(data.open(tmp_path, colour="grey")), luma, atol=0.6)


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    values = np.arange(0, 65536, 257 * 3, dtype=np.uint16).reshape(2, 43)
    for name in "ab":
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    expected = np.arange(0, 256, 3).reshape(2, 43)
    np.testing.assert_array_equal(read(data.open(tmp_path))[1], expected)


def test_what_is_transparent_lies_on_white(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, [[0, 255, 51], [0, 255, 51]]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    # alpha = 51 / 255 = 0.2: a fifth of the colour, four fifths of white.
    row = [[WHITE] * 3, [200, 0, 0], [244, 204, 204]]
    np.testing.assert_array_equal(read(data.open(tmp_path)), [[row, row]])


def test_photographs_are_upright(tmp_path):
    upright = picture()
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: np.rot90, 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    for orientation, turn in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = Image.fromarray(np.ascontiguousarray(turn(np.asarray(upright))))
        turned.save(tmp_path / "x.png", exif=exif)
        np.testing.assert_array_equal(read(data.open(tmp_path))[0], upright)


def test_resize_is_pillows_lanczos(tmp_path):
    made = [picture(30, 20, seed=1), picture(17, 40, seed=2)]
    for number, image in enumerate(made):
        image.save(tmp_path / f"{number}.png")
    expected = [image.resize((6, 9), Image.Resampling.LANCZOS) for image in made]
    opened = data.open(tmp_path, size=(9, 6))
    np.testing.assert_array_equal(read(opened), [np.asarray(image) for image in expected])
    assert (opened.source["size"], opened.source["fit"]) == ([9, 6], "resize")


@pytest.mark.parametrize(("height", "width"), [(40, 20), (20, 40), (20, 20), (72, 24)])
def test_crop_scales_the_shorter_side_and_keeps_the_middle(tmp_path, height, width):
    image = picture(height, width)
    image.save(tmp_path / "x.png")
    scale = 10 / min(height, width)
    size = (round(width * scale), round(height * scale))
    scaled = np.asarray(image.resize(size, Image.Resampling.LANCZOS), int)
    y, x = (size[1] - 10) // 2, (size[0] - 10) // 2
    found = read(data.open(tmp_path, size=10, fit="crop"))[0]
    # Cropped after scaling and before it: one rounding to 8 bits apart, in each direction.
    np.testing.assert_allclose(found, scaled[y : y + 10, x : x + 10], atol=2)


def test_mixed_sizes_need_a_size(tmp_path):
    picture(10, 12).save(tmp_path / "a.png")
    picture(10, 13).save(tmp_path / "b.png")
    said = one_line(data.open, tmp_path)
    assert "a.png is 10x12, b.png is 10x13 (height x width): give size=... (--size)" in said
    assert read(data.open(tmp_path, size=8)).shape == (2, 8, 8, 3)


def truncated(image, suffix=".png"):
    file = io.BytesIO()
    image.save(file, {".png": "PNG", ".jpg": "JPEG"}[suffix])
    return file.getvalue()[: len(file.getvalue()) // 2]


BAD_IMAGES = {
    "bad0.png": b"",
    "bad1.png": b"this is text",
    "bad2.png": truncated(picture()),
    "bad3.jpg": truncated(picture(), ".jpg"),
    "bad4.png": truncated(picture())[:20],
    "bad5.webp": b"RIFF\0\0\0\0WEBPVP8 ",
}


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_images_are_named_counted_and_skipped(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(batching, "decoding_threads", lambda pixels: threads)
    good = pictures(tmp_path, 4)
    for name, content in BAD_IMAGES.items():
        (tmp_path / name).write_bytes(content)
    opened = data.open(tmp_path)
    assert opened.skipped == []
    spectrum = opened.spectrum()
    assert [name for name, _ in opened.skipped] == sorted(BAD_IMAGES)
    reasons = dict(opened.skipped)
    assert reasons["bad0.png"] == "is empty"
    assert reasons["bad1.png"] == "is not a PNG, JPEG or WebP image"
    assert "truncated" in reasons["bad3.jpg"].lower()
    assert (spectrum.source["samples"], spectrum.source["skipped"]) == (4, len(BAD_IMAGES))
    assert str(tmp_path) not in str(spectrum.source) + str(opened.skipped)
    np.testing.assert_array_equal(read(opened), good)
    assert len(opened.skipped) == len(BAD_IMAGES)  # of one pass, not of all
    strict = one_line(lambda: read(data.open(tmp_path, strict=True)))
    assert "bad0.png is bad (is empty)" in strict


def test_a_folder_of_bad_files_is_refused(tmp_path):
    for name, content in BAD_IMAGES.items():
        (tmp_path / name).write_bytes(content)
    said = one_line(data.open, tmp_path)
    assert "all 6 are bad, the first is bad0.png (is empty)" in said
    picture().save(tmp_path / "x.png")
    assert "all 3 are bad" in one_line(read, data.open(tmp_path, shard=(0, 2)))


def test_batches_are_bounded_and_nothing_is_lost(tmp_path, monkeypatch):
    images = pictures(tmp_path, 23)
    monkeypatch.setattr(batching, "BATCH_BYTES", 4 * 12 * 10 * 3)
    opened = data.open(tmp_path)
    assert [len(batch) for batch in opened.samples] == [4] * 5 + [3]
    np.testing.assert_array_equal(read(opened), images)
    np.testing.assert_array_equal(read(data.open(tmp_path, limit=6)), images[:6])


def test_kinds_of_folders(tmp_path):
    assert "is a folder without images" in one_line(data.open, tmp_path)
    picture().save(tmp_path / "a.png")
    sounds(tmp_path, sine(440, 8000))
    said = one_line(data.open, tmp_path)
    assert "has images (a.png) and sound (000.wav): give a folder of one kind" in said


def test_an_image_of_the_size_is_left_as_it_is(tmp_path):
    images = pictures(tmp_path, 2)
    np.testing.assert_array_equal(read(data.open(tmp_path, size=(12, 10), fit="crop")), images)


# Sound


def test_windows_are_cut_from_the_normalised_file(tmp_path):
    clips = [sine(440, 8000, peak=peak) for peak in (0.05, 0.9)]
    opened = data.open(sounds(tmp_path, *clips))
    assert opened.source["shape"] == [400]
    assert opened.data_range == (-1, 1)
    expected = np.concatenate([(clip / np.abs(clip).max()).reshape(10, 400) for clip in clips])
    np.testing.assert_allclose(read(opened), expected, atol=SOUND_TOLERANCE)
    spectrum = opened.spectrum()
    assert (spectrum.source["rate"], spectrum.source["samples"]) == (8000, 20)


def test_flac_is_what_wav_is(tmp_path):
    clip = np.round(sine(440, 8000) * 2**15).astype(np.int16)
    wav, flac = (sounds(tmp_path / s, clip, suffix=s) for s in (".wav", ".flac"))
    np.testing.assert_array_equal(read(data.open(wav)), read(data.open(flac)))


@pytest.mark.parametrize(("window", "hop"), [(100, 100), (100, 30), (64, 200)])
def test_windows_and_hops(tmp_path, window, hop):
    clip = sine(440, 8000, peak=0.5)
    sounds(tmp_path, clip)
    found = read(data.open(tmp_path, window=window, hop=hop, normalise="none"))
    starts = range(0, len(clip) - window + 1, hop)
    expected = [clip[start : start + window] for start in starts]
    np.testing.assert_allclose(found, expected, atol=1 / 2**15)


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16000), (44100, 16000), (16000, 8000)])
def test_a_sine_keeps_its_frequency_at_another_rate(tmp_path, rate, wanted):
    sounds(tmp_path, sine(500, rate, seconds=1), rate=rate)
    opened = data.open(tmp_path, rate=wanted, window=wanted // 2)
    middle = read(opened)[0]
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    frequencies = np.fft.rfftfreq(len(middle), 1 / wanted)
    assert frequencies[power.argmax()] == pytest.approx(500)
    assert power[np.abs(frequencies - 500) < 10].sum() > 0.999 * power.sum()
    assert (middle**2).mean() == pytest.approx(0.5, rel=0.01)
    assert opened.source["rate"] == wanted


def test_stereo_is_averaged(tmp_path):
    left, right = sine(440, 8000), sine(600, 8000)
    sounds(tmp_path, np.stack([left, right], 1))
    found = read(data.open(tmp_path, normalise="none")).ravel()
    np.testing.assert_allclose(found, (left + right) / 2, atol=1 / 2**15)


def test_silent_windows_are_dropped(tmp_path):
    levels = [-20, -39, -41, -80]
    parts = [np.full(400, 10 ** (level / 20)) for level in levels]
    clip = np.concatenate([[1.0], *parts])[:-1]
    soundfile.write(tmp_path / "x.wav", clip, 8000, subtype="FLOAT")
    # The peak is the first sample, so each window's level is its root mean square.
    kept = [len(read(data.open(tmp_path, silence=level))) for level in (-100, -60, -40, -30)]
    assert kept == [4, 3, 2, 1]
    assert len(read(data.open(tmp_path))) == 2


def test_mixed_rates_need_a_rate(tmp_path):
    sounds(tmp_path / "a", sine(440, 8000))
    sounds(tmp_path / "b", sine(440, 16000), rate=16000)
    said = one_line(read, data.open(tmp_path))
    assert "a/000.wav has 8000 Hz, b/000.wav has 16000 Hz: give rate=... (--rate)" in said
    assert read(data.open(tmp_path, rate=8000)).shape == (20, 400)


def test_bad_sound_is_named_counted_and_skipped(tmp_path):
    good = sine(440, 8000)
    sounds(tmp_path, good, good)
    whole = (tmp_path / "000.wav").read_bytes()
    sounds(tmp_path / "flac", good, suffix=".flac")
    flac = (tmp_path / "flac" / "000.flac").read_bytes()
    contents = {
        "x0.wav": b"", "x1.wav": b"text", "x2.wav": whole[:4000], "x3.wav": whole[:44],
        "x4.flac": flac[: len(flac) // 2], "x5.flac": whole[:100],
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    clips = {"y0.wav": 0 * good, "y1.wav": good[:399], "y2.wav": good * np.nan}
    for name, clip in clips.items():
        soundfile.write(tmp_path / name, clip, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "y3.wav", np.zeros(0), 8000)
    opened = data.open(tmp_path)
    assert len(read(opened)) == 30
    reasons = dict(opened.skipped)
    assert sorted(reasons) == sorted([*contents, *clips, "y3.wav"])
    assert reasons["x2.wav"] == f"is truncated: 4000 of {len(whole)} bytes"
    assert reasons["y0.wav"] == "is silent"
    assert reasons["y1.wav"] == "has 399 samples, less than a window of 400"
    assert reasons["y2.wav"] == "has NaN or infinite values"
    assert opened.source["skipped"] == 10
    assert "x0.wav is bad" in one_line(lambda: read(data.open(tmp_path, strict=True)))


@pytest.mark.parametrize(("missing", "options"), [("soundfile", {}), ("soxr", {"rate": 4000})])
def test_missing_libraries_of_sound(tmp_path, monkeypatch, missing, options):
    sounds(tmp_path, sine(440, 8000))
    monkeypatch.setitem(sys.modules, missing, None)
    said = one_line(data.open, tmp_path, **options)
    assert missing in said
    assert "specjax[audio]" in said


def test_real_sound(data_folder):
    digits = data.open(data_folder / "spoken_digits")
    count = sum(map(len, digits.samples))
    # 11 minutes at 8 kHz are 13,200 windows of 400, less the pauses and what is left at the ends.
    assert 9_000 < count < 12_500
    assert digits.skipped == []
    assert digits.source["rate"] == 8000
    notes = data.open(data_folder / "piano_notes")
    assert 1_000 < sum(map(len, notes.samples)) < 8_300
    assert notes.source["rate"] == 16000


# Batches


def latents(n=30, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "given",
    [
        lambda x: np.array_split(x, 4),
        lambda x: tuple(np.array_split(x, 4)),
        lambda x: iter(np.array_split(x, 4)),
        lambda x: (part for part in np.array_split(x, 4)),
        lambda x: lambda: (part for part in np.array_split(x, 4)),
    ],
    ids=["list", "tuple", "iterator", "generator", "callable"],
)
def test_batches_are_the_array_they_are_parts_of(given):
    x = latents()
    opened = data.open(given(x))
    assert opened.source["shape"] == [3, 4]
    assert opened.data_range is None
    spectrum = opened.spectrum()
    expected = data.open(x).spectrum()
    np.testing.assert_allclose(spectrum.eigenvalues, expected.eigenvalues, rtol=1e-9, atol=1e-12)
    assert spectrum.source["samples"] == 30


def test_integers_in_batches_have_a_range():
    x = np.random.default_rng(0).integers(0, 256, (30, 5), dtype=np.uint8)
    opened = data.open([x[:10], x[10:]])
    assert opened.data_range == (0, 255)
    expected = data.open(x).spectrum().eigenvalues
    np.testing.assert_allclose(opened.spectrum().eigenvalues, expected, rtol=1e-9)
    given = data.open([x.astype(np.int16)], data_range=(0, 255)).spectrum().eigenvalues
    np.testing.assert_allclose(given, expected, rtol=1e-9)
    assert "need data_range" in one_line(data.open, [x.astype(np.int16)])


def test_a_generator_can_be_read_once_and_a_callable_again():
    x = latents()
    once = data.open(part for part in (x[:20], x[20:]))
    np.testing.assert_array_equal(read(once), x)
    assert "cannot be read again" in one_line(read, once)
    often = data.open(lambda: iter((x[:20], x[20:])), limit=25)
    for _ in range(3):
        np.testing.assert_array_equal(read(often), x[:25])


def test_what_is_no_batches():
    parts = [[], [(np.eye(3), 1)], [{"x": np.eye(3)}]]
    generators = [(part for part in each) for each in parts]
    for spec in (*generators, lambda: 3, [np.zeros(3)], {"x": np.eye(3)}, b"x", []):
        assert "batch" in one_line(data.open, spec)


def test_batches_of_other_dtypes_or_shapes():
    assert "dtype int64, those before float64" in one_line(
        data.open([np.eye(3), np.eye(3, dtype=np.int64)]).spectrum
    )
    assert "shape (4,), those before (3,)" in one_line(data.open([np.eye(3), np.eye(4)]).spectrum)


# Shards


def rows_of(samples):
    return samples if isinstance(samples, np.ndarray) else np.concatenate(list(samples))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_disjoint_and_complete(tmp_path, count):
    images = pictures(tmp_path / "images", 7)
    np.save(tmp_path / "x.npy", images)
    for spec in (tmp_path / "images", tmp_path / "x.npy", images):
        parts = [data.open(spec, shard=(index, count)) for index in range(count)]
        found = [rows_of(part.samples) for part in parts]
        np.testing.assert_array_equal(np.concatenate(found), images)
        assert parts[0].source["shard"] == [0, count]
        assert max(map(len, found)) - min(map(len, found)) <= 1


def test_all_shards_have_the_colour_and_size_of_the_first_image(tmp_path):
    pictures(tmp_path / "a", 2, channels=1)
    pictures(tmp_path / "b", 2)
    assert data.open(tmp_path, shard=(1, 2)).source["shape"] == [12, 10]
    assert read(data.open(tmp_path, shard=(1, 2))).shape == (2, 12, 10)


def test_shards_that_are_none():
    for shard in ((2, 2), (-1, 2), (0, 0), (0.0, 2), (0,), 3, "ab", (True, 2)):
        assert f"shard = {shard!r}" in one_line(data.open, "digits", shard=shard)


def test_more_shards_than_samples():
    assert "give at most 3 shards" in one_line(data.open, np.eye(3), shard=(0, 4))


# Options


def test_options_of_another_kind(tmp_path):
    pictures(tmp_path / "images", 1)
    sounds(tmp_path / "sound", sine(440, 8000))
    x = np.eye(3)
    given = {
        "rate": (tmp_path / "images", 8000), "size": (tmp_path / "sound", 8),
        "colour": (tmp_path / "sound", "rgb"), "key": (tmp_path / "images", "x"),
        "silence": (tmp_path / "images", 0), "window": (x, 4), "strict": (x, True),
        "data_dir": (x, "."), "shard": ([x], (0, 2)), "label": ("digits", "y"),
    }  # fmt: skip
    for name, (spec, value) in given.items():
        assert f"{name} = {value!r} applies to" in one_line(data.open, spec, **{name: value})


def test_values_of_options(tmp_path):
    given = {
        "size": [0, (1, 2, 3)], "colour": ["gray"], "rate": [0], "silence": [3, -np.inf],
        "normalise": ["rms"], "fit": ["corp", "crop"], "hop": [0], "window": [1],
    }  # fmt: skip
    for name, values in given.items():
        for value in values:  # fit = 'crop' lacks a size
            assert f"{name} = {value!r}" in one_line(data.open, tmp_path, **{name: value})
    assert "option = 'sise'" in one_line(data.open, tmp_path, sise=8)


def test_options_as_a_value(tmp_path):
    images = pictures(tmp_path, 3)
    opened = data.open(tmp_path, data.Options(limit=2), limit=1)
    np.testing.assert_array_equal(read(opened), images[:1])


@pytest.mark.thorough
def test_libraries_are_imported_when_a_folder_is_opened(tmp_path):
    picture().save(tmp_path / "x.png")
    code = (
        "import sys, specjax\n"
        "names = ('PIL', 'soundfile', 'soxr', 'tensorflow_datasets')\n"
        "def heavy(): return [name for name in names if name in sys.modules]\n"
        "assert heavy() == [], heavy()\n"
        f"specjax.data.open({str(tmp_path)!r})\n"
        "assert heavy() == ['PIL'], heavy()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
