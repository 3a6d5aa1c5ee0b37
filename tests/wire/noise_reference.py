#!/usr/bin/env python3
"""A second implementation of Talkoot's wire, for golden vectors only.

Plain Python: X25519 by the ladder of RFC 7748, Ed25519 by RFC 8032, ChaCha20-Poly1305 by RFC 8439,
hashlib's BLAKE2b, Noise XX and XXpsk3 by revision 34, and the session on top as PROTOCOL.md has it. It shares no
line with the C code and is neither fast nor safe against timing. Run it in this folder to write
noise_golden.h again:

    python3 noise_reference.py > noise_golden.h
"""
import hashlib
import hmac
import struct
import sys

P = 2**255 - 19

# X25519 (RFC 7748, section 5)


def x25519(secret, point):
    k = bytearray(secret)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") % 2**255
    x2, z2, x3, z3, swapped = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a, c * b
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        e = (a * a - b * b) % P
        x2, z2 = a * a * b * b % P, e * (a * a + 121665 * e) % P
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def x25519_public(secret):
    return x25519(secret, (9).to_bytes(32, "little"))


# Ed25519 (RFC 8032, section 5.1)

D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
BASE_Y = 4 * pow(5, P - 2, P) % P


def ed_base():
    xx = (BASE_Y * BASE_Y - 1) * pow(D * BASE_Y * BASE_Y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x if x % 2 == 0 else P - x, BASE_Y)


def ed_add(a, b):
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, P - 2, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, P - 2, P)
    return (x % P, y % P)


def ed_multiply(k, point):
    sum_ = (0, 1)
    while k:
        if k & 1:
            sum_ = ed_add(sum_, point)
        point = ed_add(point, point)
        k >>= 1
    return sum_


def ed_encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def ed_secret(seed):
    h = bytearray(hashlib.sha512(seed).digest())
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    return int.from_bytes(h[:32], "little"), bytes(h[32:])


def ed_public(seed):
    return ed_encode(ed_multiply(ed_secret(seed)[0], ed_base()))


def ed_sign(seed, text):
    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER

    a, prefix = ed_secret(seed)
    r = number(prefix, text)
    point = ed_encode(ed_multiply(r, ed_base()))
    s = (r + number(point, ed_public(seed), text) * a) % ORDER
    return point + s.to_bytes(32, "little")


# ChaCha20-Poly1305 (RFC 8439)


def rotate(v, n):
    return (v << n | v >> 32 - n) & 0xFFFFFFFF


