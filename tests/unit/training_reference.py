#!/usr/bin/env python3
"""A second, slow implementation of whole trainings, written from tasks/math/NUMERICS.md.

Small projects, which together use every layer, loss and setting once, are trained with the arithmetic of
tests/math. Running it writes what tests/unit/test_training_reference.c must get from the same recipes:

    python3 tests/unit/training_reference.py > tests/unit/training_reference.txt

With names of projects it trains only those, and says on stderr how long they took.
"""

import os
import struct
import sys
import time
from fractions import Fraction

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "math"))
from numerics_arithmetic import bits, philox, round32  # noqa: E402
from training_bytes import recipe_bytes  # noqa: E402
from training_run import Training  # noqa: E402


def real(text):
    return round32(Fraction(text))


# ---- data, all drawn from Philox ----

def word(kind, sample, index):
    return philox(99, 1000, index, kind << 32 | sample)[0]


def unit_real(kind, sample, index):
    return (word(kind, sample, index) >> 8) / 2 ** 24


def dense(kind, features, label):
    """The class, or the number, depends on the first features."""
    def content(first, count):
        out = b""
        for s in range(first, first + count):
            x = [unit_real(kind, s, f) for f in range(features)]
            out += struct.pack(f"<{features}f", *x) + label(x, s)
        return out
    return content


def class_of(classes):
    return lambda x, s: struct.pack("<I", max(range(classes), key=lambda c: x[c]))


def number_of(outlier=None):
    """Sample 5 may lie far out."""
    return lambda x, s: struct.pack("<f", outlier if outlier and s == 5 else real(Fraction(x[0]) - Fraction(x[1])))


def pixels(features):
    def content(first, count):
        out = b""
        for s in range(first, first + count):
            label = word(5, s, 0) % 2
            out += bytes(word(6, s, f) % 128 + 100 * (f % 3 == label) for f in range(features))
            out += struct.pack("<I", label)
        return out
    return content


