"""Computes the buckets of sticky keys, as a second implementation of the published formula.

    sticky.py SALT < KEYS > BUCKETS

Reads one key per line and writes one bucket per line. xxh64 is implemented here from its specification
(seed 0), so that no package has to be installed. The README shows the same with the package `xxhash`.
"""

import sys

P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MASK = (1 << 64) - 1


def rotate(x, bits):
    return ((x << bits) | (x >> (64 - bits))) & MASK


def mix(lane, word):
    return rotate((lane + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data):
    word = lambda at, size: int.from_bytes(data[at : at + size], "little")
    at, length = 0, len(data)
    if length >= 32:
        lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        while at + 32 <= length:
            lanes = [mix(lane, word(at + 8 * i, 8)) for i, lane in enumerate(lanes)]
            at += 32
        hash = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            hash = ((hash ^ mix(0, lane)) * P1 + P4) & MASK
    else:
        hash = P5
    hash = (hash + length) & MASK
    while at + 8 <= length:
        hash = (rotate(hash ^ mix(0, word(at, 8)), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= length:
        hash = (rotate(hash ^ (word(at, 4) * P1 & MASK), 23) * P2 + P3) & MASK
        at += 4
    while at < length:
        hash = rotate(hash ^ (data[at] * P5 & MASK), 11) * P1 & MASK
        at += 1
    hash = (hash ^ (hash >> 33)) * P2 & MASK
    hash = (hash ^ (hash >> 29)) * P3 & MASK
    return hash ^ (hash >> 32)


assert xxh64(b"") == 0xEF46DB3751D8E999
salt = sys.argv[1].encode()
for line in sys.stdin.buffer.read().split(b"\n"):
    print(xxh64(salt + b"\x00" + line) * 1_000_000 >> 64)
