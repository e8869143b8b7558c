"""Questions to the database that many requests have at once, answered together."""

import asyncio
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

from gantcha.errors import GantchaError
from pool.errors import DatabaseError

_MOST = 500  # questions in a transaction
_MOST_WAITING = 2000
_PATIENCE_SECONDS = 2.8
_LEAST_SECONDS = 0.3  # that a transaction may need; a question with less time left is refused

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple, Generic[Question, Answer]):
    question: Question
    answer: "asyncio.Future[Answer]"
    deadline: float


class GroupCommit(Generic[Question, Answer]):
    """Group commit: while one transaction runs, the questions for the next one gather. Lives in one event loop.

    A single thread runs the transactions, so a database that hangs holds up none of the other threads.
    """

    def __init__(
        self, name: str, answer_all: Callable[[Sequence[Question], float], Sequence[Answer | GantchaError]]
    ) -> None:
        """`answer_all` gets questions and the seconds it may take; its results are in their order, errors included."""
        self._answer_all = answer_all
        self._queue: SimpleQueue[_Waiting[Question, Answer] | None] = SimpleQueue()
        self._waiting = 0
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Answer what is waiting, and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def ask(self, question: Question) -> Answer:
        """Return the answer, in three seconds at most.

        Raises:
            DatabaseError: the database does not answer, or too many are waiting already.
            GantchaError: what `answer_all` returned for this question.
        """
        if self._waiting >= _MOST_WAITING:
            raise DatabaseError(f"{_MOST_WAITING} requests are waiting for the database already")
        waiting: _Waiting[Question, Answer] = _Waiting(
            question, self._loop.create_future(), time.monotonic() + _PATIENCE_SECONDS
        )
        self._waiting += 1
        self._queue.put(waiting)
        return await waiting.answer

    def _run(self) -> None:
        gathered: list[_Waiting[Question, Answer] | None] = []
        while None not in gathered:
            gathered = [self._queue.get()]
            gathered += [self._queue.get() for _ in range(min(self._queue.qsize(), _MOST - 1))]
            latest = time.monotonic() + _LEAST_SECONDS
            in_time = [one for one in gathered if one and one.deadline >= latest]
            late = [one for one in gathered if one and one.deadline < latest]
            if late:
                error = DatabaseError("the database does not answer: earlier requests are waiting for it")
                self._loop.call_soon_threadsafe(self._deliver, late, [error] * len(late))
            if in_time:
                self._loop.call_soon_threadsafe(self._deliver, in_time, self._answers(in_time))

    def _answers(self, asked: list[_Waiting[Question, Answer]]) -> Sequence[Answer | Exception]:
        """Answer within the time that is left for the oldest question."""
        try:
            left = min(one.deadline for one in asked) - time.monotonic()
            return self._answer_all([one.question for one in asked], left)
        except Exception as error:  # an error of the transaction is the answer to all its questions
            return [error] * len(asked)

    def _deliver(self, asked: list[_Waiting[Question, Answer]], answers: Sequence[Answer | Exception]) -> None:
        self._waiting -= len(asked)
        for one, answer in zip(asked, answers, strict=True):
            if one.answer.cancelled():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
