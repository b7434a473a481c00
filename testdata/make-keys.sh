#!/usr/bin/env bash
#
# Makes the test keys in keys/ with GnuPG. They are worthless: their secret
# halves are public. Each says so in its user id.
#
# Usage:
#   ./make-keys.sh                      makes all of GnuPG's keys in keys/ again, then the README
#   ./make-keys.sh readme               writes keys/README.md from the keys that are there
#   ./make-keys.sh expiring DIR DAYS    writes DIR/expiring-soon.asc, a key that expires in
#                                       DAYS days from now; prints its primary key id
#
# The keys are committed: nobody needs this script to run the tests, but for a
# test that wants an expiring key. Made again, the keys are other keys: random
# as ever, with other key ids.
#
# Needs GnuPG 2.2 (tried with 2.2.40; Debian packages: gpg, gpg-agent, gpgconf).
# Three keys are beyond GnuPG 2.2 and are not made here: see
# keys/sequoia-keys.rs.txt.
#
# All but the expiring key are dated 2025-01-01 (the expired ones 2020-01-01),
# so that a machine with a somewhat wrong clock does not find them in its future.

set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
keys=$here/keys
passphrase=            # of the key at hand
now=                   # the time that GnuPG is told: empty for the true one

# One GnuPG home per key, gone at the end along with its agent.
GNUPGHOME=
end_home() {
    if [ -n "$GNUPGHOME" ]; then
        gpgconf --kill all || true
        rm -rf "$GNUPGHOME"
        GNUPGHOME=
    fi
}
trap end_home EXIT
new_home() {
    end_home
    GNUPGHOME=$(mktemp -d)
    export GNUPGHOME
    chmod 700 "$GNUPGHOME"
    passphrase=
    now=20250101T000000
}

run_gpg() {
    local options=(--batch --quiet --no-tty --pinentry-mode loopback --passphrase "$passphrase")
    if [ -n "$now" ]; then options+=(--faked-system-time "$now"); fi
    # GnuPG says on stderr that the time is faked, each time.
    gpg "${options[@]}" "$@" 2>"$GNUPGHOME/stderr" || {
        cat "$GNUPGHOME/stderr" >&2
        return 1
    }
}

# uid WHAT NAME: the user id
uid() { echo "tfreg worthless test key ($1) <worthless-$2@example.invalid>"; }

# primary UID ALGORITHM USAGE [EXPIRY]: makes a key; its fingerprint is then in $fpr
primary() {
    run_gpg --quick-generate-key "$1" "$2" "$3" "${4:-never}"
    fpr=$(fingerprint "$1")
}
fingerprint() { run_gpg --with-colons --list-keys "=$1" | awk -F: '$1 == "fpr" { print $10; exit }'; }

subkey() { run_gpg --quick-add-key "$fpr" "$1" "$2" "${3:-never}"; }

# edit FINGERPRINT LINE...: --edit-key with these answers to its questions
edit() {
    local key=$1
    shift
    printf '%s\n' "$@" | run_gpg --no-batch --command-fd 0 --edit-key "$key" >/dev/null
}

# export_key NAME [FINGERPRINT...]
export_key() {
    local name=$1
    shift
    run_gpg --armor --export-secret-keys "${@:-$fpr}" >"$keys/$name.asc"
}

# simple NAME WHAT ALGORITHM: a key without a subkey that certifies and signs
simple() {
    new_home
    primary "$(uid "$2" "$1")" "$3" sign
    export_key "$1"
}

