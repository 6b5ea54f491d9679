"""Python and the command compute the same, bit for bit on the CPU path; the command of the wheel is the binary's."""

import csv
import json
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pgn_wgpu
import pytest


def safetensors(path):
    """The arrays of a file, by its published layout: the length of a JSON head, the head, the bytes."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    kinds = {"F32": "<f4", "I64": "<i8", "BOOL": "?"}
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data[8 + length + begin : 8 + length + end], kinds[entry["dtype"]])
            arrays[name] = values.reshape(entry["shape"])
    return arrays


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_logits_are_those_of_predict(model, run, digits, command, tmp_path):
    images, _ = digits
    np.save(tmp_path / "images.npy", images)
    done = command(
        "predict", run, "--adapter", "cpu", "--images", tmp_path / "images.npy", "--save", tmp_path / "logits.npy"
    )
    assert done.returncode == 0, done.stderr
    assert same_bits(model(images), np.load(tmp_path / "logits.npy"))
    assert (model(images).argmax(1) == digits[1]).mean() > 0.8, "the tests need a model that has learned"


@pytest.mark.parametrize(
    ("attack", "flags", "options"),
    [
        ("fgm", ["--norm", "linf", "--epsilon", "8/255"], {"norm": "linf", "eps": "8/255"}),
        ("pgd", ["--random-start", "--seed", "3"], {"random_start": True, "seed": 3}),
        ("apgd-t", ["--epsilon", "0.5", "--iterations", "10"], {"eps": 0.5, "norm": "l2", "iterations": 10}),
        ("deepfool", [], {}),
        ("cw", ["--iterations", "20", "--no-abort"], {"iterations": 20, "no_abort": True}),
        ("square", ["--norm", "linf", "--queries", "50"], {"norm": "linf", "queries": 50}),
        ("pgd", ["--target", "least-likely", "--epsilon", "1.5"], {"target": "least-likely", "eps": 1.5}),
    ],
)
def test_attacks_are_those_of_attack(model, run, digits, command, tmp_path, attack, flags, options):
    saved = tmp_path / "attacked.safetensors"
    done = command("attack", "--adapter", "cpu", "--model", run, "--attack", attack, *flags, "--save", saved)
    assert done.returncode == 0, done.stderr
    file, own = safetensors(saved), model.attack(*digits, attack, **options)
    assert same_bits(file["images"], digits[0]) and same_bits(file["labels"], digits[1])
    assert same_bits(own.images, file["adversarial"])
    assert same_bits(own.l2, file["l2"]) and same_bits(own.linf, file["linf"])
    assert same_bits(own.success, file["fooled"]) and own.success.any()
    assert same_bits(own.predictions, file["predictions"])
    assert own.norms == {"l2": own.l2, "linf": own.linf}


@pytest.mark.parametrize("version", ["quick", "smallest"])
def test_verdicts_are_those_of_verdict(model, run, digits, command, tmp_path, version):
    line = ["--adapter", "cpu", "--norm", "linf", "--epsilon", "0.1", "--version", version]
    files = ["--out", tmp_path / "out", "--csv", tmp_path / "images.csv"]
    done = command("verdict", run, *line, *files)
    assert done.returncode == 0, done.stderr
    own = model.verdict(*digits, norm="linf", eps=0.1, version=version)
    theirs = json.loads((tmp_path / "out/verdict.json").read_text())
    seconds = lambda attacks: [{**attack, "seconds": 0} for attack in attacks]
    for key in ["norm", "epsilon", "version", "images", "classifier", "benign-accuracy", "robust-accuracy", "warnings"]:
        assert own.report[key] == theirs[key], key
    assert seconds(own.attacks) == seconds(theirs["attacks"])
    rows = list(csv.DictReader((tmp_path / "images.csv").open()))
    assert [row["broken_by"] for row in rows] == [name or "" for name in own.broken_by]
    assert [row["robust"] == "true" for row in rows] == own.robust.tolist()
    assert [float(row["linf"] or "nan") for row in rows] == pytest.approx(own.linf.tolist(), rel=0, abs=0, nan_ok=True)
    assert own.robust_accuracy == own.robust.mean() < own.benign_accuracy
    assert own.interval == (theirs["robust-accuracy"]["low"], theirs["robust-accuracy"]["high"])


def test_a_run_is_that_of_train(folder, command):
    line = ["--method", "pgn", "--epochs", "2", "--width", "0.03125", "--adapter", "cpu", "--seed", "5"]
    done = command("train", *line, "--out", "runs/by-command")
    assert done.returncode == 0, done.stderr
    told = []
    run = pgn_wgpu.train(
        method="pgn",
        epochs=2,
        width=0.03125,
        adapter="cpu",
        seed=5,
        out=folder / "runs/by-python",
        on_epoch=told.append,
    )
    weights = [folder / name / "model.safetensors" for name in ("runs/by-command", "runs/by-python")]
    assert all(same_bits(a, b) for a, b in zip(*(safetensors(path).values() for path in weights)))
    assert [record["epoch"] for record in told] == [0, 1] == [record["epoch"] for record in run.epochs]
    assert len(run.steps) == run.steps[-1]["step"] and 0 < run.test["benign_accuracy"] <= 1


def test_the_command_ends_with_the_codes_and_sentences_of_the_binary(command):
    assert command("--version").stdout.split() == ["pgn-wgpu", pgn_wgpu.__version__]
    unknown = command("attack", "--model", "nowhere", "--attack", "pgd")
    assert unknown.returncode == 1 and unknown.stderr.startswith("error: ") and "nowhere" in unknown.stderr
    wrong = command("train", "--epochs", "none")
    assert wrong.returncode == 2 and "--epochs none is not possible" in wrong.stderr


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "pgn_wgpu", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("pgn-wgpu "), done


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals")
def test_ctrl_c_saves_a_run_of_the_command_and_ends_with_130(folder):
    line = [sys.executable, "-m", "pgn_wgpu", "train", "--epochs", "100000", "--adapter", "cpu", "--out", "runs/ended"]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until((folder / "runs/ended/metrics.jsonl").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err and "everything is saved" in out


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
