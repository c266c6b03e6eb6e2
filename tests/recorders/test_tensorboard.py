"""What TensorBoardRecorder writes, read back with TensorBoard's own readers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as ServerAccumulator,
)
from tensorboard.plugins.hparams import api_pb2, metadata as hparams_metadata
from tensorboard.util import tensor_util
from toy_events import Clock, curve, read

from zorl.common.errors import ConfigurationError
from zorl.recorders.base import PlainRecord, Recorders, Run
from zorl.recorders.event_log import EventLog
from zorl.recorders.tensorboard import TensorBoardRecorder, flatten_settings, settings_table


def run(config: Any = None, total: int = 10_000, start_index: int = 0, start_steps: int = 0) -> Any:
    config = {"seed": 1} if config is None else config
    return Run("r", None, None, config, total, None, start_index, start_steps)  # type: ignore[arg-type]


def record(index: Any, scalars: Any = None, histograms: Any = None, steps_each: int = 100) -> Any:
    scalars = {"search/return_mean": float(index)} if scalars is None else scalars
    return PlainRecord(index, (index + 1) * steps_each, scalars, histograms or {})


def written(
    folder: Any, records: Any, result: Any = None, start: Any = None, **options: Any
) -> Any:
    """Write records into `folder` and read it back."""
    recorder = TensorBoardRecorder(EventLog(folder), **options)
    recorder.start(start or run())
    for item in records:
        recorder.record(item)
    recorder.finish({"status": "finished"} if result is None else result)
    return read(folder)


def sessions(events: Any, tag: Any) -> Any:
    """Every plugin message of an hparams tag, parsed."""
    parse = {
        hparams_metadata.SESSION_START_INFO_TAG: (
            hparams_metadata.parse_session_start_info_plugin_data
        ),
        hparams_metadata.SESSION_END_INFO_TAG: hparams_metadata.parse_session_end_info_plugin_data,
    }[tag]
    content = events.PluginTagToContent("hparams")
    return [parse(content[tag])] if tag in content else []


def test_scalars_have_tags_values_and_env_steps(tmp_path: Path) -> None:
    events = written(
        tmp_path,
        [
            record(0, {"search/return_mean": -200.0, "time/generation_seconds": 0.25}),
            record(1, {"search/return_mean": np.float64(-150.5), "gate/accepted": True}),
        ],
    )
    assert curve(events) == [(100, -200.0), (200, -150.5)]
    assert curve(events, "time/generation_seconds") == [(100, 0.25)]
    assert curve(events, "gate/accepted") == [(200, 1.0)]


def test_non_finite_scalars_pass(tmp_path: Path) -> None:
    values = [math.nan, math.inf, -math.inf, 1e300]  # the last is no float32
    events = written(tmp_path, [record(i, {"x/y": value}) for i, value in enumerate(values)])
    shown = [value for _, value in curve(events, "x/y")]
    assert math.isnan(shown[0])
    assert shown[1:] == [math.inf, -math.inf, math.inf]


def test_validation_figures_are_scalars(tmp_path: Path) -> None:
    recorder = TensorBoardRecorder(EventLog(tmp_path))
    recorder.start(run())
    recorder.validation(300, {"eval/native_return_mean": -120.0, "eval/success_rate": 0.5})
    recorder.finish({})
    events = read(tmp_path)
    assert curve(events, "eval/native_return_mean") == [(300, -120.0)]
    assert curve(events, "eval/success_rate") == [(300, 0.5)]


def test_records_are_thinned_to_the_points_of_the_budget_and_the_last_is_kept(
    tmp_path: Path,
) -> None:
    records = [record(i) for i in range(99)]
    events = written(tmp_path, records, points=10, seconds=1e9)
    steps = [step for step, _ in curve(events)]
    assert steps == [100, 1100, 2100, 3100, 4100, 5100, 6100, 7100, 8100, 9100, 9900]


def test_the_last_record_is_written_once(tmp_path: Path) -> None:
    events = written(tmp_path, [record(i) for i in range(11)], points=10, seconds=1e9)
    assert [step for step, _ in curve(events)] == [100, 1100]


def test_records_are_written_after_some_seconds_in_a_run_with_a_huge_budget(tmp_path: Path) -> None:
    clock = Clock()
    recorder = TensorBoardRecorder(EventLog(tmp_path), points=10, seconds=2.0, clock=clock)
    recorder.start(run(total=10**9))
    for i in range(7):
        recorder.record(record(i))
        clock.now += 1.0
    recorder.finish({})
    assert [step for step, _ in curve(read(tmp_path))] == [100, 300, 500, 700]


def test_histograms_are_spread_over_the_budget(tmp_path: Path) -> None:
    values = np.array([1.0, 2.0, 2.0, 5.0])
    records = [record(i, histograms={"search/theta": values + i}) for i in range(7)]
    events = written(tmp_path, records, histograms=3, start=run(total=900))
    tensors = events.Tensors("search/theta")
    assert [event.step for event in tensors] == [100, 400, 700]
    buckets = tensor_util.make_ndarray(tensors[1].tensor_proto)
    assert buckets[:, 2].sum() == 4
    assert buckets[0, 0] == 4.0
    assert buckets[-1, 1] == 8.0
    assert events.SummaryMetadata("search/theta").plugin_data.plugin_name == "histograms"


def test_histograms_can_be_left_out(tmp_path: Path) -> None:
    events = written(tmp_path, [record(0, histograms={"search/theta": np.ones(3)})], histograms=0)
    assert "search/theta" not in events.Tags()["tensors"]


def test_histograms_are_of_finite_values_and_empty_ones_are_skipped(tmp_path: Path) -> None:
    histograms = {
        "a/empty": np.zeros(0),
        "a/nan": np.array([np.nan, np.inf]),
        "a/mixed": np.array([1.0, np.nan, 3.0, -np.inf]),
    }
    events = written(tmp_path, [record(0, histograms=histograms)])
    assert [tag for tag in events.Tags()["tensors"] if tag.startswith("a/")] == ["a/mixed"]
    buckets = tensor_util.make_ndarray(events.Tensors("a/mixed")[0].tensor_proto)
    assert (buckets[0, 0], buckets[-1, 1], buckets[:, 2].sum()) == (1.0, 3.0, 2.0)


CONFIG = {
    "agent": "spsa",
    "seed": np.int64(3),
    "c": np.float32(0.5),
    "gate": None,
    "fast": True,
    "hidden": [4, 4],
    "sigma": math.nan,
    "task": {"env_id": "MountainCar-v0", "env_kwargs": {}, "threshold": -110.0},
}


def test_settings_are_flat_and_of_the_types_that_hparams_accepts() -> None:
    assert flatten_settings(CONFIG) == {
        "agent": "spsa",
        "seed": 3,
        "c": 0.5,
        "gate": "None",
        "fast": True,
        "hidden": "[4, 4]",
        "sigma": "nan",
        "task.env_id": "MountainCar-v0",
        "task.env_kwargs": "{}",
        "task.threshold": -110.0,
    }
    assert {type(value) for value in flatten_settings(CONFIG).values()} <= {bool, int, float, str}


def test_there_is_one_hparams_session_in_the_runs_own_folder(tmp_path: Path) -> None:
    events = written(tmp_path, [record(0)], start=run(CONFIG))
    (start,) = sessions(events, hparams_metadata.SESSION_START_INFO_TAG)
    shown = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    assert shown == flatten_settings(CONFIG)
    assert shown["fast"] is True  # a bool, not the number 1
    # A second file in a folder of its own would be the ghost run of `add_hparams`.
    assert len(list(tmp_path.rglob("*"))) == 1
    assert len(events.Tensors(hparams_metadata.SESSION_START_INFO_TAG)) == 1


@pytest.mark.parametrize(
    ("result", "statuses"),
    [
        ({"status": "finished"}, [api_pb2.STATUS_SUCCESS]),
        ({"status": "failed"}, [api_pb2.STATUS_FAILURE]),
        ({"status": "interrupted"}, []),
        ({}, []),
    ],
)
def test_the_hparams_session_ends_unless_the_run_may_go_on(
    tmp_path: Path, result: Any, statuses: Any
) -> None:
    events = written(tmp_path, [record(0)], result)
    ends = sessions(events, hparams_metadata.SESSION_END_INFO_TAG)
    assert [end.status for end in ends] == statuses


def test_the_configuration_is_a_table_in_the_text_tab(tmp_path: Path) -> None:
    config = {"agent": "spsa", "wrappers": ["a|b"], "note": "two\nlines"}
    events = written(tmp_path, [], start=run(config))
    (event,) = events.Tensors("config")
    text = tensor_util.make_ndarray(event.tensor_proto).item().decode()
    assert text.splitlines() == [
        "| setting | value |",
        "|---|---|",
        "| agent | spsa |",
        '| wrappers | ["a\\|b"] |',
        "| note | two lines |",
    ]
    assert text == settings_table(flatten_settings(config))
    assert events.SummaryMetadata("config").plugin_data.plugin_name == "text"


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    before = [
        record(i, {"search/return_mean": 0.0}, {"search/theta": np.ones(2)}) for i in range(9)
    ]
    written(tmp_path, before, {"status": "interrupted"})
    after = [record(i, {"search/return_mean": 1.0}) for i in (5, 7)]
    events = written(tmp_path, after, start=run(start_index=5, start_steps=500))
    kept = [100, 200, 300, 400, 500]
    assert curve(events) == [*((step, 0.0) for step in kept), (600, 1.0), (800, 1.0)]
    # Interrupted and then finished is finished, and it is still one session.
    (end,) = sessions(events, hparams_metadata.SESSION_END_INFO_TAG)
    assert end.status == api_pb2.STATUS_SUCCESS
    # The server has a reader of its own, with other rules, and histograms are purged there.
    served = ServerAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in served.Tensors("search/theta")] == kept
    assert [event.step for event in served.Tensors("search/return_mean")] == [*kept, 600, 800]


def test_a_run_that_starts_anew_replaces_all_that_an_earlier_attempt_left(tmp_path: Path) -> None:
    written(tmp_path, [record(i) for i in range(3)])
    events = written(tmp_path, [record(1)])
    assert [step for step, _ in curve(events)] == [200]


def test_finish_without_start_writes_nothing(tmp_path: Path) -> None:
    recorder = TensorBoardRecorder(EventLog(tmp_path / "log"))
    recorder.record(record(0))
    recorder.validation(1, {"eval/return_mean": 1.0})
    recorder.finish({"status": "failed"})
    assert not (tmp_path / "log").exists()


def test_a_recorder_can_be_used_for_one_run_after_another(tmp_path: Path) -> None:
    recorder = TensorBoardRecorder(EventLog(tmp_path), points=10, seconds=1e9)
    for start in (0, 50):
        recorder.start(run(start_index=start, start_steps=start * 100))
        recorder.record(record(start))
        recorder.finish({})
    assert [step for step, _ in curve(read(tmp_path))] == [100, 5100]


def test_what_was_written_is_there_when_training_raises(tmp_path: Path) -> None:
    recorders = Recorders([TensorBoardRecorder(EventLog(tmp_path))])

    def train() -> None:
        with recorders:
            recorders.start(run())
            recorders.record(record(0))
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        train()
    assert curve(read(tmp_path)) == [(100, 0.0)]


@pytest.mark.parametrize("options", [{"points": 0}, {"histograms": -1}])
def test_options_that_cannot_work_are_rejected(tmp_path: Path, options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        TensorBoardRecorder(EventLog(tmp_path), **options)
