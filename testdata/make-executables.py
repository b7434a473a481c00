#!/usr/bin/env python3
"""Makes executables/ports.tar.gz: what Go builds for each of its ports, with zeros where nothing is looked at.

Go must be installed. Each executable keeps its length, its headers, its notes and loader, and Go's record of the build; so
the archive is small. Ports that need another toolchain than Go's own (android but for arm64, ios) and those without ELF,
Mach-O or PE are left out.
"""

import gzip, io, os, pathlib, struct, subprocess, sys, tarfile, tempfile

HERE = pathlib.Path(__file__).parent
SOURCE = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'
MAGIC = b"\xff Go buildinf:"


def elf_parts(data):
    """The parts of an ELF file that are kept."""
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    word = "Q" if wide else "I"
    phoff, shoff = struct.unpack_from(order + 2 * word, data, 32 if wide else 28)
    phentsize, phnum, shentsize, shnum = struct.unpack_from(order + "4H", data, 54 if wide else 42)
    parts = [(0, 64), (phoff, phentsize * phnum), (shoff, shentsize * shnum)]
    for nth in range(phnum):
        at = phoff + nth * phentsize
        kind = struct.unpack_from(order + "I", data, at)[0]
        offset = struct.unpack_from(order + word, data, at + (8 if wide else 4))[0]
        size = struct.unpack_from(order + word, data, at + (32 if wide else 16))[0]
        # PT_INTERP and PT_NOTE
        if kind in (3, 4):
            parts.append((offset, size))
    return parts


def parts(data):
    if data[:4] == b"\x7fELF":
        found = elf_parts(data)
    elif data[:4] in (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"):
        found = [(0, 32 + struct.unpack_from("<I", data, 20)[0])]
    elif data[:2] == b"MZ":
        found = [(0, 4096)]
    else:
        return None
    at = data.find(MAGIC)
    while at >= 0:
        # The record, not the magic in the program that reads it.
        if at % 16 == 0 and data[at + 15] & 2 and data[at + 33 : at + 35] == b"go":
            found.append((at, 2048))
        at = data.find(MAGIC, at + 1)
    return found


def build(port, folder):
    system, arch = port.split("/")
    env = dict(os.environ, GOOS=system, GOARCH=arch, CGO_ENABLED="0", GOFLAGS="-p=1")
    out = folder / port.replace("/", "_")
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "."]
    built = subprocess.run(command, cwd=folder, env=env, stderr=subprocess.DEVNULL)
    return out.read_bytes() if built.returncode == 0 else None


def main():
    # A folder of executables that are built already, named SYSTEM_ARCH.
    ready = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    ports = subprocess.run(["go", "tool", "dist", "list"], capture_output=True, text=True, check=True).stdout.split()
    tar = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folder = pathlib.Path(folder)
        (folder / "main.go").write_text(SOURCE)
        (folder / "go.mod").write_text("module hello\n\ngo 1.21\n")
        for port in ports:
            name = port.replace("/", "_")
            if ready:
                data = (ready / name).read_bytes() if (ready / name).exists() else None
            else:
                data = build(port, folder)
            kept = data and parts(data)
            if not kept:
                print("left out:", port)
                continue
            bytes_ = bytearray(len(data))
            for at, size in kept:
                bytes_[at : at + size] = data[at : at + size]
            entry = tarfile.TarInfo(name)
            entry.size = len(bytes_)
            archive.addfile(entry, io.BytesIO(bytes_))
    (HERE / "executables").mkdir(exist_ok=True)
    with open(HERE / "executables/ports.tar.gz", "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, mtime=0, fileobj=file) as packed:
            packed.write(tar.getvalue())


if __name__ == "__main__":
    main()
