"""`check_gate`: a fine gate passes, and each broken one fails with its fault named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from gate_toys import Patient

from zorl.common.errors import ConfigurationError
from zorl.search.gates import (
    AlwaysAccept,
    Decision,
    NoMemory,
    Paired,
    ScoreToBeat,
    Sequential,
)
from zorl.testing import check_gate


class Fine:
    """Incumbent and proposal on the same five seeds; the better mean is kept."""

    episodes = 5

    def init(self) -> Any:
        return NoMemory()

    def decide(self, state: Any, incumbent: Any, proposal: Any, measure: Any) -> Any:
        old, new = self.measured(incumbent, proposal, measure)
        return self.decided(state, old, new)

    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        returns = measure(np.stack([incumbent, proposal]), 0, self.episodes)
        return np.where(np.isfinite(returns), returns, -1e9)

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        accepted = bool(new.mean() > old.mean())
        return Decision(accepted, state, float(max(new.mean(), old.mean())))


def test_the_fine_gate_passes() -> None:
    check_gate(Fine())


def test_a_gate_with_a_memory_of_its_own_passes() -> None:
    check_gate(Patient(), skip=("worse", "faults"))  # it keeps anything after two refusals


def changed(**changes: Any) -> Any:
    """A fine gate whose decisions differ in some fields; a value may be a function of them."""

    class Changed(Fine):
        def decided(self, state: Any, old: Any, new: Any) -> Any:
            decision = super().decided(state, old, new)
            computed = {k: v(decision) if callable(v) else v for k, v in changes.items()}
            return replace(decision, **computed)

    return Changed()


class NoDecision(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        return True


class SortsMeasured(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        returns = measure(np.stack([incumbent, proposal]), 0, self.episodes)
        returns.sort(axis=1)
        return returns


class MovesTheProposal(Fine):
    def decide(self, state: Any, incumbent: Any, proposal: Any, measure: Any) -> Any:
        decision = super().decide(state, incumbent, proposal, measure)
        if proposal.flags.writeable:
            proposal += 0.5
        return decision


class Scored(Fine):
    def init(self) -> Any:
        return ScoreToBeat()


class ChangesItsState(Scored):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        object.__setattr__(state, "best", float(new.mean()))
        return super().decided(state, old, new)


class WritesToReadOnly(Fine):
    def decide(self, state: Any, incumbent: Any, proposal: Any, measure: Any) -> Any:
        proposal += 0.0
        return super().decide(state, incumbent, proposal, measure)


class Coin(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        decision = super().decided(state, old, new)
        return replace(decision, accepted=bool(np.random.rand() < 0.5))  # noqa: NPY002


class OwnCoin(Fine):
    rng = np.random.default_rng(3)

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        decision = super().decided(state, old, new)
        return replace(decision, accepted=bool(self.rng.random() < 0.5))


class Alternates(Fine):
    count = 0

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        self.count += 1
        return replace(super().decided(state, old, new), claimed=float(self.count))


class MeasuresTwice(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        measure(np.stack([incumbent, proposal]), 0, self.episodes)
        return super().measured(incumbent, proposal, measure)


class MeasuresBackwards(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        both = np.stack([incumbent, proposal])
        return np.concatenate([measure(both, 3, 5), measure(both, 0, 3)], axis=1)


class MeasuresNothing(Fine):
    episodes = 0


class MeasuresForEver(Fine):
    episodes = 10_001


class MeasuresAnother(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        return super().measured(incumbent, (incumbent + proposal) / 2, measure)


class OneRow(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        return np.stack([measure(incumbent, 0, 5), measure(proposal, 0, 5)])


@dataclass(frozen=True)
class Past:
    past: Any = None


class Remembers(Fine):
    def init(self) -> Any:
        return Past()


class UnstorableMemory(Remembers):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        return replace(super().decided(state, old, new), state=Past((*(state.past or ()), 1.0)))


class ForgetsQuietly(Remembers):
    """A field that `init` has without a type, so that files do not keep it."""

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        return replace(super().decided(state, old, new), state=Past(1.0))


class KeepsOutsideOfFields(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        seen, after = getattr(state, "seen", 0), NoMemory()
        object.__setattr__(after, "seen", seen + 1)
        return replace(super().decided(state, old, new), state=after, claimed=float(seen))


class StartsElsewhere(Scored):
    starts = 0

    def init(self) -> Any:
        self.starts += 1
        return ScoreToBeat(float(self.starts))


class StartsFromNothing(Fine):
    def init(self) -> Any:
        return None


class ChangesType(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        return replace(super().decided(state, old, new), state=ScoreToBeat(1.0))


class Sulks(Scored):
    """After one bad disappointment nothing is good enough."""

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        if state.best == np.inf:
            return Decision(False, state, 0.0)
        best = np.inf if new.mean() < old.mean() - 100 else 0.0
        return replace(super().decided(state, old, new), state=ScoreToBeat(best))


class Flipped(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        return super().decided(state, new, old)


class ComparesByNot(Fine):
    """NaN is neither below nor above, so that it is "not worse"."""

    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        return measure(np.stack([incumbent, proposal]), 0, self.episodes)

    def decided(self, state: Any, old: Any, new: Any) -> Any:
        with np.errstate(invalid="ignore"):
            accepted = not new.mean() < old.mean()
            return Decision(accepted, state, 0.0)


class InfinityIsBest(Scored):
    """A record that an overflow can set for good."""

    def decide(self, state: Any, incumbent: Any, proposal: Any, measure: Any) -> Any:
        score = float(measure(proposal[None], 0, 1)[0, 0])
        record = np.isfinite(score) and score > state.best
        best = max(score, state.best) if not np.isnan(score) else state.best
        return Decision(bool(record), ScoreToBeat(best), best)


class TrustsOneEpisode(Fine):
    def decided(self, state: Any, old: Any, new: Any) -> Any:
        accepted = bool(new[0] > old[0])
        return replace(super().decided(state, old, new), accepted=accepted)


class IncumbentsFaultsWin(Fine):
    def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
        old, new = measure(np.stack([incumbent, proposal]), 0, self.episodes)
        return np.where(np.isfinite(old), old, 1e9), np.where(np.isfinite(new), new, -1e9)


BROKEN_GATES = [
    (NoDecision(), "decision", "a bool; expected: a Decision"),
    (changed(accepted=lambda d: np.bool_(d.accepted)), "decision", "of type bool"),
    (changed(claimed=3), "decision", "claimed = 3 of type int"),
    (changed(state=None), "decision", "state of type NoneType"),
    (StartsFromNothing(), "decision", "init returned a NoneType; expected: a frozen dataclass"),
    (ChangesType(), "decision", "state of type ScoreToBeat; expected: a NoMemory, as init"),
    (SortsMeasured(), "purity", "changed the returns that measure gave"),
    (MovesTheProposal(), "purity", "decide changed the proposal"),
    (ChangesItsState(), "purity", "after decide: state.best is"),
    (WritesToReadOnly(), "purity", "read-only"),
    (Coin(), "determinism", "numpy's global random state"),
    (OwnCoin(), "determinism", "decision.accepted is"),
    (Alternates(), "determinism", "decision.claimed is"),
    (MeasuresTwice(), "decision", "seeds .0, 5. of the incumbent after"),
    (MeasuresBackwards(), "decision", "seeds .0, 3. of the incumbent after"),
    (MeasuresNothing(), "decision", "integers 0 ≤ start < stop"),
    (MeasuresForEver(), "decision", r"at most 10000 \(max_episodes\)"),
    (MeasuresAnother(), "decision", "the incumbent or the proposal"),
    (OneRow(), "decision", r"thetas of shape \(3,\)"),
    (StartsElsewhere(), "determinism", "the second state of init: state.best is"),
    (UnstorableMemory(), "state", "gate.past"),
    (ForgetsQuietly(), "state", "gate.past is '0x1.0000000000000p.0', expected NoneType"),
    (KeepsOutsideOfFields(), "state", "from the restored state: decision.claimed"),
    (Sulks(), "worse", "after that, a far better one refused"),
    (Flipped(), "better|worse", "a proposal (better|worse) by 1000"),
    (changed(accepted=False), "better", "better by 1000 in every episode refused"),
    (changed(accepted=True), "worse", "worse by 1000 in every episode kept"),
    (AlwaysAccept(), "worse", "always=True declares otherwise"),
    (ComparesByNot(), "faults", "returned nan in every episode kept"),
    (InfinityIsBest(), "faults", "refused for good"),
    (IncumbentsFaultsWin(), "faults", "refused while the incumbent returned nan"),
]


@pytest.mark.parametrize(("gate", "rule", "message"), BROKEN_GATES)
def test_a_broken_gate_fails_with_the_fault_named(gate: Any, rule: Any, message: Any) -> None:
    name = type(gate).__name__
    with pytest.raises(AssertionError, match=rf"(?s)^{name} breaks the rule '({rule})'.*{message}"):
        check_gate(gate)


def test_one_overflow_among_bad_episodes_must_not_win() -> None:
    class MeanOfAll(Fine):
        def measured(self, incumbent: Any, proposal: Any, measure: Any) -> Any:
            returns = measure(np.stack([incumbent, proposal]), 0, self.episodes)
            return np.where(np.isnan(returns) | (returns == -np.inf), -1e9, returns)

        def decided(self, state: Any, old: Any, new: Any) -> Any:
            accepted = bool(new.mean() > old.mean() and not np.isinf(new).all())
            return Decision(accepted, state, 0.0)

    with pytest.raises(AssertionError, match="far worse proposal kept for the inf of its first"):
        check_gate(MeanOfAll())


def test_a_declared_error_rate_is_measured() -> None:
    check_gate(Fine(), error_rate=0.6)  # ties aside it keeps one in two
    with pytest.raises(AssertionError, match=r"'error-rate'.*at most error_rate = 0.1"):
        check_gate(Fine(), error_rate=0.1)

    class Claims(Fine):
        error_rate = 0.2

    with pytest.raises(AssertionError, match=r"'error-rate'.*at most error_rate = 0.2"):
        check_gate(Claims())
    check_gate(Sequential(error_rate=0.2))


def test_a_gate_that_keeps_everything_must_do_so() -> None:
    with pytest.raises(AssertionError, match=r"'worse'.*as declared by always=True"):
        check_gate(Paired(), always=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error_rate": 1.5}, r"error_rate must be in \(0, 1\)"),
        ({"margin": -1.0}, "margin must be"),
        ({"max_episodes": 0}, "max_episodes must be"),
        ({"skip": ("wors",)}, "did you mean 'worse'"),
    ],
)
def test_bad_arguments_of_the_gate_check(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_gate(Fine(), **options)
