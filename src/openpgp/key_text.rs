//! Decodes the text of a key as pipelines, editors and consoles pass it on: unambiguous forms are accepted, others are
//! named.
//!
//! Some secret stores keep only one line, so keys are passed as base64 of the armored or the binary key, with `\n` for
//! line ends, or in quotes. PowerShell writes UTF-16; YAML indents. None of these forms is ambiguous, because armor and
//! base64 have no backslash, no quote, and only ASCII characters.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The most nested encodings that are removed: base64 of base64 occurs in practice, deeper nesting does not.
const LAYERS: usize = 3;
/// The shortest text that may be a key in base64: a third of the smallest one.
const SHORTEST: usize = 48;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns the key in a text: armored, or binary. Other texts are returned as they are, without quotes and encodings.
pub(super) fn unwrap(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = tidy(&plain(bytes));
    for _ in 0..LAYERS {
        if contains(&text, b"-----BEGIN PGP") || packet(&text).is_some() {
            break;
        }
        let Some(inner) = from_base64(&text) else { break };
        text = tidy(&plain(&inner));
    }
    text
}

/// Whether a text holds a secret key, or a part of one, in any encoding: messages must not repeat such a text.
#[must_use]
pub fn holds_secret_key(bytes: &[u8]) -> bool {
    let text = unwrap(bytes);
    let is_secret = |tag: u8| tag == 5 || tag == 7;
    contains(&text, b"PRIVATE KEY")
        || contains(&text, b"AGE-SECRET-KEY-")
        || packet(&text).is_some_and(is_secret)
        || decoded(&text).is_some_and(|inner| packet(&inner).is_some_and(is_secret))
        || is_body(&text)
}

/// Recognises a text that is not a key, and says what to do about it; `None` if it is not recognised.
pub(super) fn recognise(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = unwrap(bytes);
    let other = [
        (&b"-----BEGIN OPENSSH PRIVATE KEY"[..], "an OpenSSH key", OTHER_KEY),
        (b"PRIVATE KEY-----", "a private key of another kind than OpenPGP (PEM)", OTHER_KEY),
        (b"-----BEGIN CERTIFICATE", "an X.509 certificate", OTHER_KEY),
        (b"AGE-SECRET-KEY-", "an age key", OTHER_KEY),
        (b"minisign", "a minisign key", OTHER_KEY),
    ];
    if !contains(&text, b"-----BEGIN PGP") {
        for (mark, found, remedy) in other {
            if contains(&text, mark) {
                return Some((found, remedy));
            }
        }
    }
    if contains(&text, b"-----BEGIN PGP SIGNATURE") || contains(&text, b"-----BEGIN PGP MESSAGE") {
        return Some(("OpenPGP data that is not a key: a signature or a message", "export the key itself"));
    }
    if is_file_name(&text) {
        return Some((
            "one short line, which looks like a file's name",
            "name a key's file by --signing-key-file FILE; the variable holds the key's text",
        ));
    }
    if text.starts_with(b"$") || text.starts_with(b"${{") || text.starts_with(b"((") {
        return Some((
            "the name of a variable that was not replaced by its value",
            "check how the pipeline writes the name of its secret",
        ));
    }
    None
}

const OTHER_KEY: &str = "give an OpenPGP key, such as GnuPG makes; it cannot be converted from another kind";

/// Removes the encoding of a text: UTF-16 and byte order marks.
fn plain(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let unit = |little: bool| {
        move |pair: &[u8]| {
            let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
            if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
        }
    };
    let utf16 = |bytes: &[u8], little: bool| {
        let units = bytes.chunks(2).map(unit(little));
        let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        text
    };
    // In UTF-16 every second byte of ASCII text is zero.
    let zeros = |from: usize| {
        bytes.len() >= 8
            && bytes.len().is_multiple_of(2)
            && bytes.iter().skip(from).step_by(2).take(32).all(|byte| *byte == 0)
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Zeroizing::new(rest.to_vec()),
        [0xff, 0xfe, rest @ ..] => utf16(rest, true),
        [0xfe, 0xff, rest @ ..] => utf16(rest, false),
        _ if zeros(1) => utf16(bytes, true),
        _ if zeros(0) => utf16(bytes, false),
        _ => Zeroizing::new(bytes.to_vec()),
    }
}

