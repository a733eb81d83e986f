"""The words of the report."""

from __future__ import annotations

from gradmap_trainer.report.words import difference, duration, money, percent


def test_numbers_in_words():
    space = "\u00a0"
    assert [duration(s) for s in (61.4, 320.0, 600.0, 7800.0)] == [
        f"61{space}s",
        f"5{space}min 20{space}s",
        f"10{space}min",
        f"2{space}h 10{space}min",
    ]
    assert [money(x, "€") for x in (3897.85, 38.976, -1200.4, -0.004)] == [
        f"€{space}3,898",
        f"€{space}38.98",
        f"−€{space}1,200",
        f"€{space}0.00",
    ]
    assert [percent(x) for x in (0.0, 0.0035, 0.125)] == [
        f"0.0{space}%",
        f"0.35{space}%",
        f"12.5{space}%",
    ]
    assert difference(100.0, 100.0, "idle", "€") == "as much as idle"
    assert difference(5.0, 0.0, "idle", "€") == f"€{space}5.00 a day against nothing for idle"
    # Ours earns 50 €, the other 100 €: half as much, which is 50 % of 100 dearer.
    assert difference(-50.0, -100.0, "idle", "€") == f"50.0{space}% more than idle"
