"""The whole comparison: every method on the same feeder, fleets and days, over seeds and budgets.

    python -m baselines.compare --quick
    python -m baselines.compare my_case.toml --out runs/my_case
    python -m baselines.compare --address auto --out /shared/comparison

Data flows one way: `config` says what is compared, `processes` runs its jobs, each a `job` in a
process of its own that leaves one file of `results`; `cluster` has Ray spread them over machines.
From results come `tables` (with `statistics`), `figures` and the `page`. Processes are ended and
watched the Unix way.
"""
