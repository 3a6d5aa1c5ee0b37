#!/usr/bin/env python3
"""Reads what `scripts/bench compute` measured, and prints ratios as Markdown tables; draws them as SVG.

    report.py FOLDER     reads FOLDER/{products,steps,peak,compress,digest,trace}.csv where they are;
                         writes FOLDER/ratios.csv and FOLDER/compute.svg

Several runs of the same thing are summed up by their median. A ratio above 1 means that Talkoot is better.
"""

import csv
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path

FOLDER = Path(sys.argv[1])
TARGETS = {  # what was set out to be reached: at least, aim
    "products, best kernel": (0.95, 1.03),
    "products, own choice": (1.4, 1.9),
    "mlp-128 adamw": (1.3, 1.8),
    "mlp-1024 sgd": (1.2, 1.4),
    "mlp-1024 adamw": (1.3, 1.7),
    "cnn adamw": (1.5, 2.5),
    "gpt adamw": (1.2, 1.5),
}
ratios = []  # (name, ratio)


def rows(name):
    path = FOLDER / name
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def table(head, body):
    if not body:
        return
    print("| " + " | ".join(head) + " |")
    print("|---|" + "--:|" * (len(head) - 1))
    for line in body:
        print("| " + " | ".join(line) + " |")
    print()


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def note(name, ratio):
    ratios.append((name, ratio))
    least, aim = TARGETS.get(name, (None, None))
    if least is None:
        return f"{ratio:.2f}"
    verdict = "aim" if ratio >= aim else "reached" if ratio >= least else f"short of {least}"
    return f"{ratio:.2f} ({verdict})"


def products():
    """Canonical products on the widest engine beside OpenBLAS, for each choice of its kernels."""
    seen = defaultdict(list)
    for row in rows("products.csv"):
        key = (row["shape"], row["transposition"], row["blas"], row["engine"])
        seen[key].append(float(row["gflops"]))
    if not seen:
        return
    engines = {key[3] for key in seen}
    ours = next(e for e in ("avx512", "avx2", "neon", "baseline") if e in engines)
    shapes = list(dict.fromkeys((shape, form) for shape, form, _, _ in seen))
    body, against = [], defaultdict(list)
    for shape, form in shapes:
        mine = statistics.median(
            v for blas in ("own", "best") for v in seen.get((shape, form, blas, ours), [])
        )
        line = [shape, form, f"{mine:.0f}"]
        for blas in ("best", "own"):
            theirs = statistics.median(seen[(shape, form, blas, "blas")])
            against[blas].append(mine / theirs)
            line += [f"{theirs:.0f}", f"{mine / theirs:.2f}"]
        body.append(line)
    print(f"### Products, one thread, GFLOP/s ({ours})\n")
    table(
        ["shape", "form", "Talkoot", "OpenBLAS, its best kernel", "ratio", "OpenBLAS, its own choice", "ratio"],
        body,
    )
    for blas, name in (("best", "products, best kernel"), ("own", "products, own choice")):
        print(f"Geometric mean over {len(body)} shapes, {name}: {note(name, geometric_mean(against[blas]))}")
    print()


