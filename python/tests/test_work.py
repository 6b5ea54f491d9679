"""What computing in an interpreter asks for: memory that stays, Ctrl-C that ends it, other threads that go on."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pgn_wgpu
import pytest

#: What a hundred attacks may add to the memory of the process: noise of the allocator, and far below the 100 x 100 KB that
#: keeping each attack's images would take.
MOST_GROWTH = 4 << 20

WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals")


def resident():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="Linux tells the memory of a process")
def test_the_memory_of_a_hundred_attacks_does_not_grow(model, digits):
    images, labels = digits
    attack = lambda: model.attack(images, labels, "pgd", iterations=3)
    for _ in range(20):
        attack()
    gc.collect()
    before = resident()
    for _ in range(100):
        attack()
    gc.collect()
    assert resident() - before < MOST_GROWTH, f"{(resident() - before) >> 10} KiB more"


def ctrl_c_soon(seconds=0.3):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@WINDOWS
@pytest.mark.parametrize(
    "work",
    [
        lambda model, digits: model.attack(*digits, "square", queries=1_000_000, eps=0.01),
        lambda model, digits: model.attack(*digits, "pgd", iterations=100_000, eps=0.01),
        lambda model, digits: model.verdict(*digits, eps=0.01, version="full"),
    ],
    ids=["square", "pgd", "verdict"],
)
def test_ctrl_c_ends_the_work_and_is_raised(model, digits, work):
    timer = ctrl_c_soon()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work(model, digits)
    timer.join()
    assert time.monotonic() - started < 10
    assert model(digits[0]).shape == (400, 10), "the model is as good as before"


@WINDOWS
def test_ctrl_c_saves_a_run_which_goes_on(folder):
    out = folder / "runs/interrupted"
    timer = ctrl_c_soon(1)
    with pytest.raises(KeyboardInterrupt, match="everything is saved, continue with .*resume=.*interrupted"):
        pgn_wgpu.train(method="natural", epochs=100_000, width=0.03125, adapter="cpu", out=out)
    timer.join()
    done = pgn_wgpu.Run(out).steps[-1]["step"]
    run = pgn_wgpu.train(resume=out, max_steps=done + 5)
    assert run.steps[-1]["step"] == done + 5


def test_what_a_callback_raises_ends_the_run(folder):
    def broken(record):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        pgn_wgpu.train(
            method="natural", epochs=100_000, width=0.03125, adapter="cpu", out=folder / "runs/enough", on_epoch=broken
        )


def test_other_threads_go_on_meanwhile(model, digits):
    turns = 0
    ended = threading.Event()

    def count():
        nonlocal turns
        while not ended.wait(0.001):
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    model.attack(*digits, "square", queries=500, eps=0.01)
    ended.set()
    thread.join()
    assert turns > 20


def test_two_threads_may_use_one_model(model, digits):
    alone, found = model.attack(*digits, "pgd").images, []
    threads = [threading.Thread(target=lambda: found.append(model.attack(*digits, "pgd").images)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and all((images == alone).all() for images in found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody forks a process with threads")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_refused_in_place_of_waiting_for_ever(model, digits):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Ends a child that waits.
        signal.alarm(60)
        try:
            model(digits[0])
        except pgn_wgpu.Error as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert "was forked after pgn_wgpu had computed" in said and "spawn" in said
    assert model(digits[0]).shape == (400, 10), "the parent goes on"


def test_files_and_options_that_cannot_be_are_refused(tmp_path, run):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    for path in [tmp_path / "nowhere.onnx", broken, tmp_path]:
        with pytest.raises(pgn_wgpu.Error) as caught:
            pgn_wgpu.load(path, adapter="cpu")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(pgn_wgpu.Error, match="no-such-adapter"):
        pgn_wgpu.load(run, adapter="no-such-adapter")
    with pytest.raises(ValueError, match="no option folder"):
        pgn_wgpu.load(run, folder=3)
    with pytest.raises(pgn_wgpu.Error, match="mean"):
        pgn_wgpu.load(run, adapter="cpu", mean=0.5)
    with pytest.raises(ValueError, match="epochs many is not possible; it must be a whole number"):
        pgn_wgpu.train(epochs="many")
    with pytest.raises(ValueError, match="train has no option epoch; choose one of epochs"):
        pgn_wgpu.train(epoch=3)
    with pytest.raises(pgn_wgpu.Error, match="iterations has no effect with method natural"):
        pgn_wgpu.train(method="natural", iterations=3, adapter="cpu", out=tmp_path / "run")
    with pytest.raises(pgn_wgpu.Error, match="nowhere"):
        pgn_wgpu.Run(tmp_path / "nowhere")


def test_results_are_equal_to_themselves_and_can_be_kept_in_sets(model, digits):
    few = [part[:5] for part in digits]
    attack, verdict = model.attack(*few, "fgm"), model.verdict(*few)
    assert attack == attack and attack != model.attack(*few, "fgm")
    assert len({attack, verdict}) == 2


def test_whole_numbers_of_numpy_are_whole_numbers(model, digits, coloured):
    few = [part[:5] for part in digits]
    verdict = model.verdict(*few, batch_size=np.int64(3))
    assert (verdict.robust == model.verdict(*few).robust).all()
    with pytest.raises(ValueError, match="batch_size 2.5 is not possible"):
        model.verdict(*few, batch_size=2.5)
    for size, shape in [(np.int64(8), (3, 8, 8)), ((np.int64(8), np.int64(12)), (3, 8, 12))]:
        assert pgn_wgpu.load(coloured.file, adapter="cpu", size=size).shape == shape
    for size in [np.int64(0), 8.0, (8, 12, 3)]:
        with pytest.raises(ValueError, match="size .* is not possible"):
            pgn_wgpu.load(coloured.file, adapter="cpu", size=size)


def test_numpy_alone_is_imported():
    line = "import pgn_wgpu, sys; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'jax')))"
    assert subprocess.run([sys.executable, "-c", line], timeout=60).returncode == 0
