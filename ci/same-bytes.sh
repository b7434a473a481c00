#!/usr/bin/env bash
#
# Builds the executable twice, in two folders, and compares the bytes: nothing in this repository may make them depend on a folder, on
# the time, or on an order that changes. It is built on top of the dependencies that `cargo test` has left in target/, which takes a
# minute. Whether the bytes of dependencies depend on a folder is checked where all are built again: ci/release.sh --check.
#
# Usage: ci/same-bytes.sh

set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(cargo metadata --no-deps --format-version 1 --locked | jq -r .target_directory)
profile=debug
# Without what names a folder by its nature, and what only costs time.
settings=(--config profile.dev.package.tfreg.debug=false --config profile.dev.package.tfreg.opt-level=0)
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
export CARGO_INCREMENTAL=0

folders=$(mktemp -d -p "$target" same-bytes-XXXXXX)
trap 'rm -rf "$folders"' EXIT
for folder in "$folders/one" "$folders/another/and/deeper"; do
    mkdir -p "$folder/target/$profile"
    # The files as they are, committed or not. Folders of builds are large.
    find . \( -name .git -o -path ./target -o -path ./fuzz/target \) -prune -o -type f -print0 | xargs -0 cp --parents --target-directory "$folder"
    cp -a "$target/$profile/.fingerprint" "$folder/target/$profile/"
    # Links, since these are gigabytes; cargo writes to none of them but those that it is made to forget.
    cp -al "$target/$profile/build" "$target/$profile/deps" "$folder/target/$profile/"
    # The smallest of the tests, for which the executable is built too: with the features that dependencies have in tests.
    (
        cd "$folder"
        cargo clean --quiet --package tfreg
        TFREG_RELEASE_SOURCE=$folder RUSTC_WRAPPER=$folder/ci/rustc-without-paths \
            cargo test --quiet --locked --no-run --test skipped "${settings[@]}"
    )
done
cmp "$folders/one/target/$profile/tfreg" "$folders/another/and/deeper/target/$profile/tfreg" || {
    echo "ci/same-bytes.sh: two builds differ" >&2
    exit 1
}
echo "Two builds, in two folders: the same bytes"
