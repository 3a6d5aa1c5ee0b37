"""Models by tasks/math/NUMERICS.md ("Layers", "Initial parameters", the losses), for training_reference.py.

A batch is a list of rows, `positions` of them for each sample. A layer is a dictionary as the recipe has it,
with what the walk below found: its shapes and where its tensors lie in the block of parameters."""

import math

from numerics_arithmetic import (add, column_sums, div, fma, gemm, mul, philox, reduce, sqrt, sub, tanh,
                                 transposed)
from numerics_images import Window, conv, conv_input_gradient, conv_weight_gradient, pool_results
from numerics_layers import (EACH, binary_cross_entropy, dot, layer_norm, layer_norm_backward, softmax,
                             squared_error)
from numerics_reference import cross_entropy, normal, uniform

INIT, DROPOUT = 1, 5


# ---- shapes and places ----

def place(layers, positions, width, image, classes):
    """Completes the layers; returns the tensors as (first index, shape), in order."""
    tensors, open_branches, dropouts, end = [], [], 0, 0
    for index, l in enumerate(layers):
        kind = l["type"]
        l["positions"], l["in"], l["image"], shapes, l["inputs"] = positions, width, image, [None, None], None
        if kind == "embedding":
            width, shapes = l["width"], [(classes, l["width"]), None]
        elif kind == "position":
            shapes = [(positions, width), None]
        elif kind == "flatten":
            positions, width, image = 1, positions * width, None
        elif kind == "linear":
            shapes, l["inputs"] = [(l["width"], width), (l["width"],)], width
            width, image = l["width"], None
        elif kind in ("conv2d", "max_pool", "average_pool"):
            channels = l["width"] if kind == "conv2d" else image[0]
            l["window"] = Window(1, *image, channels, l["kernel"], l["stride"], l["padding"])
            shapes = [(channels, image[0], l["kernel"], l["kernel"]), (channels,)]
            l["inputs"] = image[0] * l["kernel"] ** 2
            image = (channels, l["window"].height_out, l["window"].width_out)
            width = math.prod(image)
            shapes = shapes if kind == "conv2d" else [None, None]
        elif kind == "layer_norm":
            shapes = [(width,), (width,)]
        elif kind == "group_norm":
            shapes = [(image[0],), (image[0],)]
        elif kind == "dropout":
            l["lane"], dropouts = dropouts, dropouts + 1
        elif kind == "attention":
            width //= 3
        elif kind == "branch":
            open_branches.append(l)
        elif kind == "join":
            l["branch"] = open_branches.pop()
        l["out"] = width
        l["weight"] = l["bias_at"] = None
        if l["tied"]:
            l["weight"], shapes[0] = layers[l["tied"] - 1]["weight"], None
        if not l["bias"]:
            shapes[1] = None
        for name, shape in zip(("weight", "bias_at"), shapes):
            if shape is not None:
                l[name] = (end, math.prod(shape))
                tensors.append((end, shape))
                end += math.prod(shape)
    return tensors


def initial(layers, seed):
    theta = []
    for l in layers:
        own = [] if l["weight"] is None or l["tied"] else [l["weight"]]
        both = own + ([l["bias_at"]] if l["bias_at"] else [])
        for place_ in both:
            is_bias = place_ is l["bias_at"]
            for i in range(place_[0], place_[0] + place_[1]):
                if l["type"] in ("layer_norm", "group_norm"):
                    theta.append(0.0 if is_bias else 1.0)
                elif l["init_scale"]:
                    theta.append(0.0 if is_bias else mul(normal(seed, INIT, i), l["init_scale"]))
                elif l["inputs"] is None:
                    theta.append(normal(seed, INIT, i))
                else:
                    bound = div(1.0, sqrt(float(l["inputs"])))
                    theta.append(mul(sub(mul(2.0, uniform(seed, INIT, 0, i)), 1.0), bound))
    return theta


# ---- small things ----

def matrix_of(theta, where, cols):
    flat = theta[where[0]:where[0] + where[1]]
    return [flat[r:r + cols] for r in range(0, len(flat), cols)]


def product(a, b, start=None):
    c = start or [[0.0] * len(b[0]) for _ in a]
    gemm(a, b, c)
    return c


def grouped(rows, size):
    return [rows[i:i + size] for i in range(0, len(rows), size)]