def steps():
    """Training steps beside PyTorch, which counts with the faster of its two settings."""
    times, memory, flops = defaultdict(list), defaultdict(list), {}
    for row in rows("steps.csv"):
        key = (row["model"], row["optimizer"], int(row["threads"]), row["who"])
        times[key].append(float(row["milliseconds"]))
        memory[key].append(int(row["peak_kib"]) - int(row["constructed_kib"]))
        if row["gflop"]:
            flops[row["model"]] = float(row["gflop"])
    if not times:
        return
    peak = max((float(row["gflops"]) for row in rows("peak.csv")), default=None)
    body, more = [], []
    for model, optimizer, threads, who in times:
        if who != "talkoot":
            continue
        mine = statistics.median(times[(model, optimizer, threads, who)])
        theirs = [
            statistics.median(times[key])
            for key in ((model, optimizer, threads, "torch"), (model, optimizer, threads, "torch-best"))
            if key in times
        ]
        label = f"{model} {optimizer}" + ("" if threads == 1 else f" {threads} threads")
        if theirs:
            body.append([label, f"{mine:.2f}", f"{min(theirs):.2f}", note(label, min(theirs) / mine)])
        if threads == 1:
            line = [label, f"{statistics.median(memory[(model, optimizer, 1, who)]) / 1024:.1f} MiB"]
            torch = [memory[k] for k in memory if k[:3] == (model, optimizer, 1) and k[3] != "talkoot"]
            least = min((statistics.median(m) for m in torch), default=None)
            line += [f"{least / 1024:.1f} MiB", f"{statistics.median(memory[(model, optimizer, 1, who)]) / least:.2f}"] \
                if least else ["", ""]
            line.append(f"{flops[model] / mine * 1e3:.0f}" + (f" ({100e3 * flops[model] / mine / peak:.0f} %)" if peak else ""))
            two = times.get((model, optimizer, 2, who))
            line.append(f"{mine / statistics.median(two):.2f}" if two else "")
            more.append(line)
    print("### Training steps, milliseconds\n")
    table(["model, optimizer", "Talkoot", "PyTorch", "ratio"], body)
    print(f"### Memory, share of the peak{f' of {peak:.0f} GFLOP/s' if peak else ''}, threads\n")
    table(["one thread", "memory of a step", "PyTorch", "share", "GFLOP/s", "2 threads, times"], more)


def plain(name, title):
    got = rows(name)
    if got:
        print(f"### {title}\n")
        table(list(got[0]), [list(row.values()) for row in got])


def draw():
    """A bar for each ratio, on a logarithmic scale; the line is where both are equally fast."""
    if not ratios:
        return
    with (FOLDER / "ratios.csv").open("w", encoding="utf-8") as out:
        out.write("what,ratio\n" + "".join(f"{name.replace(',', ';')},{ratio:.4f}\n" for name, ratio in ratios))
    row, left, width = 26, 210, 620
    low = math.log2(min(0.5, min(r for _, r in ratios) / 1.1))
    high = math.log2(max(4.0, max(r for _, r in ratios) * 1.1))

    def x(ratio):
        return left + (math.log2(ratio) - low) / (high - low) * (width - left - 60)

    height = row * len(ratios) + 60
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-weight="bold">How many times as fast as the alternative</text>',
    ]
    for tick in (0.5, 1, 1.5, 2, 3, 4, 6, 8):
        if low <= math.log2(tick) <= high:
            colour = "#222" if tick == 1 else "#ccc"
            out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="34" y2="{height - 22}" stroke="{colour}"/>')
            out.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick:g}×</text>')
    for i, (name, ratio) in enumerate(ratios):
        y = 36 + i * row
        start, end = sorted((x(1), x(ratio)))
        least, aim = TARGETS.get(name, (None, None))
        out.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{name}</text>')
        colour = "#2a7a4b" if ratio >= (least or 1) else "#b5472f"
        out.append(f'<rect x="{start:.1f}" y="{y + 4}" width="{max(end - start, 1):.1f}" height="14" fill="{colour}"/>')
        for mark in (least, aim):
            if mark:
                out.append(f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{y + 1}" y2="{y + 21}" stroke="#d08a00" stroke-width="2"/>')
        out.append(f'<text x="{end + 5:.1f}" y="{y + 15}">{ratio:.2f}</text>')
    out.append("</svg>\n")
    (FOLDER / "compute.svg").write_text("\n".join(out), encoding="utf-8")


products()
steps()
plain("compress.csv", "Compression, GB of dense parameters a second, one core")
plain("digest.csv", "Digests of states")
plain("trace.csv", "What the trace costs")
draw()
