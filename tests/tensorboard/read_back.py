"""Reads the event files of a run with TensorBoard and compares every scalar with metrics.jsonl.

`python tests/tensorboard/read_back.py RUN`, with `pip install tensorboard`; `make tensorboard` does both for a run that
was interrupted. Exits with 1 if a scalar is missing, there twice, or another one.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "step": {
        "loss": "train/loss",
        "accuracy": "train/accuracy",
        "delta": "train/delta",
        "predicted_delta": "train/predicted_delta",
    },
    "epoch": {
        "benign_accuracy": "validation/benign_accuracy",
        "pgd_accuracy": "validation/pgd_accuracy",
        "fgm_accuracy": "validation/fgm_accuracy",
        "generator_accuracy": "validation/generator_accuracy",
        "delta": "validation/delta",
        "generator_loss": "validation/generator_loss",
        "fgm_loss": "validation/fgm_loss",
        "images_per_second": "train/images_per_second",
    },
}

run = pathlib.Path(sys.argv[1])
expected = {}
ends = set()
for line in (run / "metrics.jsonl").read_text().splitlines():
    record = json.loads(line)
    if record["kind"] == "epoch":
        ends.add(record["step"])
    # Lines of other kinds, such as "run", have no scalars.
    for key, tag in TAGS.get(record["kind"], {}).items():
        if key in record:
            expected.setdefault(tag, []).append((record["step"], record[key]))

# 0: every scalar, rather than a sample.
events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
events.Reload()
found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
files = len(list((run / "tensorboard").iterdir()))

# A session that ends within an epoch leaves a point, which goes from metrics.jsonl when the epoch goes on.
cut = set()
for tag in found.keys() & set(TAGS["epoch"].values()):
    cut |= {step for step, _ in found[tag]} - ends
    found[tag] = [(step, value) for step, value in found[tag] if step in ends]

wrong = [f"tags {sorted(found)} instead of {sorted(expected)}"] if found.keys() != expected.keys() else []
if len(cut) >= files:
    wrong.append(f"{files} sessions were cut off at steps {sorted(cut)}: each but the last can be so once")
for tag in found.keys() & expected.keys():
    same_steps = [step for step, _ in found[tag]] == [step for step, _ in expected[tag]]
    # Scalars are float32.
    near = all(abs(a - b) <= 1e-6 * max(1.0, abs(b)) for (_, a), (_, b) in zip(found[tag], expected[tag]))
    if not (same_steps and near):
        wrong.append(f"{tag}: {len(found[tag])} scalars, {len(expected[tag])} expected, or other values")
if wrong:
    sys.exit("\n".join(wrong))
print(f"{sum(map(len, found.values()))} scalars under {len(found)} tags in {files} files are those of metrics.jsonl")
