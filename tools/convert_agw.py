"""Turns a trained checkpoint of the AGW family into a run that can be scored here.

    python tools/convert_agw.py sysu_agw_best.t runs/agw --root SYSU-MM01

In a clone; elsewhere `python -m jreid.convert.agw` is the same.
"""

import sys

from jreid.convert.agw import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
