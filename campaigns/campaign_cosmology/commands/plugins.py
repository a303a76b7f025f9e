"""Files of one's own that register models, data, likelihoods, optimisers or objectives: ``--plugin mine.py``.

Such a file runs. So it is named on the command line and nowhere else: a configuration file is data, and names none.
"""

from __future__ import annotations

from pathlib import Path

from campaign.science import UsageError, own_code


def load_plugins(paths: tuple[Path, ...]) -> dict[str, str]:
    """Run the files in their order, with the modules beside them that they import; file name → SHA-256 of that code.

    Raises:
        UsageError: no such file, no Python file, or two of one name.
        InvalidValue: it cannot be imported; with the line.
    """
    found: dict[str, str] = {}
    for path in paths:
        if path.suffix != ".py" or not path.is_file():
            what = "is not there" if not path.exists() else "is no Python file"
            raise UsageError(f"the plug-in {path} {what}", hint="--plugin mine.py: a file that registers what it adds")
        if path.name in found:
            raise UsageError(f"two plug-ins are called {path.name}", hint="name each once, and call them differently")
        found[path.name] = own_code(path).sha256
    return found
