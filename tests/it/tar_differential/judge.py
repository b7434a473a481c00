"""Reads tarballs with tarfile. Each line on standard input is a path; the answer is "E TEXT", or "N COUNT" and a line a
file: mode, SHA-256 and name, the name in hexadecimal digits."""

import hashlib
import sys
import tarfile


def judge(path):
    lines = []
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ValueError(f"type {member.type!r}")
            content = archive.extractfile(member).read()
            if len(content) != member.size:
                raise ValueError("short")
            name = member.name.encode("utf-8", "surrogateescape")
            lines.append(f"{member.mode & 0o7777:o} {hashlib.sha256(content).hexdigest()} {name.hex()}")
    return lines


for line in sys.stdin:
    try:
        lines = judge(line.rstrip("\n"))
        print(f"N {len(lines)}", *lines, sep="\n", flush=True)
    except Exception as error:
        print("E", repr(error).replace("\n", " "), flush=True)
