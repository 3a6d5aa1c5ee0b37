"""Activations, norms, softmax and losses by tasks/math/NUMERICS.md, for numerics_reference.py."""

from numerics_arithmetic import *

SCALED_ERFC = [constant(c) for c in (
    "0x1.b62c32p-5", "0x1.581df8p-5", "-0x1.21ef0ap-4", "-0x1.b5b576p-4", "0x1.f5a098p-5", "0x1.b5244cp-3",
    "-0x1.b274cp-4", "-0x1.01416ep-1", "0x1.00660cp+0", "-0x1.ec3774p-1", "0x1.38f704p-2")]
ERF = [constant(c) for c in (
    "-0x1.6190d2p-11", "0x1.4f22d4p-8", "-0x1.b7a82p-6", "0x1.ce2ad2p-4", "-0x1.81273ap-2", "0x1.06eba8p-3")]


def dot(a, b):
    """The sum of products, fused into lanes."""
    parts = []
    for start in range(0, len(a), 4096):
        lanes = [0.0] * 16
        for i, (p, q) in enumerate(zip(a[start:start + 4096], b[start:start + 4096])):
            lanes[i % 16] = fma(p, q, lanes[i % 16])
        parts.append(fold(lanes))
    return parts[0] if len(parts) == 1 else reduce(parts)


# ---- activations ----

def scaled_erfc(s):
    return horner(SCALED_ERFC, fma(s, div(1.0, add(1.0, s)), -constant("0x1.d6d4a4p-2")))


def erf(x):
    if math.isnan(x):
        return NAN
    a = min(abs(x), 4.0)
    square = mul(a, a)
    if a < 0.75:
        y = fma(a, horner(ERF, square), a)
    else:
        y = sub(1.0, mul(exp(-square), scaled_erfc(mul(constant("0x1.1p-1"), a))))
    return math.copysign(y, x)


def bell_and_share(x):
    u = abs(x) if abs(x) <= 15 else 15.0
    square = mul(u, u)
    bell = exp(-square / 2)
    bell = fma(bell, -fma(u, u, -square) / 2, bell)
    tail = mul(mul(0.5, bell), scaled_erfc(mul(constant("0x1.80aa84p-2"), u)))
    return math.copysign(u, x), bell, tail if x < 0 else sub(1.0, tail)


def gelu(x):
    return NAN if math.isnan(x) else mul(x, bell_and_share(x)[2])


def gelu_slope(x):
    if math.isnan(x):
        return NAN
    c, bell, share = bell_and_share(x)
    return fma(c, mul(bell, constant("0x1.988454p-2")), share)


def sigmoid(x):
    e = exp(-abs(x))
    return div(e if x < 0 else 1.0, add(1.0, e))


def silu_slope(x):
    s = sigmoid(x)
    return mul(s, fma(x, sub(1.0, s), 1.0))


EACH = {
    "erf": lambda a, b: erf(a), "sigmoid": lambda a, b: sigmoid(a), "gelu": lambda a, b: gelu(a),
    "silu": lambda a, b: mul(a, sigmoid(a)), "add": lambda a, b: add(b, a),
    "sigmoid_backward": lambda a, b: mul(b, fma(-a, a, a)),
    "gelu_backward": lambda a, b: mul(b, gelu_slope(a)),
    "silu_backward": lambda a, b: mul(b, silu_slope(a)),
}


