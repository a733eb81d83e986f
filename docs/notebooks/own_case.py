# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own case, from tables to a simulated day
#
# Three customers with names, meters and prices of their own, on a feeder. Everything is a file in
# a folder, so that a spreadsheet would do in place of this notebook; [Your own
# case](../your_case.md) describes every file. This page was made by running it; its source is
# `docs/notebooks/own_case.py`, which is a script and, by Jupytext, a notebook.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import gridedge_env
from gridedge_env.reference import PriceFollowing, Thermostat, play

# %% [markdown]
# ## A folder to begin with
#
# `gridedge-case new` writes a whole case with made-up homes; so does `save`. The feeder's tables
# and `case.toml` stay, the homes go.

# %%
place = tempfile.TemporaryDirectory()  # which is gone when the notebook ends
folder = Path(place.name) / "three_customers"
gridedge_env.default_case(feeder="ieee13", num_agents=3).save(folder)
for table in folder.glob("*.csv"):
    table.unlink()

# %% [markdown]
# ## Customers and their devices
#
# One row for each customer, and one for each device. A place is a bus and a phase of the feeder.

# %%
pd.DataFrame(
    {
        "agent": ["Bakery", "Rose Lane 4", "School"],
        "place": ["671.1", "645.2", "675.3"],
        "meter": ["m-17", "m-08", "m-23"],
    }
).to_csv(folder / "agents.csv", index=False)

pd.DataFrame(
    {
        "agent": ["Bakery", "School"],
        "capacity": [60.0, 90.0],  # kWh
        "maximum_power": [30.0, 40.0],  # kW
        "charge_efficiency": [0.95, 0.95],
        "discharge_efficiency": [0.95, 0.95],
        "minimum_energy": [3.0, 4.5],  # kWh
        "wear_cost": [0.03, 0.03],  # per kWh that is charged or discharged
    }
).to_csv(folder / "batteries.csv", index=False)

pd.DataFrame(
    {
        "agent": ["Rose Lane 4"],
        "maximum_power": [4.0],  # kW of electricity
        "supply_temperature": [35.0],  # °C
        "performance": [0.95],
        "resistance": [5.0],  # K/kW
        "capacity": [6.0],  # kWh/K
        "lowest_temperature": [19.5],  # °C
        "highest_temperature": [22.0],
        "internal_gain": [0.3],  # kW
        "solar_aperture": [2.0],  # m²
    }
).to_csv(folder / "heat_pumps.csv", index=False)

# %% [markdown]
# ## Meters, prices and weather
#
# Three weeks in local time. Yours come from the meter operator, the market and the weather
# service; these are made up.

# %%
random = np.random.default_rng(0)
hours = pd.date_range("2025-02-03", "2025-02-23 23:00", freq="h", name="timestamp")
daytime = np.sin((hours.hour.to_numpy() - 6) * np.pi / 12).clip(0)

pd.DataFrame(
    {
        name: random.gamma(20.0, mean / 20.0, len(hours)) * (0.4 + daytime)
        for name, mean in {"m-17": 8.0, "m-08": 0.6, "m-23": 15.0}.items()
    },
    hours,
).round(3).to_csv(folder / "meters.csv")
evening = np.isin(hours.hour, [7, 8, 18, 19, 20])
pd.DataFrame(
    {"price": 90.0 + 80.0 * evening - 50.0 * daytime + random.normal(0, 8, len(hours))}, hours
).round(2).to_csv(folder / "prices.csv")
pd.DataFrame(
    {
        "temperature": 3.0 + 4.0 * daytime + random.normal(0, 1, len(hours)),
        "irradiance": 250 * daytime,
    },
    hours,
).round(1).to_csv(folder / "weather.csv")

# %% [markdown]
# `case.toml` says what they are: units, dates, tariff.

# %%
(folder / "case.toml").write_text("""
name = "Three customers"
time_zone = "Europe/Berlin"
step_minutes = 60

[feeder]
loads = "none"

[tariff.imports]
kind = "day_ahead"
factor = 1.19
adder = 0.18

[tariff.exports]
kind = "fixed"
price = 0.08

[days]
price_unit = "currency/MWh"
train = [2025-02-03, 2025-02-16]
validation = [2025-02-17, 2025-02-19]
test = [2025-02-20, 2025-02-23]

[demand]
unit = "kW"
""")
print(*sorted(path.name for path in folder.iterdir()), sep="\n")

# %% [markdown]
# ## Whatever is wrong is named
#
# `gridedge-case check` lists all faults, with file, row and column. From Python they come as one
# `ValueError`.

# %%
agents = (folder / "agents.csv").read_text()
(folder / "agents.csv").write_text(agents.replace("645.2", "645.1"))
try:
    gridedge_env.load_case(folder)
except ValueError as error:
    print(error)

# %% [markdown]
# ## A day of it
#
# Two rules that need no learning play the first test day: one keeps comfort and nothing else, one
# follows the price.

# %%
(folder / "agents.csv").write_text(agents)
case = gridedge_env.load_case(folder)
simulator = gridedge_env.make_simulator(case=case)
state = simulator.reset(split="test", days=[0], seed=0)
print(case.title, "with", ", ".join(simulator.fleet.names))

figure, (price, power) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
price.step(range(24), state.day.import_price[0], where="post")
price.set(ylabel="price, €/kWh")
for rule in (Thermostat(simulator), PriceFollowing(simulator)):
    results = [result for _, _, result in play(simulator, rule, state)]
    cost = sum(result.cost.sum().item() for result in results)
    drawn = [result.power.sum().item() for result in results]
    power.step(range(24), drawn, where="post", label=f"{type(rule).__name__}: {cost:.2f} €")
power.set(xlabel="hour", ylabel="all meters, kW")
power.legend()
plt.show()

# %% [markdown]
# ## Training for it
#
# `gradmap-train --case FOLDER --run runs/three` trains a policy for each customer and writes a
# report; `gradmap-export runs/three` writes the file that runs at each customer's gateway.
