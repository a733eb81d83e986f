"""gradmap-report as a user meets it."""

from __future__ import annotations

from tests.gradmap_trainer.commands.calling import assert_one_line, call


def test_reporting_again(copy):
    (copy / "report.html").unlink()
    assert call("gradmap-report", copy) == 0
    assert (copy / "report.html").stat().st_size > 10_000
    assert (copy / "explorer.html").stat().st_size > 10_000


def test_a_run_that_was_not_evaluated_has_no_report_yet(copy, capsys):
    for path in copy.glob("evaluation.*"):
        path.unlink()
    assert call("gradmap-report", copy) == 2
    assert_one_line(capsys.readouterr().err, "gradmap-evaluate")
