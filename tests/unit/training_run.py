"""Units, their merge and the evaluation by tasks/math/NUMERICS.md, for training_reference.py."""

import math
import struct
from fractions import Fraction

from compress_reference import BF16, FP16, narrow_bits, pack_int8, pack_narrow, pack_none, pack_sparse
from numerics_arithmetic import add, div, finite, from_bits, mul, reduce, round32, sqrt, sub
from numerics_reference import adamw, cos_pi, epoch_order, sgd
from training_bytes import (ZERO_DIGEST, blob_digest, fields_digest, floats, h, merkle_root, pack,
                            recipe_bytes)
from training_model import Gradient, gradient_part, initial, judge, place, run

NARROW = {"fp16": FP16, "bf16": BF16}


def narrow(x):
    """A binary64, rounded to binary32."""
    return round32(Fraction(x), x)


# ---- samples ----

def sample(data, part, shard, index):
    """Its features or tokens, and the word or words behind them."""
    content = part["shards"][shard]
    if data["kind"] == "text":
        tokens = struct.unpack_from(f"<{data['context'] + 1}H", content, 2 * index)
        return list(tokens[:-1]), list(tokens[1:])
    width = 4 if data["kind"] == "f32" else 1
    at = index * (data["features"] * width + 4)
    if width == 4:
        x = list(struct.unpack_from(f"<{data['features']}f", content, at))
    else:
        x = [div(float(v), 255.0) for v in content[at:at + data["features"]]]
    return x, [struct.unpack_from("<I", content, at + data["features"] * width)[0]]


class Reader:
    """Samples of a part as batches: by position of the endless order, or as they lie."""

    def __init__(self, recipe, part, labels):
        self.data, self.part, self.labels, self.seed, self.epochs = recipe["data"], part, labels, recipe["seed"], {}

    def place(self, position):
        epoch, offset = divmod(position, self.part["samples"])
        if epoch not in self.epochs:
            self.epochs[epoch] = epoch_order(self.seed, self.part["samples"], self.part["shard_samples"], epoch)
        return self.epochs[epoch][offset]

    def batch(self, places):
        """Rows of numbers, or tokens, of all positions; and the labels."""
        rows, labels = [], []
        for shard, index in places:
            x, after = sample(self.data, self.part, shard, index)
            rows += x if self.data["kind"] == "text" else [x]
            after = after if self.labels > 1 else after[-1:]
            labels += [from_bits(u) for u in after] if self.data["label"] == "number" else after
        return rows, labels


# ---- the numbers of a step ----

def power(x, n):
    y = 1.0
    while n > 0:
        if n % 2:
            y = y * x
        x, n = x * x, n // 2
    return y


def bias_correction(beta, t):
    return narrow(1.0 - power(beta, t))


def scheduled(t, rate, s, whole):
    end, part = t["learning_rate_end"], s / whole
    if s < t["run_warmup_steps"]:
        rate = rate * float(s + 1) / float(t["run_warmup_steps"])
    if t["schedule"] == "cosine":
        rate = rate * (end + (1.0 - end) * (0.5 * (1.0 + cos_pi(part))))
    if t["schedule"] == "linear":
        rate = rate * (end + (1.0 - end) * (1.0 - part))
    return narrow(rate)


def inner_rate(t, r, step):
    rate = t["learning_rate"]
    if step < t["warmup_steps"]:
        rate = rate * float(step + 1) / float(t["warmup_steps"])
    return scheduled(t, rate, r * t["inner_steps"] + step, t["rounds"] * t["inner_steps"])


def clip_factor(t, g):
    if t["clip"] == 0:
        return 1.0
    norm = sqrt(reduce(g, True))
    return div(t["clip"], norm) if norm > t["clip"] else 1.0


def adamw_step(rate, beta1, beta2, epsilon, decay, scale, steps, g, m, v, w):
    adamw({"lr": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "decay": decay, "scale": scale,
           "bias1": bias_correction(beta1, steps), "bias2": bias_correction(beta2, steps)}, g, m, v, w)


# ---- units ----