make_all() {
    # --- those that tfreg should take ---

    simple rsa3072 "RSA 3072" rsa3072
    simple ed25519 "Ed25519" ed25519
    simple p256 "NIST P-256" nistp256
    simple p384 "NIST P-384" nistp384
    simple p521 "NIST P-521" nistp521

    # With the number of passphrase rounds that GnuPG finds fit for the machine.
    new_home
    passphrase="worthless-passphrase-1"
    primary "$(uid "RSA 3072, passphrase" rsa3072-passphrase)" rsa3072 sign
    export_key rsa3072-passphrase
    echo "$passphrase" >"$keys/rsa3072-passphrase.txt"

    # With few rounds, and blanks and signs in the passphrase.
    new_home
    echo "s2k-count 65536" >"$GNUPGHOME/gpg-agent.conf"
    passphrase="worthless passphrase, no. 2: \$HOME \"&\" 100%"
    primary "$(uid "Ed25519, passphrase" ed25519-passphrase)" ed25519 sign
    export_key ed25519-passphrase
    echo "$passphrase" >"$keys/ed25519-passphrase.txt"

    new_home
    primary "$(uid "Ed25519, signing subkey" ed25519-subkey)" ed25519 cert
    subkey ed25519 sign
    export_key ed25519-subkey

    new_home
    primary "$(uid "RSA 3072, offline primary" rsa-subkey-offline-primary)" rsa3072 cert
    subkey rsa3072 sign
    run_gpg --armor --export-secret-subkeys "$fpr" >"$keys/rsa-subkey-offline-primary.asc"

    new_home
    primary "$(uid "two signing subkeys" two-signing-subkeys)" ed25519 cert
    subkey ed25519 sign
    now=20250201T000000
    subkey rsa3072 sign
    export_key two-signing-subkeys

    new_home
    primary "$(uid "third party" third-party)" ed25519 sign
    local third=$fpr
    primary "$(uid "photo and third-party certification" with-photo)" ed25519 sign
    run_gpg --quick-add-uid "$fpr" "$(uid "second user id" with-photo-2)"
    base64 -d >"$GNUPGHOME/photo.jpg" <<'JPEG'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkz
ODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAFAABAAAAAAAA
AAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z
JPEG
    edit "$fpr" addphoto "$GNUPGHOME/photo.jpg" save
    now=20250201T000000
    run_gpg --default-key "$third" --quick-sign-key "$fpr"
    export_key with-photo-and-third-party

    new_home
    primary "$(uid "Ed25519 and an encryption subkey" encryption-too)" ed25519 sign
    subkey cv25519 encr
    export_key encryption-too

    # --- those that tfreg should refuse ---

    simple rsa1024 "RSA 1024" rsa1024
    simple dsa2048 "DSA 2048" dsa2048
    simple secp256k1 "secp256k1" secp256k1

    new_home
    primary "$(uid "public half only" public-only)" ed25519 sign
    run_gpg --armor --export "$fpr" >"$keys/public-only.asc"

    new_home
    now=20200101T000000
    primary "$(uid "expired" expired)" ed25519 sign 2020-01-31
    export_key expired

    # By the revocation certificate that GnuPG writes along with each key; the
    # colon before its armor is there to prevent use by accident.
    new_home
    primary "$(uid "revoked" revoked)" ed25519 sign
    sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$fpr.rev" >"$GNUPGHOME/revocation.asc"
    run_gpg --import "$GNUPGHOME/revocation.asc"
    export_key revoked

    # A version 4 primary key always can certify; this one can nothing else.
    new_home
    primary "$(uid "encryption only" cv25519-encrypt-only)" ed25519 cert
    subkey cv25519 encr
    export_key cv25519-encrypt-only

    new_home
    primary "$(uid "first of two" two-keys-1)" ed25519 sign
    local first=$fpr
    primary "$(uid "second of two" two-keys-2)" ed25519 sign
    export_key two-keys "$first" "$fpr"

    new_home
    primary "$(uid "revoked subkey" subkey-revoked)" ed25519 cert
    subkey ed25519 sign
    now=20250201T000000
    edit "$fpr" "key 1" revkey y 1 "" y save # 1: key has been compromised
    export_key subkey-revoked

    new_home
    now=20200101T000000
    primary "$(uid "expired subkey" subkey-expired)" ed25519 cert
    subkey ed25519 sign 2020-01-31
    export_key subkey-expired
}

# --- the README ---

# armor_fingerprint FILE: from the comment that Sequoia puts over its armor
armor_fingerprint() { sed -n '/^Comment: [0-9A-F ]*$/{s/^Comment: //;s/ //g;p;}' "$1" | tr -d '\n'; }

# row NAME TAKEN WHAT: a line of the table
# shellcheck disable=SC2016 # the backquotes are Markdown's
row() {
    local name=$1 taken=$2 what=$3 file=$keys/$1.asc ids fprs word=none
    if [ -e "$keys/$name.txt" ]; then word="in \`$name.txt\`"; fi
    # A v6 key cannot be listed by GnuPG 2.2, nor can a key without a user id.
    fprs=$(armor_fingerprint "$file")
    if [ -n "$fprs" ]; then
        if [ "$name" = v6 ]; then ids=${fprs:0:16}; else ids=${fprs: -16}; fi
    else
        fprs=$(gpg --batch --with-colons --show-keys "$file" 2>/dev/null |
            awk -F: '$1 == "pub" || $1 == "sec" { p = 1; next } p && $1 == "fpr" { print $10; p = 0 }')
        ids=$(awk '{ print substr($0, 25) }' <<<"$fprs")
    fi
    printf '| `%s.asc` | %s | %s | %s | %s | %s |\n' "$name" "$taken" "$what" \
        "$(join "$ids")" "$(join "$fprs")" "$word"
}
# shellcheck disable=SC2001,SC2016
join() { sed 's/.*/`&`/' <<<"$1" | paste -sd ' '; }

