"""Convolutions and pools by tasks/math/NUMERICS.md, for numerics_reference.py."""

from numerics_arithmetic import *


class Window:
    """The shapes of images as flat lists, and the places of their windows."""

    def __init__(self, batch, channels, height, width, out, kernel, stride, padding):
        self.batch, self.channels, self.height, self.width = batch, channels, height, width
        self.out, self.kernel, self.stride, self.padding = out, kernel, stride, padding
        self.height_out = (height + 2 * padding - kernel) // stride + 1
        self.width_out = (width + 2 * padding - kernel) // stride + 1
        self.inputs = batch * channels * height * width
        self.outputs = batch * out * self.height_out * self.width_out
        self.weights = out * channels * kernel * kernel

    def places(self):
        return [(u, v) for u in range(self.kernel) for v in range(self.kernel)]

    def results(self):
        """(n, i, j), all three ascending."""
        return [(n, i, j) for n in range(self.batch)
                for i in range(self.height_out) for j in range(self.width_out)]

    def at(self, n, c, i, j, u, v):
        """The input's index where place (u, v) of window (i, j) lies; None beyond the border."""
        row, column = i * self.stride + u - self.padding, j * self.stride + v - self.padding
        if not (0 <= row < self.height and 0 <= column < self.width):
            return None
        return ((n * self.channels + c) * self.height + row) * self.width + column

    def result(self, n, o, i, j):
        if not (0 <= i < self.height_out and 0 <= j < self.width_out):
            return None
        return ((n * self.out + o) * self.height_out + i) * self.width_out + j

    def weight(self, o, c, u, v):
        return ((o * self.channels + c) * self.kernel + u) * self.kernel + v


def value(x, index):
    return 0.0 if index is None else x[index]


def conv(w, x, weight, bias):
    y = [None] * w.outputs
    for n, i, j in w.results():
        for o in range(w.out):
            s = bias[o]
            for c in range(w.channels):
                for u, v in w.places():
                    s = fma(weight[w.weight(o, c, u, v)], value(x, w.at(n, c, i, j, u, v)), s)
            y[w.result(n, o, i, j)] = s
    return y


def conv_input_gradient(w, dy, weight):
    dx = []
    for n in range(w.batch):
        for c in range(w.channels):
            for a in range(w.padding, w.padding + w.height):
                for b in range(w.padding, w.padding + w.width):
                    d = 0.0
                    for o in range(w.out):
                        for u, v in w.places():
                            if (a - u) % w.stride == 0 and (b - v) % w.stride == 0:
                                there = w.result(n, o, (a - u) // w.stride, (b - v) // w.stride)
                                d = fma(weight[w.weight(o, c, u, v)], value(dy, there), d)
                    dx.append(d)
    return dx


def conv_weight_gradient(w, x, dy):
    dweight, dbias = [0.0] * w.weights, [0.0] * w.out
    for n, i, j in w.results():
        for o in range(w.out):
            g = dy[w.result(n, o, i, j)]
            dbias[o] = add(dbias[o], g)
            for c in range(w.channels):
                for u, v in w.places():
                    k = w.weight(o, c, u, v)
                    dweight[k] = fma(g, value(x, w.at(n, c, i, j, u, v)), dweight[k])
    return dweight + dbias


def case_conv(kind, *sizes):
    w = Window(*sizes)
    x, weight = inputs(kind, w.inputs, 1), inputs(kind, w.weights, 2)
    bias, dy = inputs(kind, w.out, 3), inputs(kind, w.outputs, 4)
    return digest(conv(w, x, weight, bias) + conv_input_gradient(w, dy, weight) +
                  conv_weight_gradient(w, x, dy))


def pool_results(w):
    """For each result in the order of memory: (u, v, input's index) of the places that exist."""
    return [[(u, v, w.at(n, c, i, j, u, v)) for u, v in w.places()
             if w.at(n, c, i, j, u, v) is not None]
            for n in range(w.batch) for c in range(w.channels)
            for i in range(w.height_out) for j in range(w.width_out)]


def case_max_pool(kind, batch, channels, *sizes):
    w = Window(batch, channels, *sizes[:2], channels, *sizes[2:])
    x, dy = inputs(kind, w.inputs, 1), inputs(kind, w.outputs, 2)
    y, chosen, dx = [], [], [0.0] * w.inputs
    for places, g in zip(pool_results(w), dy):
        m, best = -INF, places[0]
        for place in places:
            if x[place[2]] > m:
                m, best = x[place[2]], place
        y.append(m)
        chosen.append(float(best[0] * w.kernel + best[1]))
        dx[best[2]] = add(dx[best[2]], g)
    return digest(y + chosen + dx)


def case_average_pool(kind, batch, channels, *sizes):
    w = Window(batch, channels, *sizes[:2], channels, *sizes[2:])
    x, dy = inputs(kind, w.inputs, 1), inputs(kind, w.outputs, 2)
    y, dx = [], [0.0] * w.inputs
    for places, g in zip(pool_results(w), dy):
        s = 0.0
        for _, _, index in places:
            s = add(s, x[index])
            dx[index] = add(dx[index], div(g, float(w.kernel * w.kernel)))
        y.append(div(s, float(w.kernel * w.kernel)))
    return digest(y + dx)


IMAGE_CASES = {"conv": case_conv, "max_pool": case_max_pool, "average_pool": case_average_pool}
