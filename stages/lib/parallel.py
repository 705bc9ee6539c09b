"""Use every core for work that comes in order and leaves in order."""

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

    # A worker whose parent was killed would wait for its next task for ever.
    threading.Thread(target=wait, daemon=True).start()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _deadly(function: Callable, items: list) -> object | None:
    """Return the first of `items` at which a process of its own dies."""
    for item in items:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            if isinstance(pool.submit(function, item).exception(), BrokenProcessPool):
                return item
    return None


def map_ordered(
    function: Callable, items: Iterable, workers: int, name: Callable[[object], str] | None = None
) -> Iterator[tuple]:
    """Yield ``(item, function(item))`` in the order of `items`, computed by `workers` processes.

    At most ``2 * workers + 1`` items are held at a time, so `items` may be endless. One worker
    means this process itself, without the third of a second that starting others takes.
    `function` must be importable and, like its results, picklable. With `name`, the item at which
    a process dies is found and named.

    Raises
    ------
    UserError
        A worker process died, as the kernel makes it when memory runs out.
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
        raise UserError(
            "a worker process died; the machine may be short of memory"
            if at is None
            else f"{name(at)}: its reader dies; it is corrupt, or too large for the memory"
        ) from None
    finally:
        # Futures that are cancelled one by one may make the pool wait for them for ever.
        pool.shutdown(cancel_futures=True)
