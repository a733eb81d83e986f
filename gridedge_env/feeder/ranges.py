"""The range of every number in a feeder's records."""

from __future__ import annotations

# What is possible, generously: a number outside is a slip of the pen or of the unit. Between these
# bounds double precision still tells the elements of one network apart.
RANGES = {
    "feeder": {"frequency": (1.0, 1e3)},
    "source": {
        "base_kv": (1e-3, 1e4),
        "per_unit": (1e-3, 1e2),
        "angle_degrees": (-3600.0, 3600.0),
        **dict.fromkeys(("r1", "x1", "r0", "x0"), (-1e6, 1e6)),
    },
    "buses": {"base_kv": (1e-3, 1e4), "x": (-1e12, 1e12), "y": (-1e12, 1e12)},
    "line_codes": {"phases": (1, 100), "ampacity": (1e-6, 1e9)},
    "lines": {"length": (1e-7, 1e7)},
    "switches": {"resistance_ohm": (1e-7, 1e6)},
    "transformers": {
        "antifloat_ppm": (0.0, 1e6),
        "no_load_loss_percent": (0.0, 1e3),
        "magnetising_percent": (0.0, 1e3),
    },
    "windings": {
        "kv": (1e-3, 1e4),
        "kva": (1e-6, 1e9),
        "resistance_percent": (0.0, 1e4),
        "tap": (0.1, 10.0),
    },
    "regulators": {
        "target_voltage": (0.0, 1e6),
        "bandwidth": (0.0, 1e6),
        "pt_ratio": (1e-6, 1e6),
        "ct_primary": (1e-6, 1e6),
        "r": (-1e6, 1e6),
        "x": (-1e6, 1e6),
        "delay": (0.0, 1e9),
        "tap_step": (1e-6, 1.0),
        "tap_limit": (1, 1000),
    },
    "capacitors": {"kvar": (1e-9, 1e9), "kv": (1e-3, 1e4)},
    "loads": {
        "kv": (1e-3, 1e4),
        "kw": (-1e9, 1e9),
        "kvar": (-1e9, 1e9),
        "vlow_pu": (0.0, 10.0),
        "vmin_pu": (1e-3, 10.0),
        "vmax_pu": (1e-3, 1e3),
        "p_exponent": (-10.0, 10.0),
        "q_exponent": (-10.0, 10.0),
    },
}
LARGEST_ENTRY = 1e8  # of a matrix
SMALLEST_IMPEDANCE = 1e-9  # singular value of an impedance matrix, over the largest