/// Removes the changes made by quoting, indenting and storing on one line.
fn tidy(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let whole = bytes.trim_ascii();
    if packet(whole).is_some() {
        return Zeroizing::new(bytes.to_vec());
    }
    let text = unquoted(whole);
    if text.iter().any(|byte| byte & 0x80 != 0) {
        let is_as_it_was = text.len() == whole.len();
        return Zeroizing::new(if is_as_it_was { bytes } else { text }.to_vec());
    }
    let mut tidied = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (written, left) = match (byte, after.first()) {
            (b'\\', Some(b'n')) => (b'\n', after.get(1..).unwrap_or_default()),
            (b'\\', Some(b'r')) => (b'\r', after.get(1..).unwrap_or_default()),
            // Some JSON writers escape slashes.
            (b'\\', Some(b'/')) => (b'/', after.get(1..).unwrap_or_default()),
            _ => (byte, after),
        };
        tidied.push(written);
        rest = left;
    }
    let text = tidied.trim_ascii();
    if !contains(text, b"-----BEGIN PGP") {
        return Zeroizing::new(text.to_vec());
    }
    let mut lines = Zeroizing::new(Vec::with_capacity(text.len()));
    for line in text.split(|byte| *byte == b'\n') {
        lines.extend_from_slice(line.trim_ascii());
        lines.push(b'\n');
    }
    lines
}

/// Removes the quotes around a text, and a byte order mark that follows the quotes or white space.
fn unquoted(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [first @ (b'"' | b'\''), inner @ .., last] if first == last => inner.trim_ascii(),
            [0xef, 0xbb, 0xbf, rest @ ..] => rest.trim_ascii(),
            _ => return text,
        };
    }
}

/// Decodes a text in base64 (of either alphabet, with any line breaks), if the result is a key or base64 again.
fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let inner = decoded(text)?;
    let known =
        contains(&plain(&inner), b"-----BEGIN PGP") || packet(&inner).is_some() || decoded(&inner).is_some();
    known.then_some(inner)
}

fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let letters = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    let letters = Zeroizing::new(letters.collect::<Vec<u8>>());
    // The body of an armored key ends with a checksum of its own, on a line that may have been joined to the others. In
    // base64 itself no letter follows the padding.
    let letters = match letters.as_slice() {
        [body @ .., b'=', a, b, c, d] if ![a, b, c, d].contains(&&b'=') => body,
        all => all,
    };
    if letters.len() < SHORTEST {
        return None;
    }
    // A text that was cut off, or has one letter too many, is still recognised as a key.
    let whole = letters.get(..letters.len() - usize::from(letters.len() % 4 == 1))?;
    BASE64.decode(whole).ok().map(Zeroizing::new)
}

/// Reads the tag of the key packet that bytes begin with; `None` if they do not begin with a valid one (RFC 9580,
/// sections 4.2 and 5.5.2).
fn packet(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    let (tag, header) = match first {
        0xc0.. => {
            let length = match *bytes.get(1)? {
                0..192 => 1,
                192..224 => 2,
                255 => 5,
                _ => return None,
            };
            (first & 0x3f, 1 + length)
        }
        0x80.. => {
            let length = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            ((first >> 2) & 0xf, 1 + length)
        }
        _ => return None,
    };
    let version = *bytes.get(header)?;
    // The creation time comes in between.
    let algorithm = *bytes.get(header + 5)?;
    let plausible =
        matches!(version, 2..=6) && matches!(algorithm, 1..=3 | 16..=28) && matches!(tag, 5 | 6 | 7 | 14);
    plausible.then_some(tag)
}

/// Whether a text is the body of an armored text, or a part of it: lines of one length, in base64.
fn is_body(text: &[u8]) -> bool {
    let lines: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).filter(|line| !line.is_empty()).collect();
    let letters = |line: &[u8]| line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte));
    if let [line] = lines.as_slice() {
        // A single line of the middle, with the line lengths of GnuPG and others.
        return matches!(line.len(), 64 | 76) && letters(line) && looks_random(line);
    }
    let [first, .., _] = lines.as_slice() else { return false };
    // The last ones are the rest of the body and its checksum.
    let equal = lines.iter().take_while(|line| line.len() == first.len()).count();
    first.len() >= SHORTEST && lines.iter().all(|line| letters(line)) && equal + 2 >= lines.len()
}

