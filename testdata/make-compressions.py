#!/usr/bin/env python3
"""Makes compressions/ again: one tar file, compressed in different ways.

The products are committed: nobody needs this script to run the tests. Needs
Python 3 with zlib and gzip, and Debian's golang-go, pigz, tabix (for bgzip),
libdeflate-tools and zopfli; other versions of them may give other bytes.

What the zips of these have to be is in compressions/SHA256SUMS. It changes only
when tfreg's zips change, which they must not without a reason.
"""

import gzip
import io
import pathlib
import random
import subprocess
import tarfile
import tempfile
import zlib

here = pathlib.Path(__file__).parent
out = here / "compressions"
out.mkdir(exist_ok=True)

with tarfile.open(next(here.glob("release-1.2.0/*linux-amd64*.tar.gz"))) as release:
    member = next(m for m in release if m.isfile() and pathlib.Path(m.name).name.split("_")[0] == "terraform-provider-sample")
    executable = release.extractfile(member).read()

# Words that come again near and far, so that copies of all lengths and distances are made.
chance = random.Random(1951)
words = [chance.randbytes(chance.randint(1, 12)) for _ in range(150)]
filler = b"".join(chance.choice(words) * chance.choice([1, 1, 1, 40]) for _ in range(4000))

tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
    for name, data in [
        ("LICENSE", (here / "provider/LICENSE").read_bytes()),
        ("terraform-provider-sample", executable + filler[:150_000]),
        ("data/large.bin", filler[-140_000:] + filler[:40_000]),
        ("terraform-registry-manifest.json", (here / "provider/terraform-registry-manifest.json").read_bytes()),
    ]:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
tar = tar.getvalue()


def deflated(level, strategy, flush=None, memory=8):
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31, memory, strategy)
    parts = []
    for at in range(0, len(tar), 30_000):
        parts.append(compressor.compress(tar[at:at + 30_000]))
        if flush is not None:
            parts.append(compressor.flush(flush))
    return b"".join(parts) + compressor.flush()


GO = """package main

import ("compress/gzip"; "io"; "os")

func main() {
	out, err := gzip.NewWriterLevel(os.Stdout, gzip.BestCompression)
	if err != nil { panic(err) }
	if _, err := io.Copy(out, os.Stdin); err != nil { panic(err) }
	if err := out.Close(); err != nil { panic(err) }
}
"""


def piped(*command):
    return subprocess.run(command, input=tar, stdout=subprocess.PIPE, check=True).stdout


def by_zopfli():
    # It reads files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(tar)
        file.flush()
        return piped("zopfli", "-c", "--i1", file.name)


def by_go():
    # As GoReleaser does it.
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "gzip.go"
        program.write_text(GO)
        return piped("go", "run", str(program))


kinds = {
    "level-1": deflated(1, zlib.Z_DEFAULT_STRATEGY),
    "level-9": deflated(9, zlib.Z_DEFAULT_STRATEGY),
    "fixed": deflated(6, zlib.Z_FIXED),
    "sync-flush": deflated(6, zlib.Z_DEFAULT_STRATEGY, zlib.Z_SYNC_FLUSH),
    "partial-flush": deflated(6, zlib.Z_DEFAULT_STRATEGY, zlib.Z_PARTIAL_FLUSH),
    "small-blocks": deflated(6, zlib.Z_DEFAULT_STRATEGY, memory=1),
    "members": b"".join(gzip.compress(tar[at:at + 65_280], mtime=0) for at in range(0, len(tar), 65_280)),
    "go-9": by_go(),
    "pigz": piped("pigz", "-c", "-n", "-9", "-b", "128", "-p", "2"),
    "pigz-independent": piped("pigz", "-c", "-n", "-i", "-b", "128", "-p", "2"),
    "bgzip": piped("bgzip", "-c"),
    "libdeflate-12": piped("libdeflate-gzip", "-c", "-12"),
    "zopfli": by_zopfli(),
}
for name, data in kinds.items():
    (out / f"{name}.tar.gz").write_bytes(data)
