"""Errors of the user: one form, and whole behind a process border."""

import ast
import pickle

import pytest
from project import ROOT

from stages.lib.errors import UserError, UserErrors, first_line


def test_an_error_is_one_sentence_of_place_problem_and_action():
    assert str(UserError("c", "a.csv row 3", "has no date")) == "a.csv row 3: has no date"
    assert str(UserError("c", "a.csv", "is empty", "write it")) == "a.csv: is empty; write it"


def test_an_error_crosses_a_process_border_whole():
    error = UserError("code", "a.csv", "is empty", "write it")
    for one in (error, UserErrors([error, error])):
        back = pickle.loads(pickle.dumps(one))
        assert (str(back), back.code, back.where) == (str(one), one.code, one.where)


def test_several_errors_have_a_line_each_and_the_first_ones_code():
    errors = [UserError("first", "a", "b"), UserError("second", "c", "d")]
    assert str(UserErrors(errors)) == "a: b\nc: d"
    assert UserErrors(errors).code == "first"


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("a\nb"), "a"), (ValueError(), "ValueError"), (OSError("  \n"), "OSError")],
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    assert first_line(error) == line


def test_every_error_says_where_and_what():
    short = []
    for path in sorted((ROOT / "stages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_error = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError"
            if is_error and len(node.args) < 3:
                short.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert short == []


def test_no_code_takes_the_first_line_of_an_error_itself():
    library = [path for path in (ROOT / "stages").rglob("*.py") if path.name != "errors.py"]
    assert [str(p) for p in library if "splitlines()[0]" in p.read_text(encoding="utf-8")] == []
