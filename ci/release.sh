#!/usr/bin/env bash
#
# Builds the executables of a release for Linux, static, from a commit that is checked out and unchanged:
#
#   tfreg-linux-amd64, tfreg-linux-arm64      the executables
#   tfreg-linux-….cdx.json                    what is in each: a bill of materials, CycloneDX
#   provenance.json                           what they were built from and with: an in-toto statement, SLSA provenance
#   SHA256SUMS                                of all these
#
# The same commit, Rust and script give the same bytes, in whichever folder.
#
# Usage: ci/release.sh [--native] [--check] [--quick] [FOLDER]      (default: dist)
#
#   --native    only for this machine's processor
#   --check     build all of it a second time, in another folder with another CARGO_HOME, and compare
#   --quick     without optimisation and bills of materials, for CI: with --check, only what is in this repository is built a second
#               time, in another folder, on top of the same dependencies
#
# Needs git, jq, cc, readelf (binutils), python3 with pip, and rustup. What compiles C, links and lists the dependencies is fetched
# and kept in the cache.

set -euo pipefail
export LC_ALL=C
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tfreg-ci
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# The compiler of C has a part in the bytes, so it is one version.
zig=0.17.1 zigbuild=0.24.1 cyclonedx=0.5.9

fail() {
    printf 'ci/release.sh: %s\n' "$*" >&2
    exit 1
}

targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl) profile=release check='' out=dist
while (($#)); do
    case $1 in
    --native) targets=("$(uname -m)-unknown-linux-musl") ;;
    --check) check=yes ;;
    --quick) profile=release-quick ;;
    -*) fail "unknown option $1" ;;
    *) out=$1 ;;
    esac
    shift
done

# The name of an executable: Docker's word for the processor is in it (drone/Dockerfile).
name() {
    case $1 in
    x86_64-*) echo tfreg-linux-amd64 ;;
    aarch64-*) echo tfreg-linux-arm64 ;;
    *) fail "there is no release for $1" ;;
    esac
}

provide_tools() {
    local program target libraries
    for program in git jq cc readelf python3 cargo sha256sum; do
        type -P "$program" >/dev/null || fail "$program is not installed"
    done
    libraries=$(rustc --print sysroot)/lib/rustlib
    for target in "${targets[@]}"; do
        [[ -d $libraries/$target ]] || rustup --quiet target add "$target" || fail "Rust has no $target"
    done
    export PYTHONPATH=$tools/zig PATH=$tools/zig/bin:$tools/bin:$PATH
    if [[ $(python3 -m ziglang version 2>/dev/null) != "$zig" || $(cargo-zigbuild --version 2>/dev/null) != *" $zigbuild" ]]; then
        python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --only-binary :all: \
            --target "$tools/zig" --upgrade "ziglang==$zig" "cargo-zigbuild==$zigbuild" || fail "zig could not be fetched"
    fi
    # It runs for seconds, so it is not optimised.
    if [[ $profile == release && $(cargo-cyclonedx cyclonedx --version 2>/dev/null) != *" $cyclonedx" ]]; then
        cargo install cargo-cyclonedx --version "=$cyclonedx" --locked --quiet --root "$tools" --config profile.release.lto=false \
            --config profile.release.opt-level=1 --config profile.release.codegen-units=16 || fail "cargo-cyclonedx could not be built"
    fi
}

# build SOURCE OUT: all files of a release but SHA256SUMS.
build() {
    local source=$1 out=$2 target file
    for target in "${targets[@]}"; do
        file=$out/$(name "$target")
        (
            cd "$source"
            TFREG_RELEASE_SOURCE=$source RUSTC_WRAPPER=$source/ci/rustc-without-paths \
                cargo zigbuild --quiet --profile "$profile" --locked --target "$target"
        )
        cp "$source/target/$target/$profile/tfreg" "$file"
        [[ $(readelf --program-headers "$file") != *INTERP* ]] || fail "$file is not static"
        # It names no folder of this machine, which a dependency could do too.
        if grep --quiet --fixed-strings --regexp "$source/" --regexp "${CARGO_HOME:-$HOME/.cargo}/" \
            --regexp "${RUSTUP_HOME:-$HOME/.rustup}/" "$file"; then
            fail "$file has paths of this machine in it"
        fi
        [[ $profile == release ]] || continue
        (
            cd "$source"
            cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --override-filename sbom
            # Its identifiers hold the path of the source.
            jq --arg path "$source" 'walk(if type == "string" then split($path) | join("/tfreg") else . end)' sbom.json
            rm sbom.json
        ) >"$file.cdx.json"
    done
    provenance "$out" >"$out/provenance.json"
}