class Project:
    def __init__(self, recipe):
        self.recipe, self.train = recipe, recipe["train"]
        self.digest = blob_digest(recipe_bytes(recipe))
        data = recipe["data"]
        positions = data["context"] if data["kind"] == "text" else 1
        self.layers = recipe["layers"]
        self.tensors = place(self.layers, positions, data["features"], tuple(recipe["image"]), data["classes"])
        last = self.layers[-1]
        self.labels = last["positions"]
        self.count = sum(math.prod(shape) for _, shape in self.tensors)
        self.planes = [(shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0])
                       for _, shape in self.tensors]
        self.reader = Reader(recipe, data["train"], self.labels)

    def moment_arrays(self):
        t = self.train
        if t["mode"] == "gradient":
            return 0
        return 2 if t["optimizer"] == "adamw" else int(t["momentum"] != 0)

    def carried(self):
        """Arrays of moments in a state."""
        return self.moment_arrays() if self.train["inner_state"] == "average" else 0

    def header(self, r, u, theta, state):
        state = blob_digest(floats(state)) if state else ZERO_DIGEST
        encoded = pack([2, 1, 1, self.digest, r, u, blob_digest(floats(theta)), state])
        return fields_digest("talkoot unit", encoded)

    def too_large(self, delta, feedback):
        """True also for what is not finite."""
        form = self.train["compression"]
        if form == "sparseloco":
            delta = [add(mul(narrow(0.95), e), d) for e, d in zip(feedback, delta)]
        if not finite(*delta):
            return True
        if form in NARROW:
            return any(narrow_bits(d, *NARROW[form]) is None for d in delta)
        limit = {"none": math.inf, "int8": 2.0 ** 128 - 2.0 ** 104, "sparseloco": 2.0 ** 120}[form]
        return any(abs(d) >= limit for d in delta)

    def pack(self, delta, feedback):
        """The packed update and what it says; changes the feedback. None: it is refused."""
        form = self.train["compression"]
        if self.too_large(delta, feedback):
            return None
        if form == "sparseloco":
            return pack_sparse(delta, feedback, self.planes)
        if form in NARROW:
            return pack_narrow(delta, NARROW[form])
        return (pack_int8 if form == "int8" else pack_none)(delta)


class Unit:
    """Unit u of round r, on its way from θ to its result."""

    def __init__(self, project, r, u, theta, state):
        self.p, self.t, self.r, self.u = project, project.train, r, u
        self.start, self.theta, n = theta, list(theta), project.count
        self.moments = [[0.0] * n for _ in range(project.moment_arrays())]
        self.feedback = [0.0] * n
        if state:
            for i in range(project.carried()):
                self.moments[i] = state[i * n:(i + 1) * n]
            if self.t["compression"] == "sparseloco":
                self.feedback = state[-n:]
        self.header = project.header(r, u, theta, state)
        self.leaves, self.losses, self.gradient = [self.header], [], None
        self.update = self.claim = None

    def step_gradient(self, step):
        t, p = self.t, self.p
        local = t["mode"] == "local"
        unit = self.r * t["units_per_round"] + self.u
        first = (unit * t["inner_steps"] + step) * t["batch_size"]
        labels = t["batch_size"] * p.labels
        count = labels if local else labels * t["inner_steps"]
        rows, total = t["batch_size"] // t["accumulate"], 0.0
        if local or step == 0:
            self.gradient = Gradient(p.count)
        for part in range(t["accumulate"]):
            places = [p.reader.place(first + part * rows + i) for i in range(rows)]
            batch, wanted = p.reader.batch(places)
            draw = (p.recipe["seed"], unit * t["inner_steps"] + step, part * rows)
            total = add(total, gradient_part(
                p.layers, p.recipe["loss"], self.theta, batch, wanted, count, self.gradient, draw))
        self.losses.append(div(total, float(labels)))

    def optimize(self, step):
        t, g = self.t, self.gradient.values
        rate, scale = inner_rate(t, self.r, step), clip_factor(t, g)
        before = self.r * t["inner_steps"] if t["inner_state"] == "average" else 0
        if t["optimizer"] == "adamw":
            adamw_step(rate, t["beta1"], t["beta2"], t["epsilon"], t["weight_decay"], scale, before + step + 1,
                       g, *self.moments, self.theta)
        else:
            v = self.moments[0] if self.moments else None
            sgd(rate, t["momentum"], t["nesterov"], t["weight_decay"], scale, g, v, self.theta)

    def leave_trace(self, steps):
        if steps < self.t["inner_steps"] and steps % self.t["trace_every"] == 0:
            arrays = [self.theta] + self.moments
            if self.t["mode"] == "gradient":
                arrays.append(self.gradient.values)
            state = b"".join(map(floats, arrays)) + floats(self.losses)
            self.leaves.append(fields_digest("talkoot state", struct.pack("<I", steps), blob_digest(state)))

    def run(self):
        """The result digest. Then update, moments and feedback are what the merge wants; update is None
        where the outcome is non-finite."""
        failing, loss, payload = None, 0.0, b""
        for step in range(self.t["inner_steps"]):
            self.step_gradient(step)
            if not finite(self.losses[-1]):
                failing = step
                break
            if self.t["mode"] == "local":
                self.optimize(step)
            self.leave_trace(step + 1)
        if failing is None:
            loss = div(reduce(self.losses), float(len(self.losses)))
            payload = self.conclude() if finite(loss, *self.theta) else None
            failing = self.t["inner_steps"] if payload is None else None
        if failing is not None:
            self.update, loss, payload, digest = None, 0.0, b"", ZERO_DIGEST
            self.leaves.append(fields_digest("talkoot failure", struct.pack("<I", failing)))
        else:
            digest = blob_digest(payload)
            self.leaves.append(digest)
        self.loss = loss
        claim = [1, self.header, 1 if failing is None else 2, failing or 0, loss, len(payload), digest,
                 merkle_root(self.leaves)]
        return fields_digest("talkoot result", pack(claim))

    def conclude(self):
        """The payload, or None."""
        delta = self.gradient.values
        if self.t["mode"] == "local":
            delta = [sub(a, b) for a, b in zip(self.start, self.theta)]
        packed = self.p.pack(delta, self.feedback)
        carried = [v for array in self.moments[:self.p.carried()] for v in array]
        if self.t["compression"] == "sparseloco":
            carried += self.feedback
        if packed is None or not finite(*carried):
            return None
        self.update = packed[1]
        return packed[0] + floats(carried)


