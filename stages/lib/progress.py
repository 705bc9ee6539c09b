"""How far a long step is: a line that is rewritten on a terminal, a few plain lines elsewhere."""

import shutil
import sys
import time
from datetime import timedelta

_REWRITE = 0.2  # seconds between two states of the line
# Where nothing can be rewritten (a pipe, the log of a queue), a line comes with each tenth of the
# work, but never sooner than after the first of these times, and not later than after the second.
_PAUSE, _LONG_PAUSE = 30.0, 600.0


class Progress:
    """How far a step is, on stderr, and how much time is left. To be used in a ``with`` statement.

    A step that is over within half a minute prints nothing that stays.

    Parameters
    ----------
    label : str
        First word of the line.
    total : int
        Size of the work, in any unit.
    done : int
        What an earlier run has done of it.
    """

    def __init__(self, label: str, total: int, done: int = 0):
        self.label, self.total, self.done = label, max(1, total), done
        self._begun_with, self._begun = done, time.monotonic()
        self._told, self._tenth_told = self._begun, 10 * done // self.total
        self._rewrites, self._stands = sys.stderr.isatty(), False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, size: int = 1, note: str = "") -> None:
        """Count what was done since the last call, and say so if it is time.

        Parameters
        ----------
        size : int
            In the unit of `total`.
        note : str
            What else the line says.
        """
        self.done += size
        now, tenth = time.monotonic(), 10 * self.done // self.total
        pause = now - self._told
        if self._rewrites:
            due = pause >= _REWRITE
        else:
            due = pause >= _PAUSE and (tenth > self._tenth_told or pause >= _LONG_PAUSE)
        if not due:
            return
        self._told, self._tenth_told = now, tenth
        left = (now - self._begun) / max(1, self.done - self._begun_with)
        left = timedelta(seconds=round(left * max(0, self.total - self.done)))
        share = f"{self.label}: {min(1.0, self.done / self.total):.0%}"
        self._write(", ".join(filter(None, (share, note, f"{left} left"))))

    def close(self) -> None:
        """Remove the line from the terminal, so that another can begin there."""
        if self._stands:
            self._write("")
            self._stands = False

    def _write(self, line: str) -> None:
        if self._rewrites:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{line[:width]}\x1b[K")
            self._stands = True
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
