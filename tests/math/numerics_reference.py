#!/usr/bin/env python3
"""A second, slow implementation of tasks/math/NUMERICS.md, written from the specification.

Every operation is exact rational arithmetic followed by one rounding; neither numpy nor the C library
takes part. Running it writes the golden digests that tests/math/test_golden.c checks:

    python3 tests/math/numerics_reference.py > tests/math/numerics_golden.txt
"""

import struct
import sys
from fractions import Fraction

from numerics_arithmetic import *
from numerics_images import IMAGE_CASES
from numerics_layers import EACH, LAYER_CASES

# ---- layers and optimizers ----

def cross_entropy(rows, labels, count):
    """The rows' losses, which of them are right, and all gradients; count is that of the whole batch."""
    losses, correct, gradient = [], [], []
    for z, label in zip(rows, labels):
        top = -INF
        for v in z:
            top = v if v > top else top
        first = next((i for i, v in enumerate(z) if v == top), -1)
        e = [exp(sub(v, top)) for v in z]
        whole = reduce(e)
        losses.append(sub(log(whole), sub(z[label], top)))
        correct.append(1 if first == label else 0)
        for c, v in enumerate(e):
            p = sub(div(v, whole), 1.0 if c == label else 0.0)
            gradient.append(div(p, float(count)))
    return losses, correct, gradient


def adamw(s, g, m, v, w):
    rest1, rest2 = sub(1.0, s["beta1"]), sub(1.0, s["beta2"])
    rate, decay = div(s["lr"], s["bias1"]), mul(s["lr"], s["decay"])
    root = div(1.0, sqrt(s["bias2"]))
    for i in range(len(w)):
        scaled = mul(g[i], s["scale"])
        m[i] = fma(s["beta1"], m[i], mul(rest1, scaled))
        v[i] = fma(s["beta2"], v[i], mul(mul(rest2, scaled), scaled))
        w[i] = fma(-decay, w[i], w[i])
        w[i] = fma(-rate, div(m[i], fma(sqrt(v[i]), root, s["epsilon"])), w[i])


def sgd(lr, momentum, nesterov, weight_decay, scale, g, v, w):
    decay = mul(lr, weight_decay)
    for i in range(len(w)):
        step = mul(g[i], scale)
        if momentum != 0:
            scaled = step
            step = v[i] = fma(momentum, v[i], scaled)
            step = fma(momentum, v[i], scaled) if nesterov else step
        w[i] = fma(-lr, step, fma(-decay, w[i], w[i]))


# ---- random numbers and order ----

def uniform(seed, stream, lane, counter):
    return (philox(seed, stream, lane, counter)[0] >> 8) / 2.0 ** 24


def normal(seed, stream, counter):
    words = [w for lane in range(3) for w in philox(seed, stream, lane, counter)]
    return round32(Fraction(sum(words) - 6 * (2 ** 32 - 1), 2 ** 32))


def bijection(n, key, tweak, x):
    bits_all = (n - 1).bit_length()
    low_bits, high_bits = bits_all - bits_all // 2, bits_all // 2
    if n == 1:
        return 0
    while True:
        for r in range(8):
            low, high = x % 2 ** low_bits, x >> low_bits
            word = philox(key, 2, r, tweak << 32 | (low if r % 2 else high))[0]
            if r % 2:
                high ^= word % 2 ** high_bits
            else:
                low ^= word % 2 ** low_bits
            x = high << low_bits | low
        if x < n:
            return x


