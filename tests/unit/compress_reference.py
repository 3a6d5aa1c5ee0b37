#!/usr/bin/env python3
"""A second, slow implementation of "Update compression" in tasks/math/NUMERICS.md.

Values go through exact rational arithmetic (tests/math/numerics_reference.py), bits through integers.
Running it writes the golden digests that tests/unit/test_golden_compress.c checks:

    python3 tests/unit/compress_reference.py > tests/unit/compress_golden.txt
"""

import hashlib
import math
import os
import struct
import sys
from fractions import Fraction

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "math"))
from numerics_reference import add, bits, div, inputs, mul, reduce, round32, sub  # noqa: E402


# ---- value by value ----

def round_narrow(x, mantissa, exponent_min):
    """The nearest number with so many bits after the point, ties to even; as a rational."""
    if x == 0:
        return Fraction(0)
    exact = abs(Fraction(x))
    exponent = max(math.frexp(x)[1] - 1, exponent_min)
    quantum = Fraction(2) ** (exponent - mantissa)
    return round(exact / quantum) * quantum * (1 if x > 0 else -1)  # round() ties to even


def narrow_bits(x, mantissa, bias):
    """The pattern of sixteen bits of x, rounded; None when that is infinite."""
    y = round_narrow(x, mantissa, 1 - bias)
    if y == 0:
        return 0
    sign, y = (1, -y) if y < 0 else (0, y)
    exponent = max(math.frexp(float(y))[1] - 1, 1 - bias)
    fraction = y / Fraction(2) ** exponent
    biased = exponent + bias if fraction >= 1 else 0
    if biased > 2 * bias:
        return None
    low = (fraction - (1 if biased else 0)) * 2 ** mantissa
    assert low.denominator == 1
    return sign << 15 | biased << mantissa | low.numerator


def narrow_value(u, mantissa, bias):
    exponent, low = u >> mantissa & (2 * bias + 1), u & (2 ** mantissa - 1)
    value = math.ldexp(low + (2 ** mantissa if exponent else 0), max(exponent, 1) - bias - mantissa)
    return -value if u >> 15 else value


FP16, BF16 = (10, 15), (7, 127)


def pack_none(x):
    return b"".join(struct.pack("<f", v + 0.0) for v in x), [v + 0.0 for v in x]


def pack_narrow(x, form):
    words = [narrow_bits(v, *form) for v in x]
    return b"".join(struct.pack("<H", u) for u in words), [narrow_value(u, *form) for u in words]


def pack_int8(x):
    out, back = b"", []
    for start in range(0, len(x), 4096):
        block = x[start:start + 4096]
        scale = div(max(abs(v) for v in block), 127.0)
        scale = 0.0 if scale < 2.0 ** -126 else scale
        q = [round(Fraction(div(v, scale))) if scale else 0 for v in block]
        out += struct.pack("<f", scale) + bytes(v & 255 for v in q)
        back += [mul(scale, float(v)) if scale else 0.0 for v in q]
    return out, back


# ---- SparseLoCo ----

def blocks(planes):
    """The indices of each block's values, row after row, and how many of them are kept."""
    offset = 0
    for rows, cols in planes:
        tall, wide = -(-rows // 64), -(-cols // 64)
        for i in range(tall):
            for j in range(wide):
                at = [offset + r * cols + c
                      for r in range(i * rows // tall, (i + 1) * rows // tall)
                      for c in range(j * cols // wide, (j + 1) * cols // wide)]
                yield at, -(-len(at) // (16 if rows == 1 else 64))
        offset += rows * cols


def mean(magnitudes, belongs):
    """Of those that belong; they stay in the lanes of their ranks, and the others count as zero."""
    members = sum(belongs(a) for a in magnitudes)
    return div(reduce([a if belongs(a) else 0.0 for a in magnitudes]), float(members)) if members else None


def levels(magnitudes):
    """The magnitude that separates the two levels, and both as bf16 patterns."""
    middle = mean(magnitudes, lambda a: True)
    above = mean(magnitudes, lambda a: a > middle)
    rest = mean(magnitudes, lambda a: a <= middle)
    high = 0 if above is None else narrow_bits(above, *BF16)
    low = high if rest is None else narrow_bits(rest, *BF16)
    return middle, low, high if high > low else 0


def number(fields, width):
    """Fields of so many bits, the first one lowest, as bytes."""
    whole = sum(f << i * width for i, f in enumerate(fields))
    return whole.to_bytes(-(-len(fields) * width // 8), "little")


def pack_sparse(x, feedback, planes):
    """Changes the feedback."""
    out, back = b"", [0.0] * len(x)
    for i, v in enumerate(x):
        feedback[i] = add(mul(round32(Fraction("0.95")), feedback[i]), v)
    for at, keep in blocks(planes):
        size = [abs(feedback[i]) if abs(feedback[i]) >= 2.0 ** -126 else 0.0 for i in at]
        kept = sorted(sorted(range(len(at)), key=lambda i: (-size[i], i))[:keep])
        middle, low, high = levels([size[i] for i in kept])
        codes = []
        for i in kept:
            is_high = int(high != 0 and size[i] > middle)
            level = high if is_high else low
            negative = int(math.copysign(1.0, feedback[at[i]]) < 0 and level != 0)
            value = narrow_value(level | negative << 15, *BF16)
            codes.append(negative << 1 | is_high)
            feedback[at[i]] = sub(feedback[at[i]], value)
            back[at[i]] = value
        out += struct.pack("<HH", low, high) + number(kept, 12) + number(codes, 2)
    return out, back


# ---- cases ----

def finite_inputs(kind, count, seed):
    """What is not finite or not below 2^14 becomes -0."""
    return [v if abs(v) < 16384 else -0.0 for v in inputs(kind, count, seed)]


def case(codec, kind, rows, cols, vector, rounds):
    """Digests the payloads, the values that they give, added up, and the feedback."""
    planes = [(rows, cols)] + ([(1, vector)] if vector else [])
    count = rows * cols + vector
    total, feedback, payloads = [0.0] * count, [0.0] * count, b""
    for r in range(rounds):
        x = finite_inputs(kind, count, r + 1)
        packed, back = {
            "none": lambda: pack_none(x),
            "fp16": lambda: pack_narrow(x, FP16),
            "bf16": lambda: pack_narrow(x, BF16),
            "int8": lambda: pack_int8(x),
            "sparseloco": lambda: pack_sparse(x, feedback, planes),
        }[codec]()
        payloads += packed
        total = [add(t, b) for t, b in zip(total, back)]
    words = b"".join(struct.pack("<I", bits(v)) for v in total + feedback)
    return hashlib.blake2b(payloads + words, digest_size=32).hexdigest()


def main():
    print("# Written by compress_reference.py: codec, kind of input, rows, columns, length of a vector,")
    print("# rounds, BLAKE2b-256 of the payloads, the sum of what they say and the feedback.")
    sizes = ((64, 64, 64, 2), (65, 70, 100, 3), (10, 64, 10, 3), (3, 129, 1, 2), (130, 1, 0, 2))
    for codec in ("none", "fp16", "bf16", "int8", "sparseloco"):
        for kind in ("plain", "wide", "nasty", "reals"):
            for size in sizes:
                print(codec, kind, *size, case(codec, kind, *size))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
