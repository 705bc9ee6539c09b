"""Mistakes that a user can correct, each told in one line."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake that the user can correct.

    Its text is one line: ``where: problem; action``. A stage prints it without a traceback.

    Parameters
    ----------
    code : str
        Short name of the kind of mistake, such as ``header-not-found``. Tests and documentation
        refer to it, so the wording can improve.
    where : str
        The file, the key of a parameter file, or the row.
    problem : str
        What was found and what was expected.
    action : str, optional
        What to do about it, naming the likely cause.
    """

    def __init__(self, code: str, where: object, problem: str, action: str = ""):
        super().__init__(code, str(where), problem, action)  # what pickle passes on
        self.code, self.where, self.problem, self.action = code, str(where), problem, action

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" + (f"; {self.action}" if self.action else "")


class UserErrors(UserError):
    """Several mistakes, one line each; `code` is that of the first.

    Parameters
    ----------
    errors : sequence of UserError
        At least one.
    """

    def __init__(self, errors: Sequence[UserError]):
        Exception.__init__(self, errors)
        self.errors, self.code, self.where = errors, errors[0].code, errors[0].where

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
