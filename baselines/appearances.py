"""Names and colours of the methods that only a comparison has, beside those of a run's report."""

from __future__ import annotations

from gradmap_trainer.report.appearance import APPEARANCES as OF_A_RUN
from gradmap_trainer.report.appearance import Appearance

APPEARANCES = {
    **OF_A_RUN,
    "self_supervised": Appearance(
        "Self-supervised", "#6a3d9a", "the same policies, one optimiser step per gradient."
    ),
    "ippo": Appearance("IPPO", "#a6761d", "reinforcement learning, each home with its own critic."),
    "mappo": Appearance(
        "MAPPO",
        "#56b4e9",
        "reinforcement learning, each home's critic sees the whole fleet's state.",
    ),
    "shared_ippo": Appearance(
        "Shared IPPO", "#7fbf3f", "as IPPO, one network for all homes with the same device."
    ),
    "shared_mappo": Appearance(
        "Shared MAPPO", "#1f4e79", "as MAPPO, one network for all homes with the same device."
    ),
    "volt_watt": Appearance(
        "Volt-watt",
        "#117733",
        "price-following by inverters that feed in less where their voltage is high.",
    ),
    "volt_var": Appearance(
        "Volt-var",
        "#882255",
        "price-following by inverters whose reactive power follows their voltage.",
    ),
}
