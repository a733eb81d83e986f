"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from gridedge_env.clock import Clock

# No line may break between a number and its unit.
SPACE = "\u00a0"


def money(amount: float, currency: str) -> str:
    """€ 3,898 or, when small, € 38.98; what rounds to nothing has no sign."""
    decimals = 0 if abs(amount) >= 100.0 else 2
    return (
        f"{'−' if round(amount, decimals) < 0 else ''}{currency}{SPACE}{abs(amount):,.{decimals}f}"
    )


def percent(share: float) -> str:
    """4.5 % or, when small, 0.45 %."""
    decimals = 2 if 0.0 < abs(share) < 0.01 else 1
    return f"{'−' if share < 0 else ''}{100.0 * abs(share):.{decimals}f}{SPACE}%"


def signed_percent(share: float) -> str:
    """+4.5 %."""
    return f"{'−' if share < 0 else '+'}{percent(abs(share))}"


def relative(cost: float, reference: float) -> float | None:
    """By what share of the reference a cost is above it; None if nothing is to be shared."""
    return (cost - reference) / abs(reference) if reference else None


def difference(cost: float, reference: float, name: str, currency: str) -> str:
    """How a cost compares: "4.5 % more than doing nothing"."""
    share = relative(cost, reference)
    if share is None:
        return f"{money(cost, currency)} a day against nothing for {name}"
    if abs(share) < 5e-5:
        return f"as much as {name}"
    return f"{percent(abs(share))} {'more' if share > 0 else 'less'} than {name}"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def duration(seconds: float) -> str:
    """61 s, 5 min 20 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole}{SPACE}s"
    if whole < 7200:
        return f"{whole // 60}{SPACE}min" + (f" {whole % 60}{SPACE}s" if whole % 60 else "")
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60}{SPACE}min"


def step_name(clock: Clock) -> str:
    """What a step of the clock is called: "half-hour"."""
    return {15: "quarter-hour", 30: "half-hour", 60: "hour"}[clock.minutes]
