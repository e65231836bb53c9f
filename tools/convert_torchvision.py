"""Converts a ResNet or Vision Transformer to the weights that a run can start from.

    python tools/convert_torchvision.py resnet50-0676ba61.pth weights/resnet50.npz

In a clone; elsewhere `python -m jreid.convert.torchvision` is the same.
"""

import sys

from jreid.convert.torchvision import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
