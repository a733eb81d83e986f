"""Which versions of GridEdge understand each other's runs: those that differ in the patch alone."""

from __future__ import annotations

import gridedge_env

# Under which a run's files name the version that wrote them.
VERSION_FIELD = "gridedge"


def release(version: str = "") -> str:
    """The major and minor version, "0.1", of a version or of this one."""
    return ".".join((version or gridedge_env.__version__).split(".")[:2])


def check_release(version: object, what: str) -> None:
    """Refuse what another release has written: its runs may mean something else.

    Args:
        version: that wrote it.
        what: it is, in the error.

    Raises:
        ValueError: another release than this.
    """
    if not isinstance(version, str) or release(version) != release():
        raise ValueError(
            f"{what} is by GridEdge {version}, expected one by {release()}.x: install "
            f"{version} to go on with it (this is {gridedge_env.__version__})"
        )
