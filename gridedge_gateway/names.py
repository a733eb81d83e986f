"""Names of customers where signs have a meaning of their own: in topics, and in names of files."""

from __future__ import annotations

import re

# A name that begins with a dot is hidden, or a folder.
UNFIT = re.compile(r'[/+#%\\:*?"<>|\x00-\x1f\x7f]|^\.')


def fit(name: str) -> str:
    """A name, such signs written as in an address of the web: "a/b" is "a%2Fb"."""
    return UNFIT.sub(lambda sign: f"%{ord(sign[0]):02X}", name)
