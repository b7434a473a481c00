//! Numbers in header fields: octal as POSIX defines it, and base-256 as GNU defines it.

use super::{Fault, shown};

/// The forms that a field may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Octal,
    OctalOrBase256,
}

const OCTAL: &str = "octal digits, spaces before them, spaces or NUL bytes behind them";
const EITHER: &str = "octal digits, spaces before them, spaces or NUL bytes behind them; or base-256 that begins with 0x80 and is \
                      no larger than 2^63";

/// Parses the number in a header's field, which messages call `name`.
pub(super) fn read(name: &str, field: &[u8], form: Form) -> Result<u64, Fault> {
    let value = match (field, form) {
        ([0x80, number @ ..], Form::OctalOrBase256) => base_256(number),
        _ => octal(field),
    };
    value.ok_or_else(|| {
        let expected = if form == Form::Octal { OCTAL } else { EITHER };
        Fault::new(
            format!("its {name} is no number that all tar programs read alike"),
            shown(field),
            expected,
        )
    })
}

/// Only NUL bytes mean 0, because unused fields are often left empty.
fn octal(field: &[u8]) -> Option<u64> {
    if field.iter().all(|byte| *byte == 0) {
        return Some(0);
    }
    let digits = field.trim_ascii_start();
    // `trim_ascii_start` also removes tabs and line ends.
    if field[..field.len() - digits.len()].iter().any(|byte| *byte != b' ') {
        return None;
    }
    let count = digits.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, rest) = digits.split_at(count);
    if digits.is_empty() || rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(8)?.checked_add(u64::from(digit - b'0')))
}

fn base_256(number: &[u8]) -> Option<u64> {
    let value = number
        .iter()
        .try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte)))?;
    (value <= i64::MAX.unsigned_abs()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_has_one_meaning() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"77777777", 0o77_777_777),
            (b"0\0\0\0\0\0\0\0", 0),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"12 \0 \0 \0", 0o12),
        ] {
            assert_eq!(read("x", field, Form::Octal), Ok(value), "{}", field.escape_ascii());
        }
        for field in [
            &b"        "[..],
            b"+0000644",
            b"-0000644",
            b"\x000000644",
            b"0000648\0",
            b"644\0garb",
            b"6 44\0\0\0\0",
            b"\t000644\0",
            b"0o644\0\0\0",
            b"6_44\0\0\0\0",
            b"\x80\0\0\0\0\0\x01\xa4",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(read("x", field, Form::Octal).is_err(), "{}", field.escape_ascii());
        }
    }

    #[test]
    fn base_256_begins_with_one_byte() {
        let read = |field: &[u8]| read("x", field, Form::OctalOrBase256).ok();
        assert_eq!(read(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(read(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Some(i64::MAX.unsigned_abs()));
        assert_eq!(read(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), None);
        assert_eq!(read(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"), None);
        for first in [0x81, 0xc0, 0xfe, 0xff] {
            assert_eq!(read(&[first, 0, 0, 0, 0, 0, 0, 1]), None, "{first:#x}");
        }
        assert_eq!(read(b"00000000017\0"), Some(15));
    }
}
