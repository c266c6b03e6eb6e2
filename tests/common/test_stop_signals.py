"""A signal becomes a flag; a second Ctrl-C interrupts."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from zorl.common import stop_signals
from zorl.common.errors import Interrupted
from zorl.common.stop_signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_a_flag_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with StopSignals() as signals:
        assert not signals()
        os.kill(os.getpid(), number)
        assert signals()
        assert signals.received is number
    assert {n: signal.getsignal(n) for n in before} == before
    assert signals()  # it is still known afterwards, for the exit status


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received is signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.received is signal.SIGTERM


def test_work_under_way_is_given_up_some_time_after_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StopSignals():
        stop_signals.raise_if_overdue()
        os.kill(os.getpid(), signal.SIGTERM)
        stop_signals.raise_if_overdue()  # it is given a moment
        monkeypatch.setattr(stop_signals, "PATIENCE", 0.0)
        with pytest.raises(Interrupted, match="a signal asked to stop"):
            stop_signals.raise_if_overdue()
    stop_signals.raise_if_overdue()


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), StopSignals():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_of_the_main_thread_there_is_nothing_to_handle() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[bool] = []

    def elsewhere() -> None:
        with StopSignals() as signals:
            seen.append(signals())
            seen.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False, True]


# Learning curves
