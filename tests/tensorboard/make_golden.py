"""Prints, as hexadecimal bytes, the records that the unit test in src/training/tensorboard.rs expects.

Made by TensorBoard's own classes: `pip install tensorboard==2.21.0` and run this.
"""

import io

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

EVENTS = {
    "version": event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    "start": event_pb2.Event(
        wall_time=1.5, step=301, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    ),
    "scalars": event_pb2.Event(
        wall_time=1.5,
        step=300,
        summary=summary_pb2.Summary(
            value=[
                summary_pb2.Summary.Value(tag="train/loss", simple_value=0.25),
                summary_pb2.Summary.Value(tag="train/delta", simple_value=-3.0),
            ]
        ),
    ),
}

for name, event in EVENTS.items():
    file = io.BytesIO()
    RecordWriter(file).write(event.SerializeToString())
    print(name, file.getvalue().hex())
