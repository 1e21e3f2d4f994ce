import errno
import json
import logging
import os
import re
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboardX.record_writer import RecordWriter

from xseg_jax.errors import InputError, SaveError
from xseg_jax.training.runlog import (
    PACKAGES,
    RUNTIME_FIELDS,
    RunLog,
    claim,
    flatten,
    provenance,
    read_json,
    read_metrics,
    write_json,
)

CONFIG = {"seed": 0, "log_every": 4, "data": {"root": "/a", "crop": 64}, "features": (4, 8)}


def test_write_json_leaves_the_old_file_when_the_value_is_not_json(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"miou": 0.5})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"miou": object()})
    assert read_json(path) == {"miou": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_write_json_leaves_the_old_file_when_writing_stops_halfway(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_json(path, {"miou": 0.5})
    whole = type(path).write_text

    def halfway(self, text, **options):
        whole(self, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", halfway)
    with pytest.raises(SaveError, match=rf"^{path}: .*\(No space left on device\); make room"):
        write_json(path, {"miou": 0.75})
    assert read_json(path) == {"miou": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_read_json_says_what_a_run_folder_is(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: no such file; --workdir must be the fold"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "\x00"])
def test_a_file_of_a_run_that_is_cut_off_is_named(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(InputError, match=r"data\.json: is no JSON .*; bring back the file that"):
        read_json(tmp_path / "data.json")


def test_claim_writes_then_accepts_the_same(tmp_path):
    path = tmp_path / "new" / "run" / "config.json"
    claim(path, CONFIG)
    written = path.read_bytes()
    assert json.loads(written) == CONFIG | {"features": [4, 8]}
    claim(path, CONFIG)
    assert path.read_bytes() == written


def test_claim_names_the_fields_that_differ_and_keeps_the_file(tmp_path):
    path = tmp_path / "config.json"
    claim(path, CONFIG)
    other = {"seed": 1, "log_every": 4, "data": {"root": "/a"}, "features": (4, 8), "loss": "dice"}
    with pytest.raises(InputError) as caught:
        claim(path, other)
    assert str(caught.value) == (
        f"{path}: this folder holds another run; choose another folder or remove it. Fields "
        "that differ: data.crop: 64 there, nothing here; loss: nothing there, 'dice' here; "
        "seed: 0 there, 1 here"
    )
    claim(path, CONFIG)


def test_runtime_fields_are_free(tmp_path):
    path = tmp_path / "config.json"
    claim(path, CONFIG, free=RUNTIME_FIELDS)
    moved = CONFIG | {"log_every": 9, "data": {"root": "/b", "crop": 64}}
    claim(path, moved, free=RUNTIME_FIELDS)
    assert read_json(path)["data"]["root"] == "/a"
    with pytest.raises(
        InputError, match=r"differ: data\.root: '/a' there, '/b' here; log_every: 4"
    ):
        claim(path, moved)
    with pytest.raises(InputError, match=r"differ: data\.crop: 64 there, 32 here$"):
        claim(path, moved | {"data": {"root": "/b", "crop": 32}}, free=RUNTIME_FIELDS)


def test_flatten_joins_keys_with_dots_and_keeps_empty_ones():
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": (2,)}) == {"a.b.c": 1, "a.d": {}, "e": (2,)}


def events(workdir):
    """Scalars of all TensorBoard event files as {(tag, step): value}, and the tags of images."""
    # Imported late: it brings TensorFlow, which no test but these needs.
    import tensorflow as tf
    from tensorboardX.proto import event_pb2

    scalars, images = {}, []
    for path in sorted((workdir / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars[value.tag, event.step] = value.simple_value
                else:
                    images.append((value.tag, event.step, value.image.height, value.image.width))
    return scalars, images


@pytest.fixture
def logged(tmp_path):
    with RunLog(tmp_path, 0) as log:
        for step in (2, 4, 6):
            log.scalars(step, "train", loss=1 / step, pixels=8.0)
        log.scalars(6, "validation", loss=0.25, miou=0.5)
        log.image(6, "example", np.zeros((5, 7, 3), np.uint8))
    return tmp_path


def test_metrics_are_one_row_a_call(logged):
    assert read_metrics(logged) == [
        {"step": 2, "split": "train", "loss": 0.5, "pixels": 8.0},
        {"step": 4, "split": "train", "loss": 0.25, "pixels": 8.0},
        {"step": 6, "split": "train", "loss": 1 / 6, "pixels": 8.0},
        {"step": 6, "split": "validation", "loss": 0.25, "miou": 0.5},
    ]


def test_tensorboard_shows_the_same(logged):
    scalars, images = events(logged)
    assert scalars == pytest.approx({
        (f"{name}/{row['split']}", row["step"]): value
        for row in read_metrics(logged)
        for name, value in row.items()
        if name not in ("step", "split")
    })  # fmt: skip
    assert images == [("example", 6, 5, 7)]


@pytest.mark.parametrize("what", ["tensorboard", "metrics.jsonl"])
def test_a_full_disk_is_one_line_of_the_step_that_met_it(tmp_path, monkeypatch, what):
    """No thread is left to fail later, or to wait for."""
    threads = threading.active_count()

    def full(*_, **__):
        monkeypatch.undo()  # So that what is open can be closed.
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill_the_disk():
        with RunLog(tmp_path, 0) as log:
            log.scalars(2, "train", loss=0.5)
            assert threading.active_count() == threads
            if what == "tensorboard":
                monkeypatch.setattr(RecordWriter, "flush", full)
            else:
                monkeypatch.setattr(type(tmp_path), "open", full)
            log.scalars(4, "train", loss=0.5)

    with pytest.raises(SaveError) as caught:
        fill_the_disk()
    assert str(caught.value) == (
        f"{tmp_path}/{what}: the metrics cannot be written (No space left on device); make room "
        "there, or choose another folder, and start the same command again"
    )


@pytest.mark.parametrize("name", ["[v1]", "a?*", "µ漢字", os.fsdecode(b"lat\xe4in"), "s3:"])
def test_metrics_may_be_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    for step in (0, 2):
        with RunLog(Path(name), step) as log:
            log.scalars(step + 2, "train", loss=0.5)
    assert [row["step"] for row in read_metrics(tmp_path / name)] == [2, 4]
    assert len(list((tmp_path / name / "tensorboard").iterdir())) >= 1


def test_rows_after_the_restored_step_are_dropped(logged):
    with RunLog(logged, 4) as log:
        assert [row["step"] for row in read_metrics(logged)] == [2, 4]
        log.scalars(6, "train", loss=9.0)
    assert [(row["step"], row["loss"]) for row in read_metrics(logged)] == [
        (2, 0.5), (4, 0.25), (6, 9.0),
    ]  # fmt: skip
    assert events(logged)[0]["loss/train", 6] == 9.0


def test_a_line_cut_off_by_an_interruption_is_left_out(logged):
    path = logged / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 8, "spl')
    assert [row["step"] for row in read_metrics(logged)] == [2, 4, 6, 6]
    with RunLog(logged, 6) as log:
        log.scalars(8, "train", loss=0.125)
    assert [row["step"] for row in read_metrics(logged)] == [2, 4, 6, 6, 8]
    assert read_metrics(logged / "nowhere") == []


def test_provenance_names_commit_versions_and_device(caplog):
    with caplog.at_level(logging.WARNING):
        found = provenance()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found["git_commit"])
    assert found["packages"].keys() == {*PACKAGES, "python"}
    assert found["packages"]["jax"] == jax.__version__
    assert found["device"] == f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    assert json.loads(json.dumps(found)) == found


def test_provenance_outside_of_a_repository_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert provenance()["git_commit"] is None
