#!/usr/bin/env python3
"""Recomputes each program's hash chain from `tributary events dump` on stdin. Uses no code of Tributary.

Prints {program: {events, link, root}}, which must equal what `tributary checkpoint export` signs.
The rules: leaf = SHA-256(00 || event), link(n) = SHA-256(link(n-1) || leaf(n)) from 32 zero bytes, and the root is that of the
Merkle tree of RFC 6962 over the same leaves: node = SHA-256(01 || left || right).
"""
import hashlib
import json
import sys


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


class Chain:
    def __init__(self):
        self.events = 0
        self.link = bytes(32)
        self.peaks = []  # (leaves, root) of full subtrees, the largest first

    def push(self, event):
        leaf = sha256(b"\x00", event)
        self.link = sha256(self.link, leaf)
        self.events += 1
        size, node = 1, leaf
        while self.peaks and self.peaks[-1][0] == size:
            _, left = self.peaks.pop()
            size, node = 2 * size, sha256(b"\x01", left, node)
        self.peaks.append((size, node))

    def root(self):
        if not self.peaks:
            return sha256()
        node = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            node = sha256(b"\x01", left, node)
        return node


chains = {}
for line in sys.stdin:
    row = json.loads(line)
    chain = chains.setdefault(row["program_id"], Chain())
    chain.push(bytes.fromhex(row["event"]))
    if chain.events != row["position"]:
        sys.exit(f"{row['program_id']}: event {chain.events} expected, {row['position']} found")

heads = {name: {"events": c.events, "link": c.link.hex(), "root": c.root().hex()} for name, c in chains.items()}
print(json.dumps(heads, indent=2, sort_keys=True))
