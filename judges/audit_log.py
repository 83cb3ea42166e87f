"""Judges the audit log with hashlib and cryptography alone.

The tree is computed as RFC 6962 defines it (from the top, recursively; ours grows from the
bottom), notes and keys are read as C2SP signed-note and tlog-checkpoint describe them, entries by
the layout in their documentation. Then exports are tampered with, and both verifiers must refuse;
and this program writes an export of its own, which ours must accept.

    audit_log.py --log PROGRAM    (PROGRAM export N | PROGRAM verify KEY)
"""

import argparse
import base64
import hashlib
import json
import random
import struct
import subprocess

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verdict import Verdict

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 255, 257, 600]
TAMPERED_SIZE = 40
ED25519 = b"\x01"


class Refused(Exception):
    """The export is not a whole log as it was signed."""


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def root(leaves):
    """MTH of RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def key_id(name, public):
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def read_key(text):
    name, identity, encoded = text.split("+", 2)
    kind_and_key = base64.b64decode(encoded, validate=True)
    if kind_and_key[:1] != ED25519 or key_id(name, kind_and_key[1:]).hex() != identity:
        raise Refused("the key's id is not its own")
    return name, kind_and_key[1:]


def read_checkpoint(note, key_text):
    """The size and root in a note that the key signed."""
    name, public = read_key(key_text)
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise Refused("there are no signatures")
    text += "\n"
    signed = False
    for line in signatures.splitlines():
        mark, signer, encoded = line.split(" ")
        identity_and_signature = base64.b64decode(encoded, validate=True)
        if mark != "\u2014" or signer != name or identity_and_signature[:4] != key_id(name, public):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(
                identity_and_signature[4:], text.encode()
            )
        except InvalidSignature:
            raise Refused("the signature is wrong") from None
        signed = True
    if not signed:
        raise Refused("the key did not sign")
    origin, size, encoded_root = text.split("\n")[:3]
    if origin != name:
        raise Refused("the checkpoint is of another log")
    return int(size), base64.b64decode(encoded_root, validate=True)


def verify(lines, key_text):
    """The number of entries, when the export is a whole log as the key signed it."""
    if lines[0] != {"key": key_text}:
        raise Refused("the export is of another key")
    leaves, covered = [], -1
    for line in lines[1:]:
        if "checkpoint" in line:
            size, signed_root = read_checkpoint(line["checkpoint"], key_text)
            if size != len(leaves) or signed_root != root(leaves):
                raise Refused(f"the checkpoint of {size} does not fit")
            covered = size
        elif line["index"] != len(leaves):
            raise Refused("an entry is out of order")
        else:
            leaves.append(leaf(base64.b64decode(line["entry"], validate=True)))
    if covered != len(leaves):
        raise Refused("the end is missing")
    return covered


def decode(entry):
    """One entry by its documented layout; every byte must be accounted for."""
    place = 0

    def take(length):
        nonlocal place
        piece = entry[place : place + length]
        if len(piece) != length:
            raise ValueError("the entry is too short")
        place += length
        return piece

    def text():
        return take(struct.unpack(">H", take(2))[0]).decode()

    version, at = struct.unpack(">Bq", take(9))
    event = text()
    ids = [take(16) if take(1) == b"\x01" else None for _ in range(2)]
    fields = [(text(), text()) for _ in range(struct.unpack(">H", take(2))[0])]
    keys = [key for key, _ in fields]
    if place != len(entry) or version != 1 or keys != sorted(set(keys)):
        raise ValueError("the entry is not canonical")
    return at, event, ids, fields


class Ours:
    """The program that is judged."""

    def __init__(self, program):
        self.program = program

    def export(self, size):
        out = subprocess.run([self.program, "export", str(size)], capture_output=True, check=True)
        return [json.loads(line) for line in out.stdout.splitlines()]

    def verify(self, lines, key_text):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        command = [self.program, "verify", key_text]
        out = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
        return json.loads(out.stdout)


def judge_exports(verdict, ours):
    for size in SIZES:
        lines = ours.export(size)
        key_text = lines[0]["key"]
        verdict.equal(f"an export of {size} verifies", verify(lines, key_text), size)
        verdict.equal(f"ours verifies {size} too", ours.verify(lines, key_text), {"size": size})
        entries = [base64.b64decode(line["entry"]) for line in lines if "entry" in line]
        read = [decode(entry) for entry in entries]
        times = [at for at, *_ in read]
        verdict.equal("entries are read in order", times, sorted(times))
        verdict.equal("entries are in microseconds", {at % 1_000_000 for at in times}, {0})
        verdict.holds("some entry has fields", size < 2 or any(fields for *_, fields in read))


def renumbered(lines):
    """Indexes as if nothing had happened: a forger would think of that."""
    count, out = 0, []
    for line in lines:
        if "entry" in line:
            line = dict(line, index=count)
            count += 1
        out.append(line)
    return out


def changed_entry(line, place, bit):
    entry = bytearray(base64.b64decode(line["entry"]))
    entry[place % len(entry)] ^= 1 << bit
    return dict(line, entry=base64.b64encode(bytes(entry)).decode())


def tampered(lines, chance):
    """Exports that are no longer the log that was signed, each with what was done to it."""
    entries = [place for place, line in enumerate(lines) if "entry" in line]
    checkpoints = [place for place, line in enumerate(lines) if "checkpoint" in line]
    for place in entries:
        yield "an entry is left out", renumbered(lines[:place] + lines[place + 1 :])
        yield "an entry is there twice", renumbered(lines[: place + 1] + lines[place:])
        flipped = changed_entry(lines[place], chance.randrange(10_000), chance.randrange(8))
        yield "a bit of an entry is another", lines[:place] + [flipped] + lines[place + 1 :]
    for place, other in zip(entries, entries[1:]):
        swapped = list(lines)
        swapped[place], swapped[other] = lines[other], lines[place]
        yield "two entries are swapped", renumbered(swapped)
    for place in checkpoints:
        note = lines[place]["checkpoint"]
        origin, size, *rest = note.split("\n")
        for what, forged in [
            ("a checkpoint states another size", "\n".join([origin, str(int(size) + 1), *rest])),
            ("a checkpoint is of another log", "\n".join([origin + "x", size, *rest])),
            ("a checkpoint has no signature", note.rpartition("\n\n")[0] + "\n"),
            ("a checkpoint's signature is another's", note.replace("\u2014 ", "\u2014 x")),
        ]:
            yield what, lines[:place] + [{"checkpoint": forged}] + lines[place + 1 :]
    yield "the end is cut", lines[: checkpoints[-1]]
    yield "there is no checkpoint", [line for line in lines if "checkpoint" not in line]
    yield "an entry follows the last checkpoint", renumbered(lines + [lines[entries[0]]])
    _, forged = signed_export(lines, Ed25519PrivateKey.generate())
    yield "another key signs under the same name", lines[:1] + forged[1:]


def signed_export(lines, key):
    """The same entries as an export that this program signs."""
    name = read_key(lines[0]["key"])[0]
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    identity = key_id(name, public)
    key_text = f"{name}+{identity.hex()}+{base64.b64encode(ED25519 + public).decode()}"
    out, leaves = [{"key": key_text}], []
    for line in lines[1:]:
        if "entry" in line:
            leaves.append(leaf(base64.b64decode(line["entry"])))
            out.append(line)
            continue
        text = f"{name}\n{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n"
        signature = base64.b64encode(identity + key.sign(text.encode())).decode()
        out.append({"checkpoint": f"{text}\n\u2014 {name} {signature}\n"})
    return key_text, out


def judge_tampering(verdict, ours):
    lines = ours.export(TAMPERED_SIZE)
    key_text = lines[0]["key"]
    for what, forged in tampered(lines, random.Random(1)):
        verdict.refused(f"{what}: here", Refused, lambda: verify(forged, key_text))
        answer = ours.verify(forged, key_text)
        verdict.holds(f"{what}: ours refuses", "refused" in answer, answer)


def judge_foreign_export(verdict, ours):
    lines = ours.export(TAMPERED_SIZE)
    key_text, written = signed_export(lines, Ed25519PrivateKey.generate())
    verdict.equal(
        "ours reads what this program signs",
        ours.verify(written, key_text),
        {"size": TAMPERED_SIZE},
    )
    answer = ours.verify(written, lines[0]["key"])
    verdict.holds("but not with another key", "refused" in answer, answer)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--log", required=True)
    asked = options.parse_args()
    with Verdict() as verdict:
        ours = Ours(asked.log)
        judge_exports(verdict, ours)
        judge_tampering(verdict, ours)
        judge_foreign_export(verdict, ours)


if __name__ == "__main__":
    main()
