//! Records of pax headers (POSIX.1-2017, pax, "pax Header Block").

use super::header::SPARSE;
use super::{Fault, shown};

/// The type of a keyword's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// The entry's name.
    Path,
    /// The size of its data, in decimal digits.
    Size,
    /// Text in UTF-8 without NUL bytes.
    Text,
    /// A decimal number of 32 bits at most.
    Id,
    /// Seconds, with a fraction or without one.
    Time,
    /// Any bytes: the values of extended attributes.
    Bytes,
}

/// POSIX's keywords that a global header may have too: they do not affect a file's contents or name.
const HARMLESS: &[(&str, Value)] = &[
    ("atime", Value::Time),
    ("comment", Value::Text),
    ("ctime", Value::Time),
    ("gid", Value::Id),
    ("gname", Value::Text),
    ("mtime", Value::Time),
    ("uid", Value::Id),
    ("uname", Value::Text),
];

/// POSIX's keywords that are for one entry.
const ENTRY: &[(&str, Value)] = &[("path", Value::Path), ("size", Value::Size)];

/// Keywords of the programs that write pax headers, as libarchive, star, SELinux and Node.js spell them. None of them
/// changes the name, size, mode or contents that any program reads.
const VENDORS: &[(&str, Value)] = &[
    ("LIBARCHIVE.creationtime", Value::Time),
    ("NODETAR.depth", Value::Id),
    ("NODETAR.nlink", Value::Id),
    ("RHT.security.selinux", Value::Text),
    ("SCHILY.dev", Value::Text),
    ("SCHILY.fflags", Value::Text),
    ("SCHILY.ino", Value::Text),
    ("SCHILY.nlink", Value::Text),
];

/// The prefixes of keywords for extended attributes, whose names follow.
const ATTRIBUTES: &[&str] = &["LIBARCHIVE.xattr.", "SCHILY.xattr."];

/// The values of a pax header for the next entry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Records {
    /// Its name.
    pub(super) path: Option<Vec<u8>>,
    /// The size of its data.
    pub(super) size: Option<u64>,
}

/// Reads the data of a pax header.
pub(super) fn read(data: &[u8], is_global: bool) -> Result<Records, Fault> {
    // Python searches for it anywhere in the data.
    if find(data, b"hdrcharset=") {
        return Err(unsupported("hdrcharset"));
    }
    if data.is_empty() {
        return Err(Fault::new("its pax header is empty", "0 bytes", "records"));
    }
    let mut records = Records::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (keyword, value, behind) = record(rest)?;
        rest = behind;
        if seen.contains(&keyword) {
            return Err(Fault::new(
                "its pax header has a keyword twice",
                shown(keyword.as_bytes()),
                "each keyword once",
            ));
        }
        seen.push(keyword);
        let kind = kind(keyword, is_global)?;
        check(keyword, value, kind)?;
        match kind {
            Value::Path => records.path = Some(value.to_vec()),
            Value::Size => records.size = decimal(value),
            Value::Text | Value::Id | Value::Time | Value::Bytes => {}
        }
    }
    Ok(records)
}

/// `LENGTH KEYWORD=VALUE\n`; LENGTH is the length of the whole record, in decimal digits.
fn record(data: &[u8]) -> Result<(&str, &[u8], &[u8]), Fault> {
    let malformed = || {
        Fault::new(
            "its pax header has a malformed record",
            shown(&data[..data.len().min(60)]),
            "LENGTH KEYWORD=VALUE and a line end, with the exact length",
        )
    };
    let cut = || -> Option<(&str, &[u8], &[u8])> {
        let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 9 || data[0] == b'0' {
            return None;
        }
        let length: usize = std::str::from_utf8(&data[..digits]).ok()?.parse().ok()?;
        let (record, behind) = data.split_at_checked(length)?;
        let body = record.get(digits..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
        let equals = body.iter().position(|byte| *byte == b'=')?;
        let keyword = std::str::from_utf8(&body[..equals]).ok()?;
        Some((keyword, &body[equals + 1..], behind))
    };
    let (keyword, value, behind) = cut().ok_or_else(malformed)?;
    if keyword.is_empty() || !keyword.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(
            "its pax header has a keyword that tar programs read differently",
            shown(keyword.as_bytes()),
            "a keyword without spaces and control characters",
        ));
    }
    Ok((keyword, value, behind))
}

fn kind(keyword: &str, is_global: bool) -> Result<Value, Fault> {
    let named =
        |list: &[(&str, Value)]| list.iter().find(|(name, _)| *name == keyword).map(|(_, value)| *value);
    if let Some(value) = named(HARMLESS) {
        return Ok(value);
    }
    if is_global {
        return Err(Fault::new(
            "a global pax header changes more than times and owners",
            shown(keyword.as_bytes()),
            "comment, times and owners",
        )
        .remedy("make the tarball without a global pax header for this keyword"));
    }
    if let Some(value) = named(ENTRY) {
        return Ok(value);
    }
    if let Some(value) = named(VENDORS) {
        return Ok(value);
    }
    if ATTRIBUTES.iter().any(|start| keyword.len() > start.len() && keyword.starts_with(start)) {
        return Ok(Value::Bytes);
    }
    Err(unsupported(keyword))
}