def case_dropout(kind, n, offset):
    rate, first = round32(Fraction("0.3")), 2 ** 36 + offset
    factor = div(1.0, sub(1.0, rate))
    out = []
    for e, x in enumerate(inputs(kind, n, 1), first):
        word = philox(2 ** 63 + 5, 5, 9, e // 64 * 16 + e % 16)[e // 16 % 4]
        out.append(mul(x, factor) if (word >> 8) / 2 ** 24 >= rate else 0.0)
    return digest(out)


# ---- rows ----

def layer_norm(x, weight, bias):
    n = float(len(x))
    mean = div(reduce(x), n)
    d = [sub(v, mean) for v in x]
    rstd = div(1.0, sqrt(add(div(dot(d, d), n), round32(Fraction("1e-5")))))
    h = [mul(v, rstd) for v in d]
    return [fma(v, w, b) for v, w, b in zip(h, weight, bias)], mean, rstd, h


def layer_norm_backward(h, rstd, weight, dy):
    n = float(len(h))
    g = [mul(v, w) for v, w in zip(dy, weight)]
    a, b = div(reduce(g), n), div(dot(g, h), n)
    return [mul(rstd, fma(-hc, b, sub(gc, a))) for gc, hc in zip(g, h)]


def case_layer_norm(kind, rows, cols, affine):
    x, dy = (matrix(inputs(kind, rows * cols, seed), rows, cols) for seed in (1, 4))
    weight = inputs(kind, cols, 2) if affine else [1.0] * cols
    bias = inputs(kind, cols, 3) if affine else [0.0] * cols
    normed = [layer_norm(row, weight, bias) for row in x]
    out = [v for y, *_ in normed for v in y] + [row[1] for row in normed] + [row[2] for row in normed]
    for (_, _, rstd, h), d in zip(normed, dy):
        out += layer_norm_backward(h, rstd, weight, d)
    gradient = [0.0] * cols  # fewer than 4,096 rows: one block, added to +0
    for (*_, h), d in zip(normed, dy):
        gradient = [fma(dc, hc, g) for dc, hc, g in zip(d, h, gradient)]
    return digest(out + [add(0.0, g) for g in gradient] + column_sums(dy, cols))


def softmax(x, scale, n):
    z = [mul(v, scale) for v in x[:n]]
    top = -INF
    for v in z:
        top = v if v > top else top
    e = [exp(sub(v, top)) for v in z]
    inverse = div(1.0, reduce(e))
    return [mul(v, inverse) for v in e] + [0.0] * (len(x) - n)


def case_softmax(kind, rows, cols, visible):
    scale = round32(Fraction("0.3"))
    x, dy = (matrix(inputs(kind, rows * cols, seed), rows, cols) for seed in (1, 2))
    y = [softmax(row, scale, min(cols, visible + r)) for r, row in enumerate(x)]
    out = [v for row in y for v in row]
    for yr, dr in zip(y, dy):
        t = dot(yr, dr)
        out += [mul(mul(p, sub(d, t)), scale) for p, d in zip(yr, dr)]
    return digest(out)


# ---- losses ----

def binary_cross_entropy(z, label, count):
    """A row's loss, whether it is right, and its gradient; count is that of the whole batch."""
    against = -z if label else z
    loss = add(log(add(1.0, exp(-abs(z)))), against if against > 0 else 0.0)
    return loss, int(z > 0 if label else z <= 0), div(sub(sigmoid(z), float(label)), float(count))


def squared_error(y, target, count):
    """The rows' losses, and all gradients."""
    cols = float(len(y[0]))
    d = [[sub(a, b) for a, b in zip(*pair)] for pair in zip(y, target)]
    divisor = mul(round32(Fraction(count)), cols)
    return [div(dot(row, row), cols) for row in d], [div(mul(2.0, v), divisor) for row in d for v in row]


def case_binary(kind, rows):
    labels = [philox(2, 99, 0, r)[0] % 2 for r in range(rows)]
    judged = [binary_cross_entropy(z, label, rows) for z, label in zip(inputs(kind, rows, 1), labels)]
    losses, correct, gradient = zip(*judged)
    return digest(losses + tuple(float(c) for c in correct) + gradient)


def case_squared(kind, rows, cols):
    y, target = (matrix(inputs(kind, rows * cols, seed), rows, cols) for seed in (1, 2))
    losses, gradient = squared_error(y, target, rows)
    return digest(losses + gradient)


LAYER_CASES = {
    "dropout": case_dropout, "layer_norm": case_layer_norm, "softmax": case_softmax,
    "binary": case_binary, "squared": case_squared,
}
