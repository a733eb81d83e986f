from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from gridedge_env.scenarios.series import Faults, Series, read_prices

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)


def hours(
    header: str = "timestamp,price", count: int = 4, form: str = "{}", minutes: int = 60
) -> str:
    """Prices 80, 81, … at each step from midnight UTC."""
    rows = [
        f"{BEGIN + timedelta(minutes=minutes * n)}," + form.format(80 + n) for n in range(count)
    ]
    return "\n".join([header, *rows])


def read(tmp_path, text: str, **options) -> Series:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    return read_prices(path, **options)


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize(
    ("unit", "form", "factor"),
    [
        ("currency/MWh", "{}.5", 1e-3),
        ("currency/MWh", "-{}.5", -1e-3),
        ("ct/kWh", "{}.5", 1e-2),
        ("currency/kWh", "0.{}5", 1e-2),
    ],
)
def test_units(unit, form, factor, minutes, tmp_path):
    """80.5 €/MWh are 0.0805 €/kWh; 80.5 ct/kWh, and 0.805 €/kWh, are 0.805 €/kWh."""
    series = read(tmp_path, hours(form=form, minutes=minutes), unit=unit)
    assert (series.begin, series.minutes, series.names) == (BEGIN, minutes, ("price",))
    np.testing.assert_allclose(series.values[:, 0], np.arange(80.5, 84.0) * factor)


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,price",
        "date_utc,price_eur_mwh",
        "MTU (UTC),Day-ahead Price [EUR/MWh]",
        "Datum,Preis (€/MWh)",
        "time,Spot price",
    ],
)
def test_names_by_meaning(header, tmp_path):
    values = read(tmp_path, hours(header)).values
    np.testing.assert_allclose(values[:, 0], [0.080, 0.081, 0.082, 0.083])


def test_the_one_column_of_numbers_is_taken_and_noted(tmp_path):
    series = read(tmp_path, hours("time,NL,area", form="{},x"))
    assert series.values[0, 0] == 0.08
    assert "column 'NL' is taken for the price" in series.notes[0]
    assert "left out: column 'area'" in series.notes[1]


def test_intervals_and_the_auction_that_counts(tmp_path):
    """As the European transparency platform exports them; 23:00 UTC is midnight in Amsterdam."""
    text = (
        "MTU (CET/CEST),Area,Day-ahead Price (EUR/MWh),Intraday Price (EUR/MWh)\n"
        '"01/01/2024 00:00:00 - 01/01/2024 01:00:00","BZN|NL",0.10,-\n'
        '"01/01/2024 01:00:00 - 01/01/2024 02:00:00","BZN|NL",-1.5,-\n'
        '"31/01/2024 23:00:00 - 01/02/2024 00:00:00","BZN|NL",n/a,-\n'
    )
    series = read(tmp_path, text)
    assert series.begin == datetime(2023, 12, 31, 23, tzinfo=timezone.utc)
    np.testing.assert_allclose(series.values[:2, 0], [0.0001, -0.0015])
    assert np.isnan(series.values[2:, 0]).all()
    assert len(series.values) == 31 * 24


@pytest.mark.parametrize("cent", ["Preis (Rp./kWh)", "pris [øre/kWh]", "price_p_kwh", "c/kWh"])
def test_cents_of_other_currencies_are_cents(cent, tmp_path):
    """Nor is what stands before one part of its name: "Preis per kWh" is no price in pence."""
    np.testing.assert_allclose(read(tmp_path, hours(f"t,{cent}"), unit="ct/kWh").values[0], 0.8)
    with pytest.raises(Faults, match="says currency/kWh"):
        read(tmp_path, hours("t,Preis per kWh"), unit="ct/kWh")


def test_a_forecast_comes_second(tmp_path):
    series = read(tmp_path, hours("timestamp,price_forecast,price", form="90,{}"))
    assert series.names == ("price", "forecast")
    np.testing.assert_allclose(series.values[0], [0.08, 0.09])


def test_missing_prices_are_not_made_up(tmp_path):
    series = read(tmp_path, hours(count=500).replace(",100\n", ",\n"))
    assert np.flatnonzero(np.isnan(series.values[:, 0])).tolist() == [20]
    assert "1 values in 1 gaps of up to 1 hours are missing" in series.notes[0]


def test_hours_that_become_quarters_are_held(tmp_path):
    """Two days by the hour, then two by the quarter, as in Europe on 1 October 2025."""
    rows = [f"{BEGIN + timedelta(hours=n)},{n}" for n in range(1, 49)]
    rows += [f"{BEGIN + timedelta(hours=49, minutes=15 * n)},{n}.5" for n in range(192)]
    series = read(tmp_path, "\n".join(["timestamp,price", *rows]))
    assert series.minutes == 15
    expected = [*np.repeat(np.arange(1, 49), 4), *np.arange(192) + 0.5]
    np.testing.assert_allclose(1000 * series.values[:, 0], expected)
    assert "48 prices of longer steps are held over steps of 15 minutes" in series.notes[0]


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (hours(), "currency/kWh", r"column 'price': got a mean of 81\.5 per kWh, expected at most 5"
         r"; is the unit currency/MWh or ct/kWh\?"),
        (hours(form="0.0{}"), "currency/MWh", r"got a mean of 8\.15e-05 per kWh, expected at least "
         r"0\.0005; is the unit currency/kWh or ct/kWh\?"),
        (hours("timestamp,price_eur_mwh"), "ct/kWh", r"row 1, column 'price_eur_mwh': got a name "
         r"that says currency/MWh, expected the unit given, ct/kWh"),
        (hours("timestamp,price [ct/kWh]"), "currency/MWh", r"says ct/kWh, expected the unit"),
        (hours("timestamp,price a,price b", form="{},1"), "currency/MWh", r"row 1: got the columns "
         r"'price a', 'price b', expected one named 'price'"),
        (hours("timestamp,a,b", form="{},1"), "currency/MWh", r"got the columns 'a', 'b', exp"),
        (hours(form=""), "currency/MWh", r"column 'price': got no price in any row"),
        (hours(form="True"), "currency/MWh", r"row 2, column 'price': got 'True', expected a price "
         r"in currency/MWh"),
    ],
)  # fmt: skip
def test_mistakes(text, unit, message, tmp_path):
    with pytest.raises(Faults, match=message):
        read(tmp_path, text, unit=unit)


def test_currencies_of_small_worth(tmp_path):
    """25 yen a kWh."""
    series = read(tmp_path, hours(form="25"), unit="currency/kWh", largest_mean=100)
    assert series.values[0, 0] == 25.0
    with pytest.raises(ValueError, match="largest_mean: got 0, expected a positive number"):
        read(tmp_path, hours(), largest_mean=0)
    with pytest.raises(ValueError, match="unit: got 'EUR/MWh', expected one of currency/MWh"):
        read(tmp_path, hours(), unit="EUR/MWh")
