"""What the second implementation of tasks/math/NUMERICS.md rests on: binary32 in exact rational arithmetic,
products, reductions, elementary functions and random words. Neither numpy nor the C library takes part."""

import hashlib
import math
import struct
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


PAIR = struct.Struct("<ff")


def settled(close):
    """The binary32 of what lies within one step of a binary64; None where that would not tell. It spares
    nearly all of the rational arithmetic, and decides nothing that is close."""
    try:
        low, high = PAIR.unpack(PAIR.pack(math.nextafter(close, -INF), math.nextafter(close, INF)))
    except OverflowError:
        return None
    if low != high:
        return None
    return low if low != 0 else math.copysign(0.0, close)


def add(a, b):
    close = settled(a + b)
    if close is not None:
        return close
    return round32(Fraction(a) + Fraction(b), a + b) if finite(a, b) else a + b


def sub(a, b):
    return add(a, -b)


def mul(a, b):
    close = settled(a * b)
    if close is not None:
        return close
    return round32(Fraction(a) * Fraction(b), a * b) if finite(a, b) else a * b


def fma(a, b, c):
    """Products of two binary32 are exact in Python's binary64, so signs of zeros and infinities follow."""
    close = settled(a * b + c)
    if close is not None:
        return close
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
    close = settled(a / b)
    if close is not None:
        return close
    return round32(Fraction(a) / Fraction(b))


def sqrt(a):
    if math.isnan(a) or a < 0:
        return NAN
    if a == 0 or math.isinf(a):
        return a
    close = settled(math.sqrt(a))
    if close is not None:
        return close
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


# ---- random words ----

def philox(seed, stream, lane, counter):
    mask = 0xffffffff
    key = [seed & mask, seed >> 32]
    x = [counter & mask, counter >> 32, stream, lane]
    for _ in range(10):
        a, b = 0xd2511f53 * x[0], 0xcd9e8d57 * x[2]
        x = [b >> 32 ^ x[1] ^ key[0], b & mask, a >> 32 ^ x[3] ^ key[1], a & mask]
        key = [key[0] + 0x9e3779b9 & mask, key[1] + 0xbb67ae85 & mask]
    return x


# ---- inputs that the C test makes in the same way, and digests ----

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