def flat(rows):
    return [v for row in rows for v in row]


FORWARD = {
    "relu": lambda x: x if x > 0 else 0.0, "tanh": tanh, "sigmoid": lambda x: EACH["sigmoid"](x, None),
    "gelu": lambda x: EACH["gelu"](x, None), "silu": lambda x: EACH["silu"](x, None),
}
BACKWARD = {  # of input, output and dy
    "relu": lambda x, y, d: d if y > 0 else 0.0, "tanh": lambda x, y, d: mul(d, fma(-y, y, 1.0)),
    "sigmoid": lambda x, y, d: EACH["sigmoid_backward"](y, d),
    "gelu": lambda x, y, d: EACH["gelu_backward"](x, d), "silu": lambda x, y, d: EACH["silu_backward"](x, d),
}


class Gradient:
    """The gradient of a step, while parts of its batch and layers that share a weight add to it."""

    def __init__(self, count):
        self.values, self.there = [0.0] * count, [False] * count

    def go_on(self, where):
        """What an accumulating product starts from."""
        return self.values[where[0]:where[0] + where[1]]

    def put(self, where, values):
        self.values[where[0]:where[0] + where[1]] = values
        self.there[where[0]:where[0] + where[1]] = [True] * where[1]

    def add(self, where, part):
        if where is None:
            return
        if self.there[where[0]]:
            part = [add(g, p) for g, p in zip(self.go_on(where), part)]
        self.put(where, part)


# ---- layers that are more than a line ----