def chacha_block(key, counter, nonce):
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    s = list(start)
    rounds = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
              (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for _ in range(10):
        for a, b, c, d in rounds:
            for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = s[x] + s[y] & 0xFFFFFFFF
                s[z] = rotate(s[z] ^ s[x], n)
    return struct.pack("<16I", *[a + b & 0xFFFFFFFF for a, b in zip(s, start)])


def poly1305(key, text):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(text), 16):
        total = (total + int.from_bytes(text[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def seal(key, nonce, ad, text):
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range(len(text) // 64 + 1))
    sealed = bytes(a ^ b for a, b in zip(text, stream))
    padded = b"".join(s + bytes(-len(s) % 16) for s in (ad, sealed))
    padded += struct.pack("<QQ", len(ad), len(sealed))
    return sealed + poly1305(chacha_block(key, 0, nonce)[:32], padded)


# Noise


def noise_nonce(n):
    return bytes(4) + struct.pack("<Q", n)


def mac(key, text):
    return hmac.new(key, text, hashlib.blake2b).digest()


def hkdf(ck, text):
    temp = mac(ck, text)
    one = mac(temp, b"\1")
    return one, mac(temp, one + b"\2")


def hkdf3(ck, text):
    temp = mac(ck, text)
    one = mac(temp, b"\1")
    two = mac(temp, one + b"\2")
    return one, two, mac(temp, two + b"\3")


class Cipher:
    def __init__(self, key):
        self.key, self.n = key[:32], 0

    def encrypt(self, ad, text):
        self.n += 1
        return seal(self.key, noise_nonce(self.n - 1), ad, text)

    def rekey(self):
        self.key = seal(self.key, noise_nonce(2**64 - 1), b"", bytes(32))[:32]


class Handshake:
    """Both sides of XX, or XXpsk3, at once: what one writes the other is taken to have read."""

    def __init__(self, prologue, statics, ephemerals, psk=None):
        modifier = b"psk3" if psk else b""
        self.h = (b"Noise_XX" + modifier + b"_25519_ChaChaPoly_BLAKE2b").ljust(64, b"\0")
        self.ck, self.cipher = self.h, None
        self.s, self.e, self.psk = statics, ephemerals, psk
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = hashlib.blake2b(self.h + data).digest()

    def mix_dh(self, mine, theirs):
        self.ck, key = hkdf(self.ck, x25519(mine, x25519_public(theirs)))
        self.cipher = Cipher(key)

    def put_e(self, secret):
        e = x25519_public(secret)
        self.mix_hash(e)
        if self.psk:
            self.ck, key = hkdf(self.ck, e)
            self.cipher = Cipher(key)
        return e

    def mix_psk(self):
        self.ck, temp_h, key = hkdf3(self.ck, self.psk)
        self.mix_hash(temp_h)
        self.cipher = Cipher(key)

    def put(self, data):
        if self.cipher:
            data = self.cipher.encrypt(self.h, data)
        self.mix_hash(data)
        return data

    def message_1(self, payload):
        out = self.put_e(self.e[0])
        return out + self.put(payload)

    def message_2(self, payload):
        out = self.put_e(self.e[1])
        self.mix_dh(self.e[0], self.e[1])
        out += self.put(x25519_public(self.s[1]))
        self.mix_dh(self.e[0], self.s[1])
        return out + self.put(payload)

    def message_3(self, payload):
        out = self.put(x25519_public(self.s[0]))
        self.mix_dh(self.s[0], self.e[1])
        if self.psk:
            self.mix_psk()
        return out + self.put(payload)

    def split(self):
        return [Cipher(key) for key in hkdf(self.ck, b"")]


# The session


def digest_fields(label, fields):
    text = bytes([len(label)]) + label
    text += b"".join(struct.pack("<Q", len(f)) + f for f in fields)
    return hashlib.blake2b(text, digest_size=32).digest()


def pack_number(v):
    if v < 0x80:
        return bytes([v])
    for tag, form, limit in ((0xCC, ">B", 2**8), (0xCD, ">H", 2**16), (0xCE, ">I", 2**32)):
        if v < limit:
            return bytes([tag]) + struct.pack(form, v)
    return b"\xcf" + struct.pack(">Q", v)


def pack_bin(data):
    return b"\xc4" + bytes([len(data)]) + data


def certificate(root_seed, key, now_s, label=b"talkoot serving key"):
    """A serving key's, or a host's, two more fields: the root's word for it."""
    expiry = now_s + 90 * 24 * 3600
    fields = [ed_public(root_seed), key, struct.pack("<Q", expiry)]
    signature = ed_sign(root_seed, digest_fields(label, fields))
    return pack_number(expiry) + pack_bin(signature)


def identity(seed, x_secret, role, network, now_s, more=b""):
    expiry = now_s + 30 * 24 * 3600
    fields = [network, x25519_public(x_secret), bytes([role]), struct.pack("<Q", expiry)]
    signature = ed_sign(seed, digest_fields(b"talkoot identity", fields))
    return (bytes([0x98 if more else 0x96]) + pack_number(1) + pack_number(15) + pack_number(role)
            + pack_bin(ed_public(seed)) + pack_number(expiry) + pack_bin(signature) + more)


def framed(data):
    return struct.pack("<H", len(data)) + data


def ping_frame(cipher, token):
    return framed(cipher.encrypt(b"", b"\0" + b"\x92\x01" + pack_number(token)))


# Output


def emit(name, data):
    digits = data.hex()
    head = f"static const char golden_{name}[] ="
    if len(head) + len(digits) + 4 <= 100:
        print(f'{head} "{digits}";')
        return
    print(head)
    lines = [digits[i:i + 80] for i in range(0, len(digits), 80)]
    print("\n".join(f'\t"{line}"' for line in lines) + ";")


def check_primitives():
    a = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    u = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(a, u).hex().startswith("c3da55379de9c6908e94ea4df28d084f")
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert ed_public(seed).hex().startswith("d75a980182b10ab7d54bfed3c964073a")
    assert ed_sign(seed, b"").hex().startswith("e5564300c360ac729086e2cc806e828a")
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
            b"the future, sunscreen would be it.")
    sealed = seal(bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647"),
                  bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), text)
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def noise_vectors(prefix, psk=None):
    secrets = [bytes([i] * 32) for i in (0x11, 0x22, 0x33, 0x44)]
    hs = Handshake(b"prologue", secrets[:2], secrets[2:], psk)
    emit(prefix + "noise_1", hs.message_1(b"first payload"))
    emit(prefix + "noise_2", hs.message_2(b""))
    emit(prefix + "noise_3", hs.message_3(b"third payload"))
    emit(prefix + "noise_hash", hs.h)
    ciphers = hs.split()
    for i, cipher in enumerate(ciphers):
        side = ("initiator", "responder")[i]
        emit(f"{prefix}{side}_0", cipher.encrypt(b"", b"zero"))
        emit(f"{prefix}{side}_1", cipher.encrypt(b"associated", b""))
        cipher.rekey()
        emit(f"{prefix}{side}_2", cipher.encrypt(b"", bytes(range(200))))


def session_vectors():
    seeds = [bytes([i] * 32) for i in (1, 2)]  # the peer dials, the coordinator answers
    statics = [bytes([i] * 32) for i in (3, 4)]
    ephemerals = [bytes([i] * 32) for i in (5, 6)]
    now_s = 1700000000
    network = ed_public(seeds[1])
    preamble = b"talkoot\0" + b"\1" + digest_fields(b"talkoot network", [network])[:8]
    hs = Handshake(preamble * 2, statics, ephemerals)
    one = framed(hs.message_1(b""))
    two = framed(hs.message_2(identity(seeds[1], statics[1], 2, network, now_s)))
    three = framed(hs.message_3(identity(seeds[0], statics[0], 1, network, now_s)))
    emit("session_initiator", preamble + one + three)
    emit("session_responder", preamble + two)
    for i, cipher in enumerate(hs.split()):
        side = ("initiator", "responder")[i]
        emit(f"frame_0_{side}", ping_frame(cipher, 0))
        cipher.n = 65535
        emit(f"frame_65535_{side}", ping_frame(cipher, 65535))
        cipher.rekey()
        emit(f"frame_65536_{side}", ping_frame(cipher, 65536))


def private_session_vectors():
    """The same two, but the network is private and the coordinator has a serving key."""
    seeds = [bytes([i] * 32) for i in (1, 7)]
    statics = [bytes([i] * 32) for i in (3, 4)]
    ephemerals = [bytes([i] * 32) for i in (5, 6)]
    root, secret, now_s = bytes([2] * 32), bytes([9] * 32), 1700000000
    network = ed_public(root)
    tag = digest_fields(b"talkoot private network", [network, secret])[:8]
    preamble = b"talkoot\0" + b"\x81" + tag
    hs = Handshake(preamble * 2, statics, ephemerals, secret)
    word = certificate(root, ed_public(seeds[1]), now_s)
    one = framed(hs.message_1(b""))
    two = framed(hs.message_2(identity(seeds[1], statics[1], 2, network, now_s, word)))
    three = framed(hs.message_3(identity(seeds[0], statics[0], 1, network, now_s)))
    emit("private_session_initiator", preamble + one + three)
    emit("private_session_responder", preamble + two)
    for i, cipher in enumerate(hs.split()):
        side = ("initiator", "responder")[i]
        emit(f"private_frame_0_{side}", ping_frame(cipher, 0))


def host_vectors():
    """What a host of the link says of itself: a peer with the root's word."""
    seed, secret, root, now_s = bytes([7] * 32), bytes([4] * 32), bytes([2] * 32), 1700000000
    word = certificate(root, ed_public(seed), now_s, b"talkoot host")
    emit("host_identity", identity(seed, secret, 1, ed_public(root), now_s, word))


def main():
    check_primitives()
    print("/* Written by noise_reference.py, which see. */")
    print("#ifndef TESTS_WIRE_NOISE_GOLDEN_H\n#define TESTS_WIRE_NOISE_GOLDEN_H\n")
    noise_vectors("")
    print()
    noise_vectors("psk_", bytes([0x55] * 32))
    print()
    session_vectors()
    print()
    private_session_vectors()
    print()
    host_vectors()
    print("\n#endif")
    return 0


if __name__ == "__main__":
    sys.exit(main())
