from __future__ import annotations

import pytest
import torch

from gridedge_env.scenarios import Tariff

DAY_AHEAD = torch.tensor([0.10, 0.005, -0.20], dtype=torch.float64)


def test_import_price_adds_tax_and_charges():
    """0.10 · 1.21 + 0.15 = 0.271; 0.005 · 1.21 + 0.15 = 0.15605; −0.20 · 1.21 + 0.15 = −0.092."""
    price = Tariff().import_price(DAY_AHEAD)
    assert price.tolist() == pytest.approx([0.271, 0.15605, -0.092], abs=1e-15)


def test_net_metering_earns_the_import_price():
    assert torch.equal(Tariff().export_price(DAY_AHEAD), Tariff().import_price(DAY_AHEAD))


def test_feed_in_price_is_the_market_price_less_a_fee_and_never_below_the_floor():
    """max(0.10 − 0.02, 0.01) = 0.08; max(0.005 − 0.02, 0.01) = 0.01; the same floor at −0.20."""
    tariff = Tariff(net_metering=False, feed_in_fee=0.02, feed_in_floor=0.01)
    assert tariff.export_price(DAY_AHEAD).tolist() == pytest.approx([0.08, 0.01, 0.01], abs=1e-15)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("adder", "low", "a finite number"),
        ("tax_factor", float("nan"), "a finite number"),
        ("net_metering", 1, "True or False"),
    ],
)
def test_what_is_no_price_is_refused(field, value, expected):
    with pytest.raises(ValueError, match=f"^tariff.{field}: got {value!r}, expected {expected}"):
        Tariff(**{field: value})
