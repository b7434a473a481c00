#!/usr/bin/env bash
#
# Makes the test releases beside this script again, from provider/:
#
#   release-1.2.0/          first name grammar, with sidecars and manifest
#   release-1.2.0-more/     two more platforms of the same version
#   release-1.2.0-rebuilt/  linux/amd64 of the same version, with other bytes
#   release-1.10.0/         second name grammar, manifest inside the tarballs
#
# The products are committed: nobody needs this script to run the tests. The
# keys are made by make-keys.sh.
#
# Usage: ./make.sh [DIR]      DIR: where the folders go (default: beside this script)
#
# Needs, on Debian 12: clang, lld and llvm (all version 14), tar, gzip and
# coreutils. One compiler does all the platforms; no C library is linked, so no
# cross toolchain is needed:
#
#   apt-get install --no-install-recommends clang lld llvm
#
# Reproducible: the same tools give the same bytes, each time and in any folder.
# (Another clang, lld or gzip may give others.)

set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}
mkdir -p "$out"
out=$(cd "$out" && pwd)
src=$here/provider

# The time that every file in the archives gets: 2025-01-01 00:00:00 UTC.
epoch=1735689600

# Debian's names, or those with the version (Debian's lld has no plain ld64.lld).
tool() {
    local name
    for name in "$@"; do
        if command -v "$name"; then return; fi
    done
    echo "make.sh: none of these is here: $* (see the packages named at its top)" >&2
    return 1
}
clang=$(tool clang clang-14)
elf_ld=$(tool ld.lld ld.lld-14)
macho_ld=$(tool ld64.lld ld64.lld-14)
pe_ld=$(tool lld-link lld-link-14)
dlltool=$(tool llvm-dlltool llvm-dlltool-14)
strip=$(tool llvm-strip llvm-strip-14)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build OS_ARCH VERSION BUILD: writes the executable to $work/bin
build() {
    local platform=$1 version=$2 number=$3 target pic=-fno-pic
    case $platform in
        linux_amd64)   target=x86_64-unknown-linux-gnu ;;
        linux_arm64)   target=aarch64-unknown-linux-gnu ;;
        freebsd_amd64) target=x86_64-unknown-freebsd13.0 ;;
        darwin_amd64)  target=x86_64-apple-macos11 pic=-fPIC ;;
        darwin_arm64)  target=arm64-apple-macos11 pic=-fPIC ;;
        windows_amd64) target=x86_64-pc-windows-msvc ;;
        *) echo "make.sh: unknown platform $platform" >&2; return 1 ;;
    esac

    # Relative names only, so that no path of this machine can get into a file.
    # The linked file always has the same name: Mach-O signatures contain it.
    rm -rf "$work/build"
    mkdir "$work/build"
    cp "$src"/main.c "$src"/kernel32.def "$src"/libSystem.tbd "$work/build/"
    (
        cd "$work/build"
        "$clang" --target="$target" -std=c11 -Os -Wall -Wextra -Werror \
            -ffreestanding -fno-builtin -fno-stack-protector \
            -fno-asynchronous-unwind-tables -fno-ident -nostdinc "$pic" \
            -DVERSION="\"$version\"" -DBUILD="\"$number\"" -c main.c -o main.o
        case $platform in
            linux_* | freebsd_*)
                case $platform in
                    linux_amd64)   emulation=elf_x86_64 ;;
                    linux_arm64)   emulation=aarch64linux ;;
                    freebsd_amd64) emulation=elf_x86_64_fbsd ;; # sets OSABI 9
                esac
                "$elf_ld" -m "$emulation" -static -no-pie --build-id=none \
                    -z noseparate-code --hash-style=gnu \
                    -o terraform-provider-sample main.o
                # no .comment: it only names the tools
                "$strip" --strip-all --remove-section=.comment terraform-provider-sample
                ;;
            darwin_*)
                arch=x86_64
                if [ "$platform" = darwin_arm64 ]; then arch=arm64; fi
                "$macho_ld" -arch "$arch" -platform_version macos 11.0 11.0 \
                    -o terraform-provider-sample main.o libSystem.tbd
                ;;
            windows_amd64)
                "$dlltool" -m i386:x86-64 -d kernel32.def -l kernel32.lib
                "$pe_ld" -nologo -machine:x64 -subsystem:console -entry:start \
                    -nodefaultlib -opt:noref -timestamp:"$epoch" \
                    -out:terraform-provider-sample main.o kernel32.lib
                ;;
        esac
    )
    install -m 0755 "$work/build/terraform-provider-sample" "$work/bin"
}

# pack TARBALL FOLDER NAME...: archives the names in FOLDER, always to the same bytes
pack() {
    local tarball=$1 folder=$2
    shift 2
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" \
        --format=ustar -C "$folder" -cf - "$@" | gzip -n -9 >"$tarball"
}

exe() {
    case $1 in windows_*) echo .exe ;; esac
}

# first FOLDER VERSION BUILD OS_ARCH...: a release folder in the first name grammar
first() {
    local folder=$out/$1 version=$2 number=$3 platform name stage
    shift 3
    rm -rf "$folder"
    mkdir "$folder"
    for platform in "$@"; do
        build "$platform" "$version" "$number"
        name=terraform-provider-sample-v$version-${platform/_/-}-bin.tar.gz
        stage=$work/stage
        rm -rf "$stage"
        mkdir -p "$stage/terraform-provider-sample"
        install -m 0755 "$work/bin" \
            "$stage/terraform-provider-sample/terraform-provider-sample$(exe "$platform")"
        install -m 0644 "$src"/{LICENSE,README.md,CHANGELOG.md} "$stage/terraform-provider-sample/"
        pack "$folder/$name" "$stage" terraform-provider-sample
        (cd "$folder" && sha256sum "$name" >"$name.sha256")
    done
    install -m 0644 "$src/terraform-registry-manifest.json" "$folder/"
}

# second FOLDER VERSION BUILD OS_ARCH...: a release folder in the second name grammar
second() {
    local folder=$out/$1 version=$2 number=$3 platform stage binary
    shift 3
    rm -rf "$folder"
    mkdir "$folder"
    for platform in "$@"; do
        build "$platform" "$version" "$number"
        stage=$work/stage
        rm -rf "$stage"
        mkdir "$stage"
        binary=terraform-provider-sample_v$version$(exe "$platform")
        install -m 0755 "$work/bin" "$stage/$binary"
        install -m 0644 "$src"/{LICENSE,terraform-registry-manifest.json} "$stage/"
        pack "$folder/terraform-provider-sample_${version}_$platform.tar.gz" "$stage" \
            LICENSE "$binary" terraform-registry-manifest.json
    done
}

first release-1.2.0         1.2.0 1 linux_amd64 linux_arm64 darwin_arm64 windows_amd64
first release-1.2.0-more    1.2.0 1 darwin_amd64 freebsd_amd64
first release-1.2.0-rebuilt 1.2.0 2 linux_amd64
second release-1.10.0      1.10.0 1 linux_amd64 linux_arm64 darwin_arm64 windows_amd64