def epoch_order(seed, samples, shard_samples, epoch):
    """The whole epoch as a list of (shard, index), by building it rather than by computing places."""
    word = philox(seed, 2, 0xffffffff, epoch)
    key = word[1] << 32 | word[0]
    shards = -(-samples // shard_samples)
    permuted = [bijection(shards, key, 0, slot) for slot in range(shards)]
    order = []
    for window in range(-(-shards // 16)):
        pool = [(s, i) for s in permuted[16 * window:16 * window + 16]
                for i in range(min(shard_samples, samples - s * shard_samples))]
        order += [pool[bijection(len(pool), key, 1 + window, i)] for i in range(len(pool))]
    return order


def split(n, fraction, seed):
    """How many rows are kept for validation, and which."""
    count = min(max(math.floor(fraction * n + 0.5), 1), n - 1) if fraction > 0 else 0
    return [count] + [row for row in range(n) if bijection(n, seed, 3, row) < count]


def cos_pi(t):
    """As binary64, whose +, - and * are Python's."""
    cosine = ("0x1p+0", "-0x1.3bd3cc9be45dep+2", "0x1.03c1f081b5ac4p+2", "-0x1.55d3c7e3cbffap+0",
              "0x1.e1f506891babbp-3", "-0x1.a6d1f2a204a8cp-6", "0x1.f9d38a3763cc3p-10",
              "-0x1.b6e24f44b128fp-14", "0x1.20c62c2f2d7f5p-18")
    sine = ("0x1.921fb54442d18p+1", "-0x1.4abbce625be53p+2", "0x1.466bc6775aae2p+1",
            "-0x1.32d2cce62bd86p-1", "0x1.50783487ee782p-4", "-0x1.e3074fde8871fp-8",
            "0x1.e8f434d018d63p-12", "-0x1.6fadb9f155744p-16", "0x1.aaec32af93359p-21")
    if t > 0.5:
        return -cos_pi(1 - t)
    x = t if t <= 0.25 else 0.5 - t
    y = 0.0
    for c in reversed(cosine if t <= 0.25 else sine):
        y = y * (x * x) + constant(c)
    return y if t <= 0.25 else x * y


def power(x, n):
    """As binary64, too."""
    y = 1.0
    while n > 0:
        y = y * x if n % 2 else y
        x, n = x * x, n // 2
    return y


# ---- cases ----

def case_gemm(kind, ta, tb, M, N, K, accumulate):
    a, b = inputs(kind, M * K, 1), inputs(kind, K * N, 2)
    c = matrix(inputs(kind, M * N, 3) if accumulate else [0.0] * (M * N), M, N)
    a = transposed(matrix(a, K, M)) if ta else matrix(a, M, K)
    b = transposed(matrix(b, N, K)) if tb else matrix(b, K, N)
    gemm(a, b, c)
    return digest(v for row in c for v in row)


def case_cross_entropy(kind, rows, classes):
    z = matrix(inputs(kind, rows * classes, 1), rows, classes)
    labels = [philox(2, 99, 0, r)[0] % classes for r in range(rows)]
    losses, correct, gradient = cross_entropy(z, labels, rows)
    return digest(losses + [float(c) for c in correct] + gradient)


def case_adamw(kind, n):
    s = {name: round32(Fraction(text)) for name, text in (
        ("lr", "0.004"), ("beta1", "0.9"), ("beta2", "0.99"), ("epsilon", "1e-8"), ("decay", "0.01"),
        ("bias1", "0.271"), ("bias2", "0.029701"), ("scale", "0.75"))}
    g, m, w = (inputs(kind, n, seed) for seed in (1, 2, 4))
    v = [mul(x, x) for x in inputs(kind, n, 3)]
    adamw(s, g, m, v, w)
    return digest(m + v + w)


def case_sgd(kind, n, mode):
    """Plain, with momentum, with Nesterov's."""
    lr, decay, scale, factor = (round32(Fraction(t)) for t in ("0.1", "0.01", "0.75", "0.9"))
    g, v, w = (inputs(kind, n, seed) for seed in (1, 2, 3))
    sgd(lr, factor if mode else 0.0, mode == 2, decay, scale, g, v, w)
    return digest(v + w)


def case_bias(kind, rows, cols):
    y, bias = inputs(kind, rows * cols, 1), inputs(kind, cols, 2)
    return digest(add(v, bias[i % cols]) for i, v in enumerate(y))


def case_order(samples, shard_samples):
    places = [p for epoch in (0, 1) for p in epoch_order(7, samples, shard_samples, epoch)]
    return digest64(v for place in places for v in place)


def case_each(name, kind, n):
    x, y = inputs(kind, n, 1), inputs(kind, n, 2)
    one = {
        "exp": lambda a, b: exp(a), "log": lambda a, b: log(a), "tanh": lambda a, b: tanh(a),
        "relu": lambda a, b: a if a > 0 else 0.0,
        "tanh_backward": lambda a, b: mul(b, fma(-a, a, 1.0)),
        "relu_backward": lambda a, b: b if a > 0 else 0.0, **EACH,
    }[name]
    return digest(one(a, b) for a, b in zip(x, y))


def case_columns(kind, rows, cols):
    return digest(column_sums(matrix(inputs(kind, rows * cols, 1), rows, cols), cols))


def case_philox(n):
    out = [float(uniform(2 ** 63 + 5, 1, i, 2 ** 40 + i)) for i in range(n)]
    return digest(out + [normal(2 ** 63 + 5, 1, 2 ** 40 + i) for i in range(n)])


def case_cos_pi(n):
    return digest64(struct.unpack("<Q", struct.pack("<d", cos_pi(i / n)))[0] for i in range(n + 1))


def case_power(n):
    """The betas that people use, to steps far apart: from 1 down to what is subnormal, and zero."""
    betas = [round32(Fraction(text)) for text in ("0.9", "0.95", "0.99", "0.999")]
    return digest64(struct.unpack("<Q", struct.pack("<d", power(b, i * i)))[0] for b in betas for i in range(n))


def main():
    def emit(name, *args):
        table = {
            "gemm": case_gemm, "cross_entropy": case_cross_entropy, "adamw": case_adamw, "sgd": case_sgd,
            "order": case_order, "columns": case_columns, "philox": case_philox, "cos_pi": case_cos_pi,
            "bias": case_bias, "power": case_power,
            "split": lambda n, percent: digest64(split(n, percent / 100, 2 ** 63 + 5)),
            **LAYER_CASES, **IMAGE_CASES, "sum": lambda kind, n: digest([reduce(inputs(kind, n, 1))]),
            "squares": lambda kind, n: digest([reduce(inputs(kind, n, 1), True)]),
        }
        value = table[name](*args) if name in table else case_each(name, *args)
        print(name, *args, value)
        sys.stdout.flush()

    print("# Written by numerics_reference.py: operation, kind of input, sizes, BLAKE2b-256 of the result.")
    for ta in (0, 1):
        for tb in (0, 1):
            emit("gemm", "wide", ta, tb, 9, 50, 17, 0)
            emit("gemm", "nasty", ta, tb, 5, 19, 6, 1)
            emit("gemm", "plain", ta, tb, 3, 7, 531, ta)
    for n in (0, 1, 15, 16, 17, 100, 4096, 4097, 9000):
        emit("sum", "wide", n)
        emit("squares", "wide", n)
    emit("sum", "nasty", 3)
    emit("columns", "wide", 70, 67)
    emit("columns", "wide", 8200, 2)
    emit("bias", "wide", 5, 37)
    emit("bias", "nasty", 9, 20)
    for name in ("exp", "log", "tanh", "relu", "tanh_backward", "relu_backward", *EACH):
        for kind in ("plain", "wide", "nasty", "reals"):
            emit(name, kind, 501)
    for rows, classes in ((7, 10), (3, 65), (2, 2), (1, 5000)):
        emit("cross_entropy", "plain", rows, classes)
    emit("cross_entropy", "wide", 20, 17)
    emit("cross_entropy", "nasty", 40, 5)
    for kind in ("plain", "wide", "nasty"):
        emit("adamw", kind, 203)
        for mode in (0, 1, 2):
            emit("sgd", kind, 203, mode)
    emit("philox", 100)
    for samples, shard_samples in ((1, 1), (2, 1), (5, 100), (100, 3), (777, 20), (640, 20), (641, 20)):
        emit("order", samples, shard_samples)
    for rows, percent in ((2, 1), (777, 10), (1000, 0), (50, 99)):
        emit("split", rows, percent)
    emit("cos_pi", 1000)
    emit("power", 200)
    emit("dropout", "plain", 300, 0)
    emit("dropout", "nasty", 217, 101)
    for rows, cols in ((5, 10), (3, 64), (2, 65), (1, 4100)):
        for affine in (0, 1):
            emit("layer_norm", "plain", rows, cols, affine)
        emit("softmax", "plain", rows, cols, cols)
        emit("squared", "plain", rows, cols)
    emit("softmax", "plain", 20, 20, 1)
    emit("softmax", "plain", 7, 20, 17)
    for kind in ("wide", "nasty"):
        emit("layer_norm", kind, 40, 7, 1)
        emit("softmax", kind, 40, 7, 3)
        emit("squared", kind, 40, 7)
    for kind in ("plain", "wide", "nasty"):
        emit("binary", kind, 203)
    for kind, *sizes in (  # batch, channels, height, width, channels out, kernel, stride, padding
            ("wide", 2, 3, 7, 6, 4, 3, 1, 1), ("nasty", 2, 2, 6, 7, 3, 3, 2, 1), ("plain", 1, 5, 5, 5, 17, 2, 1, 0),
            ("plain", 3, 2, 9, 5, 3, 4, 3, 2), ("wide", 1, 1, 5, 5, 33, 3, 1, 4), ("wide", 2, 2, 7, 7, 3, 2, 3, 0)):
        emit("conv", kind, *sizes)
    for name in ("max_pool", "average_pool"):
        for kind, *sizes in (  # batch, channels, height, width, kernel, stride, padding
                ("wide", 2, 3, 8, 14, 2, 2, 0), ("nasty", 1, 2, 9, 31, 2, 2, 0), ("plain", 2, 2, 7, 20, 3, 1, 1),
                ("nasty", 1, 3, 9, 9, 3, 2, 2), ("plain", 1, 2, 6, 11, 2, 3, 0)):
            emit(name, kind, *sizes)


if __name__ == "__main__":
    main()
