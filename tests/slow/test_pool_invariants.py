"""Whatever happens in whatever order, the pool's invariants hold: a model of the pool beside the real one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, delete, select, update

from pool import database
from pool.models import State, Stock, captcha
from pool.pool import Issued, Pool
from pool.storage.files import FileStore, new_id
from pool.sweep import Sweep
from tests.conftest import CROSSED_OUT, DENSE, PLAIN, a_png, drawn, png_names
from tests.support.settling import check

_STOCKS = st.sampled_from([PLAIN, DENSE, CROSSED_OUT])
_FINAL = {State.SOLVED, State.FAILED, State.EXPIRED}


class PoolMachine(RuleBasedStateMachine):
    """Adds, pops, answers, lapses of time, sweeps and crashes."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        folder = self.cleanup.enter_context(TemporaryDirectory())
        with database.transaction(self.engine) as connection:
            connection.execute(delete(captcha))
        self.pool = Pool(self.engine, FileStore(Path(folder) / "files"), timedelta(minutes=10))
        self.states: dict[str, State] = {}  # in the order of adding: ids differ when Hypothesis repeats a run
        self.stocks: dict[str, Stock] = {}
        self.popped: dict[str, Issued] = {}
        self.challenges: dict[str, Issued] = {}
        self.handed_out: set[str] = set()
        self.orphans = 0
        self.lapsed: set[str] = set()

    def teardown(self) -> None:
        self.cleanup.close()

    @rule(count=st.integers(1, 5), stock=_STOCKS)
    def add(self, count: int, stock: Stock) -> None:
        ids = self.pool.add(drawn(count), stock)
        assert not set(ids) & set(self.states)
        self.stocks |= dict.fromkeys(ids, stock)
        self.states |= dict.fromkeys(ids, State.READY)

    @rule(count=st.integers(1, 4), redeemable=st.booleans(), stock=_STOCKS)
    def pop(self, count: int, redeemable: bool, stock: Stock) -> None:
        sources = stock.sources if redeemable else (stock,)
        ready, own = (
            {file_id for file_id in self._in(State.READY) if self.stocks[file_id] in allowed}
            for allowed in (sources, (stock,))
        )
        popped = self.pool.pop(count, redeemable=redeemable, stock=stock)
        ids = {issued.id for issued in popped}
        assert len(popped) == len(ids) == min(count, len(ready))
        assert ids <= ready
        assert len(ids & own) == min(count, len(own))
        assert all(self.stocks[issued.id] == issued.stock for issued in popped)
        assert not ids & self.handed_out
        self.handed_out |= ids
        self.popped |= {issued.id: issued for issued in popped}
        self.lapsed -= ids
        self.states |= dict.fromkeys(ids, State.ISSUED)
        if redeemable:
            self.challenges |= {issued.id: issued for issued in popped}

    @precondition(lambda self: self._in(State.ISSUED))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Only what nobody was shown is given back, so it was never handed out."""
        file_id = data.draw(st.sampled_from([key for key, state in self.states.items() if state is State.ISSUED]))
        self.pool.give_back([self.popped[file_id]])
        self.handed_out.remove(file_id)
        self.challenges.pop(file_id, None)
        self.states[file_id] = State.READY

    @precondition(lambda self: self.states)
    @rule(data=st.data(), knows=st.booleans())
    def verify(self, data: st.DataObject, knows: bool) -> None:
        file_id = data.draw(st.sampled_from(list(self.states)))
        challenge = self.challenges.get(file_id)
        verdict = check(self.pool, file_id, challenge.code if challenge and knows else "nothing").state
        if challenge is None or self.states[file_id] is not State.ISSUED:
            assert verdict is None
            return
        lapsed = challenge.expires_at <= datetime.now(UTC)
        assert verdict is (State.EXPIRED if lapsed else State.SOLVED if knows else State.FAILED)
        self.states[file_id] = verdict

    @rule()
    def lapse(self) -> None:
        """Ten minutes pass for all that was popped."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        with database.transaction(self.engine) as connection:
            connection.execute(update(captcha).where(captcha.c.state != State.READY).values(expires_at=past))
        self.challenges = {key: issued._replace(expires_at=past) for key, issued in self.challenges.items()}
        self.lapsed = set(self.states) - self._in(State.READY)

    @rule()
    def crash_while_adding(self) -> None:
        """Files without rows: one whole, one half-written."""
        for content in (a_png(), a_png()[:60]):
            self.pool.files.write(new_id(), content)
            self.orphans += 1

    @rule()
    def sweep(self) -> None:
        swept = Sweep(self.pool, timedelta(0), orphan_age=timedelta(0)).all()
        assert swept is not None
        gone = {file_id for file_id in self.lapsed if self.states.get(file_id) not in (None, State.READY)}
        assert swept.orphans == self.orphans
        assert swept.purged == len(gone)
        self.states = {file_id: state for file_id, state in self.states.items() if file_id not in gone}
        self.orphans = 0
        assert png_names(self.pool.files.folder) == set(self.states)

    @invariant()
    def rows_are_as_expected_and_have_their_files(self) -> None:
        with database.transaction(self.engine) as connection:
            rows = {row.id: row.state for row in connection.execute(select(captcha.c.id, captcha.c.state))}
        assert rows == self.states
        assert set(rows) <= png_names(self.pool.files.folder)
        assert self.pool.levels() == Counter(self.stocks[file_id] for file_id in self._in(State.READY))

    def _in(self, state: State) -> set[str]:
        return {file_id for file_id, its_state in self.states.items() if its_state is state}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


def test_any_sequence_keeps_the_invariants(engine: Engine) -> None:
    class Machine(PoolMachine):
        pass

    Machine.engine = engine
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