# What was built from what ("SLSA Provenance v1", "in-toto Statement v1"). There is no time in it: two builds are one. The records that
# tfreg makes of publishes (src/registry/provenance.rs) are of the same types, but they say something else: which zips of a provider,
# each with its h1 hash, were made from which tarballs. An executable is no such zip, and an option for it would be one that no user
# of a registry needs.
provenance() {
    local subjects
    subjects=$(cd "$1" && sha256sum tfreg-* | jq --raw-input '
        capture("^(?<sha256>[0-9a-f]{64})  (?<name>.*)$") | { name, digest: { sha256 } }' | jq --slurp .)
    jq --null-input --argjson subject "$subjects" --arg commit "$TFREG_COMMIT" --arg profile "$profile" \
        --arg zig "$zig" --arg zigbuild "$zigbuild" --arg rust "$(rustc --version --verbose)" \
        --arg script "$(sha256sum ci/release.sh | cut -d " " -f 1)" --arg lock "$(sha256sum Cargo.lock | cut -d " " -f 1)" '
        {
            _type: "https://in-toto.io/Statement/v1",
            subject: $subject,
            predicateType: "https://slsa.dev/provenance/v1",
            predicate: {
                buildDefinition: {
                    buildType: "urn:tfreg:release:v1",
                    externalParameters: { script: "ci/release.sh", commit: $commit, profile: $profile },
                    internalParameters: { rustc: ($rust | split("\n")), ziglang: $zig, "cargo-zigbuild": $zigbuild },
                    resolvedDependencies: [
                        { name: "tfreg", digest: { gitCommit: $commit } },
                        { name: "Cargo.lock", digest: { sha256: $lock } },
                        { name: "ci/release.sh", digest: { sha256: $script } }
                    ]
                },
                runDetails: { builder: { id: "urn:tfreg:ci/release.sh" } }
            }
        }'
}

# try EXECUTABLE: whether it names its commit, and publishes and verifies where there is nothing else: no library, no shell.
try() (
    local folder in_it=(chroot)
    [[ $("$1" --version) == *"${TFREG_COMMIT:0:7}"* ]] || fail "$1 does not name the commit: $("$1" --version)"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    [[ $(id -u) == 0 ]] || in_it=(unshare --map-root-user chroot)
    mkdir "$folder/tmp" "$folder/release"
    cp "$1" "$folder/tfreg"
    cp testdata/release-1.2.0/*.tar.gz testdata/keys/ed25519.asc "$folder/release"
    # The programs of a folder that is a root are those of this system no more.
    run() { env --ignore-environment PATH="$PATH" "${in_it[@]}" "$folder" /tfreg "$@" >&2 || fail "$1 fails with nothing around it"; }
    run publish --to /site --namespace acme --protocol 6.0 --signing-key-file /release/ed25519.asc /release/
    run verify /site
)

# second OUT: builds all again elsewhere.
second() {
    local folder=$1 home=$cargo_home target
    git clone --quiet . "$folder/other-source"
    git -C "$folder/other-source" checkout --quiet "$TFREG_COMMIT"
    mkdir "$folder/out"
    if [[ $profile == release ]]; then
        home=$folder/other-cargo
        mkdir "$home"
        cp -a "$cargo_home/registry" "$home/"
        # Where registries are, if somebody has set it.
        find "$cargo_home" -maxdepth 1 -name 'config*' -exec cp {} "$home/" \;
    else
        # That dependencies name no folder is known from the first build. That their bytes do not depend on one is checked without
        # --quick, since cargo would build all of them again.
        mkdir "$folder/other-source/target"
        cp -a "target/$profile" "$folder/other-source/target/"
        for target in "${targets[@]}"; do
            mkdir "$folder/other-source/target/$target"
            cp -a "target/$target/$profile" "$folder/other-source/target/$target/"
            (cd "$folder/other-source" && cargo clean --quiet --package tfreg --profile "$profile" --target "$target")
        done
    fi
    CARGO_HOME=$home build "$folder/other-source" "$folder/out"
}

provide_tools
[[ -z $(git status --porcelain) ]] || fail "there are changes: what is built must be a commit"
TFREG_COMMIT=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export TFREG_COMMIT SOURCE_DATE_EPOCH
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR CARGO_INCREMENTAL
# Nor what a user has set for his own builds: CARGO_PROFILE_DEV_OPT_LEVEL, CARGO_PROFILE_RELEASE_LTO, …
for variable in "${!CARGO_PROFILE_@}"; do unset "$variable"; done
CARGO_PROFILE_RELEASE_STRIP=symbols
export CARGO_PROFILE_RELEASE_STRIP

mkdir -p "$out"
out=$(cd "$out" && pwd -P)
[[ -z $(ls -A "$out") ]] || fail "$out is not empty"
build "$root" "$out"
native=$out/$(name "$(uname -m)-unknown-linux-musl")
[[ ! -e $native ]] || try "$native"
if [[ -n $check ]]; then
    elsewhere=$(mktemp -d)
    trap 'rm -rf "$elsewhere"' EXIT
    second "$elsewhere"
    diff --recursive --brief "$out" "$elsewhere/out" || fail "two builds differ"
    echo "Two builds, in $root and in $elsewhere: the same bytes"
fi
(cd "$out" && sha256sum tfreg-* provenance.json >SHA256SUMS)
cat "$out/SHA256SUMS"