# signing_id NAME N: the key id of the Nth subkey that signs
signing_id() {
    gpg --batch --with-colons --show-keys "$keys/$1.asc" 2>/dev/null |
        awk -F: -v n="$2" '($1 == "sub" || $1 == "ssb") && $12 ~ /s/ && ++i == n { print "`" $5 "`" }'
}

write_readme() {
    new_home
    {
        cat <<'TEXT'
# Test keys

**These keys are worthless.** Their secret halves are public, here. Never sign
anything with them but the tests' own files, and never trust them. Each says
"tfreg worthless test key" in its user id (`no-userid.asc` has none to say it in).

Made by `../make-keys.sh` (GnuPG 2.2.40), which also writes this file; three
are made by `sequoia-keys.rs.txt` (Sequoia 2.4.2), as GnuPG 2.2 cannot. All are
armored secret keys (but `public-only.asc`), of version 4 (but `v6.asc`), dated
2025-01-01 and without expiry (but those that are about it).

A passphrase is the first line of the `.txt` file, without its newline.

"Taken" tells whether tfreg should take the key for signing.

| File | Taken | What it is | Primary key id | Fingerprint | Passphrase |
|------|-------|------------|----------------|-------------|------------|
TEXT
        row rsa3072 yes "RSA 3072, certifies and signs"
        row rsa3072-passphrase yes "RSA 3072, certifies and signs; the usual number of passphrase rounds"
        row ed25519 yes "Ed25519 (EdDSA, algorithm 22), certifies and signs"
        row ed25519-passphrase yes "Ed25519, certifies and signs; few passphrase rounds"
        row ed25519-subkey yes "Ed25519 primary that only certifies; Ed25519 subkey $(signing_id ed25519-subkey 1) signs"
        row rsa-subkey-offline-primary yes "RSA 3072; the primary's secret part is not here (gnu-dummy); RSA 3072 subkey $(signing_id rsa-subkey-offline-primary 1) signs"
        row p256 yes "ECDSA over NIST P-256, certifies and signs"
        row p384 yes "ECDSA over NIST P-384, certifies and signs"
        row p521 yes "ECDSA over NIST P-521, certifies and signs"
        row two-signing-subkeys yes "Ed25519 primary that only certifies; two subkeys sign: Ed25519 $(signing_id two-signing-subkeys 1) of 2025-01-01 and RSA 3072 $(signing_id two-signing-subkeys 2) of 2025-02-01"
        row with-photo-and-third-party yes "Ed25519, certifies and signs; two user ids and a photo, all certified by another key (which is not here) as well"
        row encryption-too yes "Ed25519, certifies and signs; Curve25519 subkey encrypts"
        row public-only no "Ed25519, certifies and signs: public key only"
        row expired no "Ed25519, made on 2020-01-01, expired on 2020-01-31"
        row revoked no "Ed25519, revoked (no reason given)"
        row rsa1024 no "RSA 1024: too weak"
        row dsa2048 no "DSA 2048"
        row secp256k1 no "ECDSA over secp256k1"
        row cv25519-encrypt-only no "Ed25519 primary that only certifies; Curve25519 subkey encrypts: nothing signs"
        row two-keys no "two Ed25519 secret keys in one file"
        row subkey-revoked no "Ed25519 primary that only certifies; its only signing subkey $(signing_id subkey-revoked 1) is revoked (compromised)"
        row subkey-expired no "Ed25519 primary that only certifies; its only signing subkey $(signing_id subkey-expired 1) expired on 2020-01-31"
        row v6 no "version 6 (RFC 9580), Ed25519 (algorithm 27), certifies and signs"
        row v4-ed25519-alg27 no "version 4, RFC 9580's Ed25519 (algorithm 27), certifies and signs"
        row no-userid no "Ed25519 (EdDSA), certifies and signs by a direct-key signature; no user id"
        cat <<'TEXT'

A key that expires soon is made when a test needs it:

    ../make-keys.sh expiring DIR DAYS     # writes DIR/expiring-soon.asc
TEXT
    } >"$keys/README.md.new"
    mv "$keys/README.md.new" "$keys/README.md"
}

expiring() {
    local dir=$1 days=$2
    if ! [[ $days =~ ^[1-9][0-9]*$ ]]; then
        echo "make-keys.sh: DAYS is a whole number from 1 up, not '$days'" >&2
        return 2
    fi
    mkdir -p "$dir"
    keys=$(cd "$dir" && pwd)
    new_home
    now=
    primary "$(uid "expiring soon" expiring-soon)" ed25519 sign "${days}d"
    export_key expiring-soon
    echo "${fpr: -16}"
}

case "${1:-all} $#" in
    "all 0") mkdir -p "$keys"; make_all; write_readme ;;
    "readme 1") write_readme ;;
    "expiring 3") expiring "$2" "$3" ;;
    *) sed -n '/^# Usage:/,/^#$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
