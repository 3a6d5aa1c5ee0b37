#!/usr/bin/env python3
"""A second, slow implementation of tasks/math/NUMERICS.md, written from the specification.

Every operation is exact rational arithmetic followed by one rounding; neither numpy nor the C library
takes part. Running it writes the golden digests that tests/math/test_golden.c checks:

    python3 tests/math/numerics_reference.py > tests/math/numerics_golden.txt
"""

import hashlib
import math
import struct
import sys
from fractions import Fraction

INF, NAN = math.inf, math.nan


# ---- binary32: values are Python floats that binary32 can hold ----

def round32(exact, zero=0.0):
    """The nearest binary32, ties to even; `zero` is what an exact zero becomes."""
    if exact == 0:
        return zero
    sign, exact = (-1.0, -exact) if exact < 0 else (1.0, exact)
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if Fraction(2) ** exponent > exact:
        exponent -= 1
    quantum = max(exponent, -126) - 23
    scaled = exact / Fraction(2) ** quantum
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    if 2 * rest > scaled.denominator or (2 * rest == scaled.denominator and whole % 2 == 1):
        whole += 1
    if Fraction(whole) * Fraction(2) ** quantum >= Fraction(2) ** 128:
        return sign * INF
    return sign * math.ldexp(whole, quantum)


def finite(*values):
    return all(math.isfinite(v) for v in values)


def add(a, b):
    return round32(Fraction(a) + Fraction(b), a + b) if finite(a, b) else a + b


def sub(a, b):
    return add(a, -b)


def mul(a, b):
    return round32(Fraction(a) * Fraction(b), a * b) if finite(a, b) else a * b


def fma(a, b, c):
    """Products of two binary32 are exact in Python's binary64, so signs of zeros and infinities follow."""
    if not finite(a, b, c):
        return a * b + c
    return round32(Fraction(a) * Fraction(b) + Fraction(c), a * b + c)


def div(a, b):
    if math.isnan(a) or math.isnan(b):
        return NAN
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    if math.isinf(a) or b == 0:
        return NAN if math.isinf(b) or a == 0 else sign * INF
    if math.isinf(b) or a == 0:
        return sign * 0.0
    return round32(Fraction(a) / Fraction(b))


def sqrt(a):
    if math.isnan(a) or a < 0:
        return NAN
    if a == 0 or math.isinf(a):
        return a
    exact = Fraction(a) * 4 ** 200  # an integer: binary32 has no bit below 2^-149
    root = math.isqrt(exact.numerator)
    if root * root != exact.numerator:
        root = Fraction(2 * root + 1, 2)  # anything strictly between rounds the same way
    return round32(Fraction(root) / 2 ** 200)


def bits(a):
    return 0x7fc00000 if math.isnan(a) else struct.unpack("<I", struct.pack("<f", a))[0]


def from_bits(u):
    return struct.unpack("<f", struct.pack("<I", u & 0xffffffff))[0]


def constant(text):
    return float.fromhex(text)


# ---- products and reductions ----

def gemm(a, b, c):
    """c[i][j] continues over k; a is (M,K), b is (K,N)."""
    for i, row in enumerate(c):
        for j in range(len(row)):
            for k in range(len(b)):
                row[j] = fma(a[i][k], b[k][j], row[j])


def fold(lanes):
    for half in (8, 4, 2, 1):
        for i in range(half):
            lanes[i] = add(lanes[i], lanes[i + half])
    return lanes[0]


def block(x, squares):
    lanes = [0.0] * 16
    for i, v in enumerate(x):
        lanes[i % 16] = fma(v, v, lanes[i % 16]) if squares else add(lanes[i % 16], v)
    return fold(lanes)


def reduce(x, squares=False):
    while len(x) > 4096:
        x = [block(x[i:i + 4096], squares) for i in range(0, len(x), 4096)]
        squares = False
    return block(x, squares)


def column_sums(x, cols):
    out = [0.0] * cols
    for start in range(0, len(x), 4096):
        part = [0.0] * cols
        for row in x[start:start + 4096]:
            part = [add(p, v) for p, v in zip(part, row)]
        out = [add(o, p) for o, p in zip(out, part)]
    return out


# ---- elementary functions ----

