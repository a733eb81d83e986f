"""A case as a folder of readable files: `case.toml`, the feeder's tables, customers, series."""

from gridedge_env.case_files.folder import CASE_FILE, read_case, write_case

__all__ = ["CASE_FILE", "read_case", "write_case"]