/// Whether letters change between upper case, lower case and digits as often as in random text, which names do not. A
/// digest, in hexadecimal or (SHA-256) in base64, is not a secret.
#[must_use]
pub fn looks_random(run: &[u8]) -> bool {
    // 32 bytes have 43 letters, and one padding character.
    const DIGEST: usize = 43;
    let is_digest = run.strip_suffix(b"=").unwrap_or(run).len() == DIGEST;
    if is_digest || run.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let kind = |byte: u8| match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let changes = run.windows(2).filter(|pair| matches!(pair, [a, b] if kind(*a) != kind(*b))).count();
    run.iter().any(u8::is_ascii_digit) && changes * 5 >= run.len() * 2
}

/// Whether a text is one line that is too short for a key, and begins or ends like a file's name.
fn is_file_name(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let extension = std::path::Path::new(text).extension().and_then(|extension| extension.to_str());
    let of_keys = ["asc", "gpg", "pgp", "key", "pem", "txt", "sec", "priv"];
    text.len() < 256
        && !text.contains('\n')
        && (extension.is_some_and(|extension| of_keys.contains(&extension.to_ascii_lowercase().as_str()))
            || ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start)))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn armored() -> String {
        std::fs::read_to_string(format!("{}/testdata/keys/ed25519.asc", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn body() -> Vec<String> {
        let text = armored();
        text.lines().filter(|line| !line.is_empty() && !line.contains("---")).map(str::to_owned).collect()
    }

    #[test]
    fn parts_of_a_secret_key_are_known_for_what_they_are() {
        let body = body();
        let lines = &body[..body.len() - 1];
        for (row, text) in [
            ("body", body.join("\n")),
            ("body without its checksum", lines.join("\n")),
            ("body in one line", body.concat()),
            ("body in one line without its checksum", lines.concat()),
            ("body with backslash-n", body.join("\\n")),
            ("first line", body[0].clone()),
            ("second line", body[1].clone()),
            ("without the first line", body[1..].join("\n")),
            ("without the last lines", body[1..4].join("\n")),
            ("base64", BASE64.encode(armored())),
            ("base64 of base64", BASE64.encode(BASE64.encode(armored()))),
            (
                "base64 of UTF-16",
                BASE64.encode(armored().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
            ),
            ("PEM", "-----BEGIN RSA PRIVATE KEY-----\nMIIE".to_owned()),
        ] {
            assert!(holds_secret_key(text.as_bytes()), "{row}");
        }
    }

    #[test]
    fn names_and_values_are_no_secret_keys() {
        for text in [
            "",
            "key.asc",
            "s3://registry-bucket/prefix",
            "local/site/registry/production/artifacts/of/the/nightly/build",
            "/home/User1/Projects/AcmeTerraformProviderSample/build/output/dir",
            "terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz",
            "https://registry.example.com/",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "linux_amd64,linux_arm64\ndarwin_arm64",
            "correct horse battery staple",
        ] {
            assert!(!holds_secret_key(text.as_bytes()), "{text}");
        }
        let public =
            std::fs::read(format!("{}/testdata/keys/public-only.asc", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(!holds_secret_key(&public));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (unwrap(&bytes), holds_secret_key(&bytes), recognise(&bytes));
        }

        #[test]
        fn no_wrapped_text_panics(text in r#"["']?[A-Za-z0-9+/=_\\ \n-]{0,300}["']?"#) {
            let _ = (unwrap(text.as_bytes()), holds_secret_key(text.as_bytes()), recognise(text.as_bytes()));
        }

        #[test]
        fn wrappings_come_off(layers in prop::collection::vec(0..6_usize, 0..3)) {
            let mut text = armored().into_bytes();
            for layer in layers {
                let string = String::from_utf8(text.clone()).unwrap_or_default();
                text = match layer {
                    0 => BASE64.encode(&text).into_bytes(),
                    1 => [b"\"", text.as_slice(), b"\""].concat(),
                    2 if !string.is_empty() => string.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                    3 => format!("    {}\r\n", string.trim_end().replace('\n', "\r\n    ")).into_bytes(),
                    4 if !string.is_empty() => [b"\xef\xbb\xbf", text.as_slice()].concat(),
                    _ => BASE64.encode(&text).replace('+', "-").replace('/', "_").trim_end_matches('=').as_bytes().to_vec(),
                };
                if String::from_utf8(text.clone()).is_err() || text.contains(&0) {
                    break;
                }
            }
            if !text.is_empty() {
                let found = unwrap(&text);
                let (found, armored) = (String::from_utf8_lossy(&found).into_owned(), armored());
                prop_assert_eq!(found.trim(), armored.trim());
            }
        }
    }
}