LN2_HIGH, LN2_LOW = constant("0x1.62e43p-1"), constant("-0x1.05c61p-29")
EXP = [constant(c) for c in ("0x1.6d6bccp-10", "0x1.123ab8p-7", "0x1.5554cep-5", "0x1.55549p-3", "0x1p-1")]
LOG = [constant(c) for c in (
    "0x1.14733ep-4", "-0x1.de01dcp-4", "0x1.e6c00ap-4", "-0x1.fc28cap-4", "0x1.233ba2p-3",
    "-0x1.555c44p-3", "0x1.99a476p-3", "-0x1.000006p-2", "0x1.555548p-2")]
TANH = [constant(c) for c in (
    "0x1.1ace3ep-9", "-0x1.0c895ep-7", "0x1.63ad18p-6", "-0x1.b9f22p-5", "0x1.11107cp-3", "-0x1.555554p-2")]


def horner(coefficients, x):
    y = coefficients[0]
    for c in coefficients[1:]:
        y = fma(y, x, c)
    return y


def exp(x):
    if math.isnan(x):
        return NAN
    x = min(max(x, -104.0), 89.0)
    magic = constant("0x1.8p23")
    n = sub(fma(x, constant("0x1.715476p+0"), magic), magic)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    p = add(1.0, fma(mul(r, r), horner(EXP, r), r))
    half = int(n) // 2
    return mul(mul(p, 2.0 ** half), 2.0 ** (int(n) - half))


def log(x):
    if math.isnan(x) or x < 0:
        return NAN
    if x == 0 or math.isinf(x):
        return -INF if x == 0 else INF
    shift = 0
    if x < 2.0 ** -126:
        x, shift = mul(x, 2.0 ** 23), 23
    m, e = x, 0
    while m >= from_bits(0x3fb504f3):
        m, e = m / 2, e + 1
    while m < from_bits(0x3f3504f3):
        m, e = m * 2, e - 1
    e = float(e - shift)
    f = sub(m, 1.0)
    square = mul(f, f)
    y = mul(mul(square, f), horner(LOG, f))
    y = fma(-0.5, square, fma(e, LN2_LOW, y))
    return fma(e, LN2_HIGH, add(f, y))


def tanh(x):
    if math.isnan(x):
        return NAN
    a = abs(x)
    if a < 0.625:
        square = mul(a, a)
        y = fma(mul(a, square), horner(TANH, square), a)
    else:
        y = sub(1.0, div(2.0, add(exp(add(a, a)), 1.0)))
    return math.copysign(y, x)


# ---- layers and optimizers ----

def cross_entropy(rows, labels):
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
            gradient.append(div(p, float(len(rows))))
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


def sgd(lr, momentum, weight_decay, scale, g, v, w):
    decay = mul(lr, weight_decay)
    for i in range(len(w)):
        step = mul(g[i], scale)
        if momentum != 0:
            step = v[i] = fma(momentum, v[i], step)
        w[i] = fma(-lr, step, fma(-decay, w[i], w[i]))


# ---- random numbers and order ----

def philox(seed, stream, lane, counter):
    mask = 0xffffffff
    key = [seed & mask, seed >> 32]
    x = [counter & mask, counter >> 32, stream, lane]
    for _ in range(10):
        a, b = 0xd2511f53 * x[0], 0xcd9e8d57 * x[2]
        x = [b >> 32 ^ x[1] ^ key[0], b & mask, a >> 32 ^ x[3] ^ key[1], a & mask]
        key = [key[0] + 0x9e3779b9 & mask, key[1] + 0xbb67ae85 & mask]
    return x


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


# ---- inputs that the C test makes in the same way, and the cases ----

SPECIAL = [NAN, 0.0, -0.0, INF, -INF, 2.0 ** -149, -2.0 ** -127, 2.0 ** 127, -1.0, 1.0]


def inputs(kind, count, seed):
    """plain: uniform in [-2, 2); wide: times 2^-16 … 2^15; nasty: one in eight special; reals: all
    bit patterns."""
    out = []
    for i in range(count):
        word = philox(seed, 99, 0, i)
        x = (word[0] >> 8) / 2.0 ** 22 - 2.0
        if kind != "plain":
            x = math.ldexp(x, word[1] % 32 - 16)
        if kind == "nasty" and word[2] % 8 == 0:
            x = SPECIAL[word[3] % len(SPECIAL)]
        out.append(from_bits(word[3]) if kind == "reals" else x)
    return out


