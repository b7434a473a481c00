"""Reads zips with zipfile. Each line on standard input is a path; the answer is "E TEXT", or "N COUNT" and a line an
entry: mode, SHA-256 and name, the name in hexadecimal digits. The last line, of the name NUL, is of all contents, one
behind the other."""

import hashlib
import sys
import zipfile


def judge(path):
    lines, all_contents = [], hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            content = archive.read(entry)
            name = entry.filename.encode("utf-8", "surrogateescape")
            all_contents.update(content)
            lines.append(f"0 {hashlib.sha256(content).hexdigest()} {name.hex()}")
    return lines + [f"0 {all_contents.hexdigest()} 00"]


for line in sys.stdin:
    try:
        lines = judge(line.rstrip("\n"))
        print(f"N {len(lines)}", *lines, sep="\n", flush=True)
    except Exception as error:
        print("E", repr(error).replace("\n", " "), flush=True)
