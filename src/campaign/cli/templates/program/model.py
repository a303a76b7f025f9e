"""A model that is a program: parameters as arguments, one number a line on stdout. Any language will do."""

import argparse
import math

parser = argparse.ArgumentParser()
for name in ("amplitude", "rate", "offset"):
    parser.add_argument(f"--{name}", type=float, required=True)
given = parser.parse_args()
for i in range(40):
    time = round(i * 5.0 / 39, 6)
    print(repr(given.amplitude * math.exp(-given.rate * time) + given.offset))