def matrix(x, rows, cols):
    return [x[r * cols:(r + 1) * cols] for r in range(rows)]


def transposed(x):
    return [list(row) for row in zip(*x)]


def digest(values):
    return hashlib.blake2b(b"".join(struct.pack("<I", bits(v)) for v in values), digest_size=32).hexdigest()


def digest64(values):
    return hashlib.blake2b(b"".join(struct.pack("<Q", v) for v in values), digest_size=32).hexdigest()


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
    losses, correct, gradient = cross_entropy(z, labels)
    return digest(losses + [float(c) for c in correct] + gradient)


def case_adamw(kind, n):
    s = {name: round32(Fraction(text)) for name, text in (
        ("lr", "0.004"), ("beta1", "0.9"), ("beta2", "0.99"), ("epsilon", "1e-8"), ("decay", "0.01"),
        ("bias1", "0.271"), ("bias2", "0.029701"), ("scale", "0.75"))}
    g, m, w = (inputs(kind, n, seed) for seed in (1, 2, 4))
    v = [mul(x, x) for x in inputs(kind, n, 3)]
    adamw(s, g, m, v, w)
    return digest(m + v + w)


def case_sgd(kind, n, momentum):
    lr, decay, scale, factor = (round32(Fraction(t)) for t in ("0.1", "0.01", "0.75", "0.9"))
    g, v, w = (inputs(kind, n, seed) for seed in (1, 2, 3))
    sgd(lr, factor if momentum else 0.0, decay, scale, g, v, w)
    return digest(v + w)


def case_order(samples, shard_samples):
    places = [p for epoch in (0, 1) for p in epoch_order(7, samples, shard_samples, epoch)]
    return digest64(v for place in places for v in place)


def case_each(name, kind, n):
    x, y = inputs(kind, n, 1), inputs(kind, n, 2)
    one = {
        "exp": lambda a, b: exp(a), "log": lambda a, b: log(a), "tanh": lambda a, b: tanh(a),
        "relu": lambda a, b: a if a > 0 else 0.0,
        "tanh_backward": lambda a, b: mul(b, fma(-a, a, 1.0)),
        "relu_backward": lambda a, b: b if a > 0 else 0.0,
    }[name]
    return digest(one(a, b) for a, b in zip(x, y))


def case_columns(kind, rows, cols):
    return digest(column_sums(matrix(inputs(kind, rows * cols, 1), rows, cols), cols))


def case_philox(n):
    out = [float(uniform(2 ** 63 + 5, 1, i, 2 ** 40 + i)) for i in range(n)]
    return digest(out + [normal(2 ** 63 + 5, 1, 2 ** 40 + i) for i in range(n)])


def case_cos_pi(n):
    return digest64(struct.unpack("<Q", struct.pack("<d", cos_pi(i / n)))[0] for i in range(n + 1))


def main():
    def emit(name, *args):
        table = {
            "gemm": case_gemm, "cross_entropy": case_cross_entropy, "adamw": case_adamw, "sgd": case_sgd,
            "order": case_order, "columns": case_columns, "philox": case_philox, "cos_pi": case_cos_pi,
            "sum": lambda kind, n: digest([reduce(inputs(kind, n, 1))]),
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
    for name in ("exp", "log", "tanh", "relu", "tanh_backward", "relu_backward"):
        for kind in ("plain", "wide", "nasty", "reals"):
            emit(name, kind, 501)
    for rows, classes in ((7, 10), (3, 65), (2, 2), (1, 5000)):
        emit("cross_entropy", "plain", rows, classes)
    emit("cross_entropy", "wide", 20, 17)
    emit("cross_entropy", "nasty", 40, 5)
    for kind in ("plain", "wide", "nasty"):
        emit("adamw", kind, 203)
        emit("sgd", kind, 203, 0)
        emit("sgd", kind, 203, 1)
    emit("philox", 100)
    for samples, shard_samples in ((1, 1), (2, 1), (5, 100), (100, 3), (777, 20), (640, 20), (641, 20)):
        emit("order", samples, shard_samples)
    emit("cos_pi", 1000)


if __name__ == "__main__":
    main()
