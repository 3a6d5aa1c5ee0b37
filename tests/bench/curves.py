#!/usr/bin/env python3
"""Draws the curves that `scripts/bench curves` measured.

    curves.py FOLDER     reads FOLDER/curves.csv (name, round, rounds, loss, validation_loss), writes FOLDER/curves.svg

The x axis is the share of its samples that a recipe has learnt from. Every recipe has 24,000 windows, but for `local`: its
13 whole rounds are 24,960. A recipe of one round is one dot, since nobody looks at a model inside a unit.
"""

import csv
import sys
from collections import defaultdict
from math import ceil
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 400, 64, 52, 34, 160
COLOURS = ("#1b6ca8", "#d08a00", "#2a7a4b", "#b5472f", "#6b4fa0")

folder = Path(sys.argv[1])
curves = defaultdict(list)
with (folder / "curves.csv").open(newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        curves[row["name"]].append((int(row["round"]) / int(row["rounds"]), float(row["validation_loss"])))
if not curves:
    sys.exit("curves.csv holds no curve")
low = min(loss for curve in curves.values() for _, loss in curve) - 0.1
high = min(max(loss for curve in curves.values() for _, loss in curve), low + 2.5) + 0.1


def x(share):
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y(loss):
    return TOP + (high - min(loss, high)) / (high - low) * (HEIGHT - TOP - BOTTOM)


out = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    f'<text x="{LEFT}" y="20" font-weight="bold">Validation loss at equal samples</text>',
    f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 10}" text-anchor="middle">share of the samples learnt from</text>',
    f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)" text-anchor="middle">validation loss</text>',
]
tick = ceil(4 * low) / 4
while tick < high:
    out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>')
    out.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    tick += 0.25
for share in (0, 0.25, 0.5, 0.75, 1):
    out.append(f'<text x="{x(share):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{share:.0%}</text>')
for i, (name, curve) in enumerate(curves.items()):
    colour = COLOURS[i % len(COLOURS)]
    points = " ".join(f"{x(share):.1f},{y(loss):.1f}" for share, loss in curve)
    if len(curve) == 1:
        out.append(f'<circle cx="{x(curve[0][0]):.1f}" cy="{y(curve[0][1]):.1f}" r="4" fill="{colour}"/>')
    else:
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    out.append(
        f'<text x="{WIDTH - RIGHT + 14}" y="{TOP + 14 + 20 * i}" fill="{colour}">{name}, {curve[-1][1]:.4f}</text>')
out.append("</svg>\n")
(folder / "curves.svg").write_text("\n".join(out), encoding="utf-8")
