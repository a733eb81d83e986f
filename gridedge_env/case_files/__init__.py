"""A case as a folder of readable files: `case.toml`, the feeder's tables, customers, series."""

from gridedge_env.case_files.background import leave_loads_to_customers
from gridedge_env.case_files.folder import read_case, write_case
from gridedge_env.case_files.series import can_be_saved

__all__ = ["can_be_saved", "leave_loads_to_customers", "read_case", "write_case"]
