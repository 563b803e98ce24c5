"""python -m rtf_models.quantize: the same as `python -m rtf_models quantize`."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
