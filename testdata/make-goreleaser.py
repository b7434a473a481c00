#!/usr/bin/env python3
"""Makes goreleaser-1.2.0/ beside this script: a release in the form that GoReleaser leaves.

The executables are those of release-1.2.0/. What is GoReleaser's here, as of version 2 with the configuration of
HashiCorp's scaffolding: the names of all files; the names in the zips, and their order, the executable last; zips as
Go's archive/zip streams them, with sizes and CRC-32 behind the data; SHA256SUMS in the order of the names, with a line
for the manifest; a binary detached signature of it; and what else lies in the folder `dist`.

The key is keys/ed25519.asc; its public half goes beside the release. Signatures have a time, and come out the same
with the one that is set here.

Needs Python 3.8 or newer and GnuPG:

    apt-get install --no-install-recommends python3 gpg gpg-agent
"""

import hashlib
import io
import pathlib
import subprocess
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "1.2.0"
STEM = f"terraform-provider-sample_{VERSION}"
PLATFORMS = ["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"]
# 2025-01-01 00:00:00 UTC, as in make.sh, and the first second of the signing keys' life is before it.
TIME = (2025, 1, 1, 0, 0, 0)
SIGNED_AT = "20250102T000000!"


class Stream(io.RawIOBase):
    """A file that cannot be rewound, so that zipfile writes data descriptors, as Go does always."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += data
        return len(data)


def executable(platform):
    name = f"terraform-provider-sample-v{VERSION}-{platform.replace('_', '-')}-bin.tar.gz"
    with tarfile.open(HERE / "release-1.2.0" / name) as tar:
        member = next(m for m in tar if m.isfile() and m.name.split("/")[-1].startswith("terraform-provider-sample"))
        return tar.extractfile(member).read()


def package(platform):
    suffix = ".exe" if platform.startswith("windows_") else ""
    files = [(name, 0o644, (HERE / "provider" / name).read_bytes()) for name in ("CHANGELOG.md", "LICENSE", "README.md")]
    files.append((f"terraform-provider-sample_v{VERSION}{suffix}", 0o755, executable(platform)))
    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in files:
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system = 3
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return bytes(stream.bytes)


def gpg(home, *arguments, **options):
    command = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--faked-system-time", SIGNED_AT, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def main():
    out = HERE / "goreleaser-1.2.0"
    out.mkdir(exist_ok=True)
    for file in out.iterdir():
        file.unlink()
    files = {f"{STEM}_{platform}.zip": package(platform) for platform in PLATFORMS}
    files[f"{STEM}_manifest.json"] = (HERE / "provider" / "terraform-registry-manifest.json").read_bytes()
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    files[f"{STEM}_SHA256SUMS"] = sums.encode()
    with tempfile.TemporaryDirectory() as home:
        gpg(home, "--import", str(HERE / "keys" / "ed25519.asc"), stderr=subprocess.DEVNULL)
        files[f"{STEM}_SHA256SUMS.sig"] = gpg(home, "--detach-sign", "--output", "-", input=sums.encode())
        files["public-key.asc"] = gpg(home, "--armor", "--export-options", "export-minimal", "--export")
    # What else GoReleaser leaves in its folder.
    files["artifacts.json"] = b"[]\n"
    files["config.yaml"] = b"project_name: terraform-provider-sample\n"
    files["metadata.json"] = b'{"project_name":"terraform-provider-sample","version":"1.2.0"}\n'
    for name, content in files.items():
        (out / name).write_bytes(content)


main()