def text(classes, context):
    def content(first, count):
        tokens = [(i * 5 + i // 7 + (word(7, i, 0) % 5 == 0)) % classes for i in range(first, first + count + context)]
        return struct.pack(f"<{len(tokens)}H", *tokens)
    return content


def part(content, first, samples, shard_samples):
    shards = [content(first + at, min(shard_samples, samples - at)) for at in range(0, samples, shard_samples)]
    return {"samples": samples, "shard_samples": shard_samples, "shards": shards}


def dataset(kind, content, samples, shard_samples, **more):
    d = {"kind": kind, "features": 0, "context": 0, "classes": 0, "token": None, "label": "class",
         "target_mean": 0.0, "target_deviation": 0.0, "listed": []}
    d.update(more)
    d["classes"] = d["classes"] or len(d["listed"])
    d["train"] = part(content, 0, samples, shard_samples)
    d["validation"] = part(content, 1000, 7, 3)
    return d


def datasets():
    two, three = ["no", "yes"], ["x", "y", "z"]
    numbers = {"features": 4, "label": "number", "target_mean": real("-2.5"), "target_deviation": real("0.75")}
    characters = {"context": 4, "token": "character", "listed": [ord(c) for c in "abcdef"]}
    return {
        "rows": dataset("f32", dense(1, 5, class_of(3)), 21, 8, features=5, listed=three),
        "many shards": dataset("f32", dense(2, 5, class_of(3)), 37, 2, features=5, listed=three),
        "pairs": dataset("f32", dense(3, 3, class_of(2)), 19, 19, features=3, listed=two),
        "numbers": dataset("f32", dense(4, 4, number_of()), 23, 10, **numbers),
        "outlier": dataset("f32", dense(4, 4, number_of(2.0 ** 100)), 24, 10, **numbers),  # the loss is infinite
        "far": dataset("f32", dense(4, 4, number_of(2.0 ** 24)), 24, 10, **numbers),
        "images": dataset("u8", pixels(36), 17, 6, features=36, listed=two),
        "small images": dataset("u8", pixels(32), 17, 6, features=32, listed=two),
        "text": dataset("text", text(6, 4), 29, 12, **characters),
        "bytes": dataset("text", text(200, 3), 29, 12, context=3, token="byte", classes=256),
    }


# ---- models ----

def layer(kind, name="", **more):
    return {"type": kind, "name": name, "width": 0, "heads": 0, "kernel": 0, "stride": 0, "padding": 0,
            "tied": 0, "bias": False, "rate": 0.0, "init_scale": 0.0, **more}


def linear(name, width, **more):
    return layer("linear", name, **{"width": width, "bias": True, **more})


def window(kind, kernel, stride, padding=0, name="", **more):
    return layer(kind, name, kernel=kernel, stride=stride, padding=padding, **more)


def block(width, heads, bias, rate):
    """A transformer's block."""
    scale = {"bias": bias, "init_scale": real("0.3")}
    drop = [layer("dropout", rate=real(rate))] if rate else []
    return [layer("branch"), layer("layer_norm", "n1", bias=bias), linear("in", 3 * width, **scale),
            layer("attention", heads=heads), linear("out", width, **scale), *drop, layer("join"),
            layer("branch"), layer("layer_norm", "n2", bias=bias), linear("up", 4 * width, **scale),
            layer("gelu"), linear("down", width, **scale), *drop, layer("join")]


def gpt(width, tie, bias, rate):
    head = linear("head", 6, bias=False, tied=1 if tie else 0)
    return [layer("embedding", "tokens", width=width, init_scale=real("0.5")),
            layer("position", "places", init_scale=real("0.25")), *block(width, 2, bias, rate),
            layer("layer_norm", "last", bias=bias), head]


def models():
    return {
        "logistic": [linear("0", 3)],
        "mlp": [linear("0", 6), layer("relu"), linear("2", 3)],
        "residual": [linear("a", 4, init_scale=real("0.4")), layer("branch"), layer("layer_norm", "n", bias=True),
                     layer("branch"), linear("b", 4), layer("silu"), layer("join"), layer("dropout", rate=real("0.3")),
                     layer("gelu"), layer("join"), layer("dropout", rate=real("0.1")), linear("c", 3, bias=False)],
        "cnn": [window("conv2d", 3, 1, 1, "0", width=3, bias=True), layer("relu"), window("max_pool", 2, 2),
                layer("flatten"), linear("4", 2)],
        "images": [window("conv2d", 2, 1, 1, "first", width=4), layer("group_norm", "norm", heads=2, bias=True),
                   layer("silu"), window("average_pool", 3, 2, 1), window("conv2d", 2, 1, 0, "last", width=4, bias=True),
                   layer("group_norm", "plain", heads=4), layer("tanh"), window("max_pool", 2, 1, 1), layer("flatten"),
                   layer("sigmoid"), layer("dropout", rate=real("0.25")), linear("out", 2)],
        "binary": [linear("0", 5), layer("sigmoid"), layer("dropout", rate=real("0.2")), linear("3", 1)],
        "number": [linear("0", 5), layer("tanh"), linear("2", 1)],
        "char-mlp": [layer("embedding", "0", width=3), layer("flatten"), linear("2", 7), layer("tanh"), linear("4", 6)],
        "bytes": [layer("embedding", "0", width=4), layer("flatten"), linear("2", 12), layer("tanh"), linear("4", 256)],
        "tied": gpt(8, True, True, "0.1"),
        "untied": gpt(8, False, False, None),
        "tied twice": [layer("embedding", "0", width=4), layer("position", "1"), linear("2", 6, tied=1),
                       layer("tanh"), linear("4", 4), linear("5", 6, tied=1)],
    }


# ---- recipes ----

def local(**more):
    return {"mode": "local", "optimizer": "adamw", "inner_state": "fresh", "learning_rate": real("0.02"),
            "learning_rate_end": 0.0, "beta1": real("0.9"), "beta2": real("0.99"), "epsilon": real("1e-8"),
            "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "clip": 1.0, "schedule": "cosine",
            "warmup_steps": 1, "run_warmup_steps": 0, "batch_size": 4, "accumulate": 1, "inner_steps": 2,
            "units_per_round": 2, "rounds": 2, "trace_every": 1, "compression": "int8", "outer": "nesterov",
            "outer_learning_rate": 1.0, "outer_momentum": 0.5, "outer_beta1": 0.0, "outer_beta2": 0.0,
            "outer_epsilon": 0.0, "outer_weight_decay": 0.0, **more}


def local_sgd(**more):
    return local(optimizer="sgd", beta1=0.0, beta2=0.0, epsilon=0.0, learning_rate=real("0.1"), **more)


def gradient(**more):
    return local(mode="gradient", optimizer=None, inner_state=None, beta1=0.0, beta2=0.0, epsilon=0.0,
                 warmup_steps=0, **{"outer_momentum": 0.0, **more})


def outer_adamw():
    return {"outer": "adamw", "outer_beta1": real("0.9"), "outer_beta2": real("0.98"), "outer_epsilon": real("1e-6"),
            "outer_weight_decay": real("0.05")}


def projects():
    """Name, data, model, loss, image, training."""
    cross = "cross_entropy"
    plain = {"outer": "sgd", "outer_momentum": 0.0}
    yield "logistic", "many shards", "logistic", cross, None, local(inner_steps=3, batch_size=7, rounds=3)
    yield "mlp", "rows", "mlp", cross, None, local_sgd(
        momentum=real("0.9"), nesterov=True, weight_decay=real("0.01"), clip=0.0, schedule="constant",
        warmup_steps=3, inner_steps=3, trace_every=2, compression="none", **plain)
    yield "residual", "rows", "residual", cross, None, local(
        accumulate=2, schedule="linear", learning_rate_end=real("0.1"), run_warmup_steps=3, compression="fp16",
        clip=real("0.2"), weight_decay=real("0.1"))
    yield "cnn", "images", "cnn", cross, [1, 6, 6], local(
        inner_state="average", batch_size=2, learning_rate_end=real("0.2"), compression="bf16")
    yield "images", "small images", "images", cross, [2, 4, 4], local_sgd(
        momentum=real("0.8"), inner_state="average", batch_size=2, accumulate=2, clip=real("0.05"),
        compression="sparseloco", outer_learning_rate=real("0.7"), outer_momentum=real("0.9"))
    yield "binary", "pairs", "binary", "binary_cross_entropy", None, gradient(
        outer="nesterov", outer_momentum=real("0.6"), compression="sparseloco", schedule="constant", clip=real("0.05"),
        rounds=3, units_per_round=3)
    yield "numbers", "numbers", "number", "squared_error", None, local_sgd(compression="int8", inner_steps=3, **plain)
    yield "outlier", "outlier", "number", "squared_error", None, local(
        inner_state="average", compression="sparseloco", rounds=3, units_per_round=3, inner_steps=3, batch_size=2)
    yield "outlier-sgd", "outlier", "number", "squared_error", None, local_sgd(
        compression="sparseloco", rounds=4, units_per_round=3, inner_steps=3, batch_size=2)
    yield "too-large", "far", "number", "squared_error", None, local_sgd(
        compression="fp16", rounds=3, units_per_round=3, clip=0.0, schedule="constant")
    yield "given", "pairs", "binary", "binary_cross_entropy", None, local(rounds=1)
    yield "char-mlp", "text", "char-mlp", cross, None, local(compression="sparseloco", rounds=3)
    yield "bytes", "bytes", "bytes", cross, None, gradient(
        outer="sgd", learning_rate=real("0.5"), schedule="linear", learning_rate_end=real("0.25"), rounds=2, trace_every=2)
    yield "gpt", "text", "tied", cross, None, local(batch_size=2, accumulate=2, warmup_steps=2)
    yield "gpt-gradient", "text", "untied", cross, None, gradient(
        batch_size=2, accumulate=2, clip=real("0.5"), run_warmup_steps=2, compression="bf16", rounds=3, **outer_adamw())
    yield "tied-twice", "text", "tied twice", cross, None, local(accumulate=2, compression="none", clip=0.0, **plain)


def given(count):
    """Parameters that an owner brings along."""
    return struct.pack(f"<{count}f", *(unit_real(8, i, 0) - 0.5 for i in range(count)))


def recipe_of(name, data, layers, loss, image, train):
    return {"name": name, "seed": 2 ** 40 + 11, "model": "layers", "loss": loss, "image": image or [0, 0, 0],
            "layers": layers, "train": train, "data": data, "initial": given(26) if name == "given" else b""}


def show(name, recipe):
    print("project", name)
    print("recipe", recipe_bytes(recipe).hex())
    if recipe["initial"]:
        print("initial", recipe["initial"].hex())
    training = Training(recipe)
    for r in range(recipe["train"]["rounds"]):
        results, skipped, loss = training.round(r)
        judged = [f"{bits(v):08x}" for v in (loss, *training.evaluate())]
        print("round", results.hex(), skipped, *judged)
    print("model", training.model_digest().hex())
    sys.stdout.flush()


def main(wanted):
    data, layers = datasets(), models()
    print("# Written by training_reference.py. Shards of the data; then, for each project, its recipe, the parameters")
    print("# that it is given, and for each round: BLAKE2b-256 of the result digests in unit order, the units skipped, and as bits the training's")
    print("# loss, the validation's loss and its share of right answers; at last the model digest.")
    for d in data.values():
        for shard in d["train"]["shards"] + d["validation"]["shards"]:
            print("shard", shard.hex())
    for name, data_name, model, loss, image, train in projects():
        began = time.monotonic()
        if wanted and name not in wanted:
            continue
        show(name, recipe_of(name, data[data_name], [dict(l) for l in layers[model]], loss, image, train))
        if wanted:
            print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