fn unsupported(keyword: &str) -> Fault {
    let fault = |problem: &str, remedy: &str| {
        Fault::new(problem, shown(keyword.as_bytes()), "names, times, owners and extended attributes")
            .remedy(remedy)
    };
    if keyword.starts_with("GNU.sparse.") || ["SCHILY.realsize", "SUN.holesdata"].contains(&keyword) {
        return fault("it is a sparse file", SPARSE);
    }
    if keyword.starts_with("SCHILY.acl.") {
        let remedy = "make the tarball with --no-acls (bsdtar), or without --acls (GNU tar)";
        return fault(
            "its pax header has an access control list, which changes the mode for some tar programs",
            remedy,
        );
    }
    fault(
        "its pax header has a keyword that is not supported",
        "make the tarball again with tar --format=ustar",
    )
}

fn check(keyword: &str, value: &[u8], kind: Value) -> Result<(), Fault> {
    let ok = match kind {
        Value::Bytes => true,
        Value::Text => !value.contains(&0) && std::str::from_utf8(value).is_ok(),
        // The path itself is checked where all paths are.
        Value::Path => !value.is_empty() && !value.contains(&0),
        Value::Size => decimal(value).is_some(),
        Value::Id => decimal(value).is_some_and(|id| u32::try_from(id).is_ok()),
        Value::Time => std::str::from_utf8(value).is_ok_and(is_time),
    };
    if ok {
        return Ok(());
    }
    let expected = match kind {
        Value::Bytes | Value::Text => "text in UTF-8 without NUL bytes",
        Value::Path => "a name without NUL bytes",
        Value::Size => "a decimal number",
        Value::Id => "a decimal number of 32 bits at most",
        Value::Time => "decimal seconds, such as 1700000000.5",
    };
    Err(Fault::new(format!("its pax header has a bad value for {keyword:?}"), shown(value), expected))
}

fn decimal(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok().filter(|text| is_digits(text))?.parse().ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `-?[0-9]{1,12}(\.[0-9]{1,20})?`
fn is_time(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(seconds) && seconds.len() <= 12 && is_digits(fraction) && fraction.len() <= 20
}

fn find(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record with its length.
    fn record_of(text: &str) -> String {
        let mut length = text.len() + 3;
        while length != text.len() + 2 + length.to_string().len() {
            length += 1;
        }
        format!("{length} {text}\n")
    }

    fn read_text(text: &str) -> Result<Records, String> {
        read(text.as_bytes(), false).map_err(|fault| fault.problem)
    }

    #[test]
    fn records_are_well_formed() {
        let path = |path: &str| Ok(Records { path: Some(path.as_bytes().to_vec()), size: None });
        assert_eq!(read_text("12 path=a b\n"), path("a b"));
        assert_eq!(read_text("12 path=a b\n20 mtime=1700000000\n"), path("a b"));
        for text in [
            "",
            "12 path=a b",
            "13 path=a b\n",
            "11 path=a b\n",
            "012 path=ab\n",
            "+12 path=ab\n",
            " 12 path=ab\n",
            "12  path=ab\n",
            "12\tpath=a b\n",
            "9 path a\n",
            "12 path=a b\n\0",
            "12 path=a b\nx",
            "12 path=a b\n12 path=a b\n",
            "99999999999999999999 path=a\n",
            "3 \n",
            "4 =\n",
            "1 ",
        ] {
            assert!(read_text(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn keywords_and_values_are_known() {
        for text in [
            "comment=",
            "mtime=1700000000.5",
            "atime=-1",
            "uid=4294967295",
            "gname=é",
            "SCHILY.xattr.user.x=\0\u{1}\n",
            "LIBARCHIVE.creationtime=1.25",
            "LIBARCHIVE.xattr.com.apple.provenance=AQ",
        ] {
            assert_eq!(read_text(&record_of(text)), Ok(Records::default()), "{text:?}");
        }
        for text in [
            "path=",
            "path=a\0b",
            " path=a",
            "path =a",
            "Path=a",
            "uid=+1",
            "uid=1_0",
            "uid=",
            "uid=4294967296",
            "mtime=1.",
            "mtime=.5",
            "mtime=nan",
            "mtime=+1",
            "mtime=1e9",
            "mtime=",
            "mtime=9999999999999",
            "size=+1",
            "size=1k",
            "size=",
            "linkpath=a",
            "GNU.sparse.major=1",
            "SCHILY.realsize=1",
            "SCHILY.acl.access=user::---",
            "SUN.holesdata=0 1",
            "hdrcharset=BINARY",
            "comment=20 hdrcharset=BINARY",
            "VENDOR.x=y",
            "uname=\0",
            "SCHILY.xattr.=x",
        ] {
            assert!(read_text(&record_of(text)).is_err(), "{text:?}");
        }
        assert_eq!(read_text(&record_of("size=7")).unwrap().size, Some(7));
        let global = |text: &str| read(record_of(text).as_bytes(), true);
        assert!(global("comment=x").is_ok() && global("mtime=1").is_ok());
        for text in ["path=a", "size=7", "linkpath=a", "SCHILY.dev=1"] {
            assert!(global(text).unwrap_err().problem.contains("global"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(data in prop::collection::vec(any::<u8>(), 0..200), is_global in any::<bool>()) {
            let _ = read(&data, is_global);
        }

        #[test]
        fn nearly_right_headers_do_not_panic(data in "[0-9]{1,3}[ =]{0,2}(path|mtime|uid)?=?[a-z0-9.]{0,9}\\n?.{0,20}") {
            let _ = read(data.as_bytes(), false);
        }
    }
}