# ---- rounds ----

class Training:
    def __init__(self, recipe):
        self.p = Project(recipe)
        given = recipe["initial"]
        self.theta = list(struct.unpack(f"<{len(given) // 4}f", given)) or initial(self.p.layers, recipe["seed"])
        self.outer = [[0.0] * self.p.count for _ in range(2)]
        self.states = [[] for _ in range(recipe["train"]["units_per_round"])]

    def round(self, r):
        """The digest of the result digests in unit order, the units that were skipped, and the round's loss."""
        t = self.p.train
        units = [Unit(self.p, r, u, self.theta, state) for u, state in enumerate(self.states)]
        results = b"".join(u.run() for u in units)
        merged = [u for u in units if u.update is not None]
        n = float(len(merged))
        mean = self.mean([u.update for u in merged], n)
        moments = [v for i in range(self.p.carried()) for v in self.mean([u.moments[i] for u in merged], n)]
        for i, u in enumerate(units):
            feedback = []
            if t["compression"] == "sparseloco":
                old = self.states[i][-self.p.count:]
                feedback = u.feedback if u.update is not None else old or [0.0] * self.p.count
            begun = moments or self.states[i] or u.update is not None
            self.states[i] = moments + feedback if begun else []
        self.step(r, mean)
        loss = 0.0
        for u in merged:
            loss = loss + u.loss
        return h(results), len(units) - len(merged), narrow(loss / n)

    def mean(self, arrays, n):
        total = [0.0] * self.p.count
        for values in arrays:
            total = [add(s, v) for s, v in zip(total, values)]
        return [div(s, n) for s in total]

    def step(self, r, mean):
        """The outer optimizer."""
        t, w = self.p.train, self.theta
        local = t["mode"] == "local"
        rate = t["outer_learning_rate"] if local else scheduled(t, t["learning_rate"], r, t["rounds"])
        scale = 1.0 if local else clip_factor(t, mean)
        if t["outer"] == "adamw":
            adamw_step(rate, t["outer_beta1"], t["outer_beta2"], t["outer_epsilon"], t["outer_weight_decay"],
                       scale, r + 1, mean, *self.outer, w)
            return
        mu, m = t["outer_momentum"], self.outer[0]
        for i, g in enumerate(mean):
            g = mul(g, scale)
            if t["outer"] == "nesterov":
                m[i] = add(mul(mu, m[i]), g)
                g = add(g, mul(mu, m[i]))
            w[i] = sub(w[i], mul(rate, g))

    def evaluate(self):
        """Loss and share of right answers on the validation part; NaN where there are none."""
        recipe, p = self.p.recipe, self.p
        part = recipe["data"]["validation"]
        reader = Reader(recipe, part, p.labels)
        if p.labels > 1:
            starts = range(0, part["samples"], p.labels)[:2 ** 18 // p.labels]
            places = [divmod(s, part["shard_samples"]) for s in starts]
        else:
            places = [reader.place(i) for i in range(min(part["samples"], 16384))]
        batch, wanted = reader.batch(places)
        losses, correct, _ = judge(recipe["loss"], run(p.layers, self.theta, batch, None), wanted, len(wanted))
        total = 0.0
        for loss in losses:
            total = total + loss
        share = narrow(sum(correct) / len(losses)) if correct else math.nan
        return narrow(total / len(losses)), share

    def model_digest(self):
        return h(floats(self.theta))
