"""Compute in several processes, in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

from stages.lib.errors import UserError


def _die_with_parent() -> None:
    def wait() -> None:
        parent_process().join()
        os._exit(1)

    # Otherwise a worker whose parent was killed waits for its next task forever.
    threading.Thread(target=wait, daemon=True).start()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _deadly(function: Callable, items: list) -> object | None:
    """Return the first of `items` that kills a process of its own."""
    for item in items:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            if isinstance(pool.submit(function, item).exception(), BrokenProcessPool):
                return item
    return None


def map_ordered(
    function: Callable, items: Iterable, workers: int, name: Callable[[object], str] | None = None
) -> Iterator[tuple]:
    """Yield ``(item, function(item))`` in the order of `items`, computed by several processes.

    Parameters
    ----------
    function : callable
        Must be importable and, like its results, picklable.
    items : iterable
        May be endless: at most ``2 * workers + 1`` items are in memory at a time.
    workers : int
        How many processes. With one worker it is this process itself, which saves the third of a
        second that starting another takes.
    name : callable, optional
        Returns the name of an item. With it, the item at which a process dies is found and named.

    Raises
    ------
    UserError
        ``worker-died``, or ``file-kills-reader`` with `name`: a process died, for example because
        the kernel ended it when memory was short.
    """
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_die_with_parent
    )
    waiting = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > 2 * workers:
                result = waiting[0][1].result()
                yield waiting.popleft()[0], result
        while waiting:
            result = waiting[0][1].result()
            yield waiting.popleft()[0], result
    except BrokenProcessPool:
        at = _deadly(function, [item for item, _ in waiting]) if name else None
        if at is None:
            raise UserError(
                "worker-died",
                "a worker process",
                "died",
                "the machine may be short of memory; close other programs, or use a larger one",
            ) from None
        raise UserError(
            "file-kills-reader",
            name(at),
            "its reader dies",
            "it is corrupt, or too large for the memory; export it again, or cut it",
        ) from None
    finally:
        # Futures that are cancelled one by one may make the pool wait for them forever.
        pool.shutdown(cancel_futures=True)
