#!/usr/bin/env bash
#
# What publishing one provider costs as a process: tfreg beside what else makes a zip, its checksum and its signature of a
# release tarball. User and system CPU time, and wall time, of each; the middle of several rounds in which all take turns.
# Then a release of twelve platforms, beside reading and hashing it.
#
# Usage: benches/whole-process.sh [EXECUTABLE]     (default: terraform, which is a Go program of some 90 MB; any ELF file of
#                                                   64 bits, little-endian)
#
# Build first: cargo build --release. What is not on this machine is named and left out. ROUNDS=9 for more rounds.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD
rounds=${ROUNDS:-5}
executable=${1:-$(command -v terraform)}
tfreg=$here/target/release/tfreg
key=$here/testdata/keys/ed25519.asc
[[ -x $tfreg ]] || { echo "build first: cargo build --release" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir in
cp "$executable" in/terraform-provider-sample_v1.2.0
tarball=$work/terraform-provider-sample_1.2.0_linux_amd64.tar.gz
tar -C in -c terraform-provider-sample_v1.2.0 | gzip -9 >"$tarball"
export GNUPGHOME=$work/gnupg
if command -v gpg >/dev/null; then
    mkdir -m 700 gnupg
    gpg --batch --quiet --import "$key"
fi
zip_name=terraform-provider-sample_1.2.0_linux_amd64.zip

publish() {
    "$tfreg" --quiet publish --to "$work/out/site" --namespace acme --protocol 6.0 --signing-key-file "$key" "$tarball"
}
by_zip() {
    tar -C out -xzf "$tarball"
    (cd out && zip -q -X "$1" "$zip_name" terraform-provider-sample_v1.2.0)
}
checksum_and_sign() {
    (cd out && sha256sum "$zip_name" >SHA256SUMS && gpg --batch --quiet --detach-sign SHA256SUMS)
}
zip_9_signed() { by_zip -9 && checksum_and_sign; }
zip_6() { by_zip -6; }
by_bsdtar() { bsdtar -a -cf "out/$zip_name" "@$tarball"; }
by_python() {
    python3 - "$tarball" "out/$zip_name" <<'PYTHON'
import shutil, sys, tarfile, zipfile
with tarfile.open(sys.argv[1]) as tar, zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED) as zip:
    for member in tar:
        with zip.open(member.name, "w") as out:
            shutil.copyfileobj(tar.extractfile(member), out, 1 << 17)
PYTHON
}
startup() { "$tfreg" --version >/dev/null; }

# ways: the function, the programs that it needs, and what it is called in the table.
ways=()
way() {
    local function=$1 needs=$2 program
    for program in $needs; do
        if ! command -v "$program" >/dev/null; then
            echo "*** LEFT OUT, because $program is not installed: $3" >&2
            return
        fi
    done
    ways+=("$function|$3")
}
way publish gzip '`tfreg publish` to a directory, signed'
way zip_9_signed 'tar zip sha256sum gpg' 'tar, `zip -9`, sha256sum, gpg'
way zip_6 'tar zip' 'tar, `zip -6`'
way by_bsdtar bsdtar '`bsdtar -a -cf out.zip @in.tar.gz`'
way by_python python3 "Python's tarfile and zipfile"
way startup gzip '`tfreg --version`'

TIMEFORMAT='%U %S %R'
for ((round = 0; round < rounds; round++)); do
    for entry in "${ways[@]}"; do
        function=${entry%%|*}
        rm -rf out
        mkdir out
        { time "$function" >/dev/null 2>errors; } 2>>"times.$function" || { cat errors >&2; exit 1; }
        [[ ! -f out/$zip_name ]] || stat -c %s "out/$zip_name" >"size.$function"
        [[ $function != publish ]] || find out -name '*.zip' -printf '%s\n' >"size.$function"
    done
done

middle() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
input=$(stat -c %s "$tarball")
base=$(awk '{ print $1 + $2 }' times.publish | middle)
printf '\n%s of %d bytes, %d as tarball; the middle of %d rounds\n\n' \
    "$(basename "$executable")" "$(stat -c %s "$executable")" "$input" "$rounds"
printf '| | CPU, s | wall, s | CPU against tfreg | zip against tarball |\n| :-- | --: | --: | --: | --: |\n'
for entry in "${ways[@]}"; do
    function=${entry%%|*}
    cpu=$(awk '{ print $1 + $2 }' "times.$function" | middle)
    wall=$(awk '{ print $3 }' "times.$function" | middle)
    size=''
    [[ ! -f size.$function ]] || size=$(awk -v i="$input" '{ printf "%+.2f %%", ($1 / i - 1) * 100 }' "size.$function")
    awk -v n="${entry#*|}" -v c="$cpu" -v w="$wall" -v b="$base" -v s="$size" \
        'BEGIN { printf "| %s | %.3f | %.3f | %.1f | %s |\n", n, c, w, c / b, s }'
done

# The same executable for twelve platforms: its ELF header is changed at e_machine, and in Go's record of the build the system
# is made unreadable, so that nothing else tells them apart.
mkdir twelve unpacked
sed 's/\tGOOS=/\tgoos=/g' "$executable" >any_system
while read -r platform machine; do
    mkdir "unpacked/$platform"
    cp any_system "unpacked/$platform/terraform-provider-sample_v1.2.0"
    printf "$(printf '\\x%02x\\x%02x' $((machine % 256)) $((machine / 256)))" |
        dd of="unpacked/$platform/terraform-provider-sample_v1.2.0" bs=1 seek=18 conv=notrunc status=none
    tar -C "unpacked/$platform" -c terraform-provider-sample_v1.2.0 |
        gzip -6 >"twelve/terraform-provider-sample_1.2.0_$platform.tar.gz" &
    (($(jobs -rp | wc -l) < $(nproc))) || wait -n
done <<'PLATFORMS'
linux_amd64 62
linux_arm64 183
linux_loong64 258
linux_mips64le 8
linux_ppc64le 21
linux_riscv64 243
android_amd64 62
android_arm64 183
dragonfly_amd64 62
illumos_amd64 62
illumos_arm64 183
solaris_amd64 62
PLATFORMS
wait

publish_12() {
    "$tfreg" --quiet publish --to "$work/out/site" --namespace acme --protocol 6.0 --signing-key-file "$key" twelve/*.tar.gz
}
hash_tarballs() { sha256sum twelve/*.tar.gz; }
hash_all() { sha256sum twelve/*.tar.gz unpacked/*/*; }
TIMEFORMAT=%R
for ((round = 0; round < rounds; round++)); do
    for function in publish_12 hash_tarballs hash_all; do
        rm -rf out
        mkdir out
        { time "$function" >/dev/null 2>errors; } 2>>"wall.$function" || { cat errors >&2; exit 1; }
    done
done
bytes() { du -bc "$@" | awk 'END { printf "%.0f", $1 / 1e6 }'; }
printf '\nA release of twelve platforms, %s MB, %s MB as tarballs; the middle of %d rounds\n\n' \
    "$(bytes unpacked/*/*)" "$(bytes twelve/*)" "$rounds"
printf '| | wall, s |\n| :-- | --: |\n'
row() { printf '| %s | %.2f |\n' "$2" "$(middle <"wall.$1")"; }
row publish_12 '`tfreg publish` to a directory, signed, read back'
row hash_tarballs 'sha256sum of the tarballs'
row hash_all 'sha256sum of the tarballs and of what is in them'