def group_rows(l, row):
    """A sample's groups, each as one row."""
    return grouped(row, len(row) // l["heads"])


def spread(l, per_channel):
    """A number for each channel becomes one for each pixel, in rows of groups."""
    pixels = l["in"] // l["image"][0]
    return group_rows(l, [v for v in per_channel for _ in range(pixels)])


def norm_parameters(l, theta):
    n = l["weight"][1]
    weight = theta[l["weight"][0]:l["weight"][0] + n]
    bias = theta[l["bias_at"][0]:l["bias_at"][0] + n] if l["bias_at"] else [0.0] * n
    return weight, bias


def norm_forward(l, theta, x):
    weight, bias = norm_parameters(l, theta)
    if l["type"] == "layer_norm":
        l["kept"] = [[layer_norm(row, weight, bias)] for row in x]
    else:
        weights, biases = spread(l, weight), spread(l, bias)
        l["kept"] = [[layer_norm(*args) for args in zip(group_rows(l, row), weights, biases)] for row in x]
    return [flat(y for y, *_ in normed) for normed in l["kept"]]


def norm_backward(l, theta, dy, g):
    weight, _ = norm_parameters(l, theta)
    h = [flat(part[3] for part in normed) for normed in l["kept"]]
    if l["type"] == "layer_norm":
        weights = [weight]
        total = [0.0] * l["in"]  # fewer than 4,096 rows: one block, added to +0
        for d, row in zip(dy, h):
            total = [fma(a, b, t) for a, b, t in zip(d, row, total)]
        dw, db = [add(0.0, t) for t in total], column_sums(dy, l["in"])
    else:
        weights, pixels, channels = spread(l, weight), l["in"] // l["image"][0], l["image"][0]
        p = [[reduce([mul(a, b) for a, b in zip(*pair)]) for pair in zip(grouped(d, pixels), grouped(row, pixels))]
             for d, row in zip(dy, h)]
        q = [[reduce(channel) for channel in grouped(d, pixels)] for d in dy]
        dw, db = column_sums(p, channels), column_sums(q, channels)
    g.add(l["weight"], dw)
    g.add(l["bias_at"], db)
    size = l["in"] // len(weights)
    return [flat(layer_norm_backward(part[3], part[2], w, d)
                 for part, w, d in zip(normed, weights, grouped(row, size)))
            for normed, row in zip(l["kept"], dy)]


def cut_heads(l, rows):
    """Queries, keys and values of each head from a sample's rows, as matrices (positions, D)."""
    width, size = l["out"], l["out"] // l["heads"]
    return [[[row[part * width + j * size:part * width + (j + 1) * size] for row in rows] for part in range(3)]
            for j in range(l["heads"])]


def attention_forward(l, x):
    scale = div(1.0, sqrt(float(l["out"] // l["heads"])))
    out, l["kept"] = [], []
    for rows in grouped(x, l["positions"]):
        heads = []
        for q, k, v in cut_heads(l, rows):
            s = product(q, transposed(k))
            p = [softmax(row, scale, i + 1) for i, row in enumerate(s)]
            l["kept"].append((q, k, v, p))
            heads.append(product(p, v))
        out += [flat(parts) for parts in zip(*heads)]
    return out


def attention_backward(l, dy):
    size = l["out"] // l["heads"]
    scale = div(1.0, sqrt(float(size)))
    out, kept = [], iter(l["kept"])
    for rows in grouped(dy, l["positions"]):
        parts = []
        for j in range(l["heads"]):
            q, k, v, p = next(kept)
            d = [row[j * size:(j + 1) * size] for row in rows]
            dv, dp = product(transposed(p), d), product(d, transposed(v))
            ds = []
            for prow, drow in zip(p, dp):
                t = dot(prow, drow)
                ds.append([mul(mul(a, sub(b, t)), scale) for a, b in zip(prow, drow)])
            parts.append((product(ds, k), product(transposed(ds), q), dv))
        out += [flat(head[part][i] for part in range(3) for head in parts) for i in range(len(rows))]
    return out


def dropout(l, x, draw):
    """draw: (seed, training step, first row of the batch's part); None: no training."""
    if draw is None:
        return x
    seed, step, first = draw
    word = philox(seed, DROPOUT, 0xffffffff, step)
    key, width = word[1] << 32 | word[0], l["out"]
    factor = div(1.0, sub(1.0, l["rate"]))
    out = []
    for e, v in enumerate(flat(x), first * l["positions"] * width):
        u = (philox(key, DROPOUT, l["lane"], e // 64 * 16 + e % 16)[e // 16 % 4] >> 8) / 2 ** 24
        out.append(mul(v, factor) if u >= l["rate"] else 0.0)
    return grouped(out, width)


def images(l, x):
    """The window of a whole batch, and its numbers."""
    w = l["window"]
    return Window(len(x), w.channels, w.height, w.width, w.out, w.kernel, w.stride, w.padding), flat(x)


def pool_forward(l, x):
    w, values = images(l, x)
    y, l["kept"] = [], []
    for places in pool_results(w):
        if l["type"] == "average_pool":
            s = 0.0
            for *_, i in places:
                s = add(s, values[i])
            y.append(div(s, float(w.kernel ** 2)))
            l["kept"].append([i for *_, i in places])
        else:
            m, best = -math.inf, places[0][2]
            for *_, i in places:
                if values[i] > m:
                    m, best = values[i], i
            y.append(m)
            l["kept"].append([best])
    return grouped(y, l["out"])


def pool_backward(l, dy):
    dx = [0.0] * (len(dy) * l["in"])
    for d, places in zip(flat(dy), l["kept"]):
        share = div(d, float(l["kernel"] ** 2)) if l["type"] == "average_pool" else d
        for i in places:
            dx[i] = add(dx[i], share)
    return grouped(dx, l["in"])


def conv_forward(l, theta, x):
    w, values = images(l, x)
    bias = theta[l["bias_at"][0]:l["bias_at"][0] + w.out] if l["bias_at"] else [0.0] * w.out
    weight = theta[l["weight"][0]:l["weight"][0] + l["weight"][1]]
    return grouped(conv(w, values, weight, bias), l["out"])


def conv_backward(l, theta, x, dy, g):
    w, values = images(l, x)
    both = conv_weight_gradient(w, values, flat(dy))
    g.add(l["weight"], both[:l["weight"][1]])
    g.add(l["bias_at"], both[l["weight"][1]:])
    weight = theta[l["weight"][0]:l["weight"][0] + l["weight"][1]]
    return grouped(conv_input_gradient(w, flat(dy), weight), l["in"])


# ---- forward and back ----

def layer_forward(l, theta, x, draw):
    kind = l["type"]
    if kind == "embedding":
        table = matrix_of(theta, l["weight"], l["out"])
        return [table[token] for token in x]
    if kind == "position":
        table = matrix_of(theta, l["weight"], l["out"])
        return [[add(a, b) for a, b in zip(row, table[i % l["positions"]])] for i, row in enumerate(x)]
    if kind == "flatten":
        return [flat(rows) for rows in grouped(x, l["positions"])]
    if kind == "linear":
        y = product(x, transposed(matrix_of(theta, l["weight"], l["in"])))
        if l["bias_at"]:
            bias = theta[l["bias_at"][0]:l["bias_at"][0] + l["out"]]
            y = [[add(a, b) for a, b in zip(row, bias)] for row in y]
        return y
    if kind == "conv2d":
        return conv_forward(l, theta, x)
    if kind in ("max_pool", "average_pool"):
        return pool_forward(l, x)
    if kind in ("layer_norm", "group_norm"):
        return norm_forward(l, theta, x)
    if kind == "dropout":
        return dropout(l, x, draw)
    if kind == "attention":
        return attention_forward(l, x)
    if kind == "join":
        return [[add(a, b) for a, b in zip(*rows)] for rows in zip(x, l["branch"]["x"])]
    if kind == "branch":
        return x
    return [[FORWARD[kind](v) for v in row] for row in x]


def embedding_backward(l, x, dy, g):
    width = l["out"]
    rows = [[0.0] * width for _ in range(l["weight"][1] // width)]
    if g.there[l["weight"][0]]:
        rows = grouped(g.go_on(l["weight"]), width)
    for token, d in zip(x, dy):
        rows[token] = [add(a, b) for a, b in zip(rows[token], d)]
    g.put(l["weight"], flat(rows))


def linear_backward(l, theta, x, dy, g):
    start = None
    if g.there[l["weight"][0]]:
        start = grouped(g.go_on(l["weight"]), l["in"])
    g.put(l["weight"], flat(product(transposed(dy), x, start)))
    if l["bias_at"]:
        g.add(l["bias_at"], column_sums(dy, l["out"]))
    return product(dy, matrix_of(theta, l["weight"], l["in"]))


def layer_backward(l, theta, dy, g, draw):
    """dx; what belongs to parameters goes into g."""
    kind = l["type"]
    if kind == "embedding":
        return embedding_backward(l, l["x"], dy, g)
    if kind == "position":
        samples = [flat(rows) for rows in grouped(dy, l["positions"])]
        g.add(l["weight"], column_sums(samples, l["weight"][1]))
        return dy
    if kind == "flatten":
        return [row[i:i + l["in"]] for row in dy for i in range(0, len(row), l["in"])]
    if kind == "linear":
        return linear_backward(l, theta, l["x"], dy, g)
    if kind == "conv2d":
        return conv_backward(l, theta, l["x"], dy, g)
    if kind in ("max_pool", "average_pool"):
        return pool_backward(l, dy)
    if kind in ("layer_norm", "group_norm"):
        return norm_backward(l, theta, dy, g)
    if kind == "dropout":
        return dropout(l, dy, draw)
    if kind == "attention":
        return attention_backward(l, dy)
    if kind == "join":
        l["branch"]["saved"] = dy
        return dy
    if kind == "branch":
        return [[add(a, b) for a, b in zip(*rows)] for rows in zip(dy, l["saved"])]
    return [[BACKWARD[kind](*v) for v in zip(*rows)] for rows in zip(l["x"], l["y"], dy)]


def run(layers, theta, x, draw):
    for l in layers:
        l["x"] = x
        x = l["y"] = layer_forward(l, theta, x, draw)
    return x


def judge(loss, outputs, labels, count):
    """The rows' losses, which of them are right (None: no such thing), and the gradient of the outputs."""
    if loss == "cross_entropy":
        return cross_entropy(outputs, labels, count)
    if loss == "binary_cross_entropy":
        judged = [binary_cross_entropy(row[0], label, count) for row, label in zip(outputs, labels)]
        losses, correct, gradient = zip(*judged)
        return list(losses), list(correct), list(gradient)
    losses, gradient = squared_error(outputs, [[label] for label in labels], count)
    return losses, None, gradient


def gradient_part(layers, loss, theta, batch, labels, count, g, draw):
    """Adds a part of a batch to g; the sum of its losses."""
    losses, _, gradient = judge(loss, run(layers, theta, batch, draw), labels, count)
    dy = grouped(gradient, layers[-1]["out"])
    lowest = min(i for i, l in enumerate(layers) if l["weight"])
    for l in reversed(layers[lowest:]):
        dy = layer_backward(l, theta, dy, g, draw)
    return reduce(losses)
