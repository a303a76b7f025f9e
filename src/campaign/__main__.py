"""`python -m campaign` is `campaign`."""

import os
import sys

if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]  # -m puts the folder there: its `random.py` would be taken for a library

from campaign.cli.main import main

if __name__ == "__main__":
    main()
