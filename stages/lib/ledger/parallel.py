"""Use every core for work that comes in order and leaves in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

from stages.lib.params import UserError


def _die_with_parent() -> None:
    def wait() -> None:
        parent_process().join()
        os._exit(1)

    # A worker whose parent was killed would wait for its next task for ever.
    threading.Thread(target=wait, daemon=True).start()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def map_ordered(function: Callable, items: Iterable, workers: int) -> Iterator[tuple]:
    """Yield ``(item, function(item))`` in the order of `items`, computed by `workers` processes.

    At most ``2 * workers + 1`` items are held at a time, so `items` may be endless. One worker
    means this process itself, without the third of a second that starting others takes.
    `function` must be importable and, like its results, picklable.

    Raises
    ------
    UserError
        A worker process died, as the kernel makes it when memory runs out.
    """
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_die_with_parent
    ) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > 2 * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        except BrokenProcessPool:
            raise UserError("a worker process died; the machine may be short of memory") from None
        finally:
            for _, future in waiting:
                future.cancel()
