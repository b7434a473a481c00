//! Amazon S3 server access logs.
//!
//! Fields are separated by spaces; some are in quotes, in which nothing is escaped:
//!
//! ```text
//! OWNER BUCKET [06/Feb/2019:00:00:38 +0000] IP REQUESTER ID REST.GET.OBJECT KEY "GET /KEY HTTP/1.1" 200 - SENT SIZE MS MS "REFERER" "AGENT" …
//! ```

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use super::record::{Dates, Line, Method, Part, Record, Since, is_early, status};

/// Reads a line; `None` if it is malformed.
pub(super) fn line<'a>(line: &'a [u8], dates: &mut Dates, since: Option<&Since>) -> Option<Line<'a>> {
    let mut rest = line;
    let (_owner, _bucket) = (word(&mut rest)?, word(&mut rest)?);
    rest = rest.strip_prefix(b"[")?;
    let (moment, after) = rest.split_at(memchr(b']', rest)?);
    rest = after.strip_prefix(b"] ")?;
    let (date, time) = moment.split_at(memchr(b':', moment)?);
    let date = dates.read(date, "%d/%b/%Y")?;
    // AWS writes UTC only.
    let time = time.strip_prefix(b":")?.strip_suffix(b" +0000")?;
    let is_early = is_early(since, date, time)?;
    let (_address, requester, _id) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
    let (operation, key) = (word(&mut rest)?, word(&mut rest)?);
    skip_request(&mut rest)?;
    let status = status(word(&mut rest)?)?;
    let _error = word(&mut rest)?;
    let (sent, size) = (number(&mut rest)?, number(&mut rest)?);
    let (_total, _own) = (number(&mut rest)?, number(&mut rest)?);
    if is_early {
        return Some(Line::Other);
    }
    // REST.GET.OBJECT, or WEBSITE.GET.OBJECT.
    let mut parts = operation.split(|byte| *byte == b'.').skip(1);
    let method = match (parts.next(), parts.next(), parts.next()) {
        (Some(b"GET"), Some(b"OBJECT"), None) => Method::Get,
        (Some(b"HEAD"), Some(b"OBJECT"), None) => Method::Head,
        _ => Method::Other,
    };
    if key == b"-" {
        return Some(Line::Other);
    }
    let agent = agent(rest);
    let mut record = Record::new(date, method, Cow::Borrowed(key), status, agent);
    record.is_cdn = agent.starts_with(b"Amazon CloudFront") || requester.starts_with(b"svc:cloudfront");
    if status == 206 {
        // The log has no ranges. One that has sent as much as there is was all of it.
        record.part = if sent == size && sent != b"-" { Part::First } else { Part::Unknown };
    }
    Some(Line::Request(record))
}

/// Takes the next field, and the space behind it.
fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (word, after) = rest.split_at(memchr(b' ', rest)?);
    *rest = after.get(1..)?;
    (!word.is_empty()).then_some(word)
}

/// Takes the next field, which is a number or a dash.
fn number<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    word(rest).filter(|word| *word == b"-" || word.iter().all(u8::is_ascii_digit))
}

/// Skips the request's line, which may have quotes in it: it ends with a quote before a status. Only behind its first quote
/// that may be without a number, as later fields are.
fn skip_request(rest: &mut &[u8]) -> Option<()> {
    if let Some(after) = rest.strip_prefix(b"- ") {
        *rest = after;
        return Some(());
    }
    let inside = rest.strip_prefix(b"\"")?;
    for (at, quote) in memchr_iter(b'"', inside).enumerate() {
        let Some(after) = inside[quote + 1..].strip_prefix(b" ") else { continue };
        let is_status = |end| (at == 0 || end == 3) && status(&after[..end]).is_some();
        if memchr(b' ', after).is_some_and(is_status) {
            *rest = after;
            return Some(());
        }
    }
    None
}

/// The user agent, from the referer on; empty if there is none. What a client wrote is not escaped: a quote cuts it off.
fn agent(rest: &[u8]) -> &[u8] {
    let after_referer = match rest.strip_prefix(b"\"") {
        Some(inside) => memchr::memmem::find(inside, b"\" ").map(|end| &inside[end + 2..]),
        None => memchr(b' ', rest).map(|end| &rest[end + 1..]),
    };
    let Some(inside) = after_referer.and_then(|text| text.strip_prefix(b"\"")) else { return &[] };
    &inside[..memchr(b'"', inside).unwrap_or(inside.len())]
}

#[cfg(test)]
mod tests {
    use super::super::record::Parser;
    use super::super::{Client, Since};
    use super::*;

    const KEY: &str =
        "tf/store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_amd64.zip";

    fn text(operation: &str, key: &str, answer: &str, agent: &str) -> String {
        format!(
            "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be registry [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - \
             3E57427F3EXAMPLE {operation} {key} \"GET /{key} HTTP/1.1\" {answer} 42 11 \"-\" \"{agent}\" - id= - \
             ECDHE-RSA-AES128-GCM-SHA256 - registry.s3.us-east-1.amazonaws.com TLSv1.3 - -"
        )
    }

    fn read(text: &str, since: Option<&str>) -> Option<(Method, String, u16, Part, Client, bool)> {
        let since = since.map(|text| Since::new(text.parse().unwrap()));
        match Parser::new(since).read(text.as_bytes()) {
            Line::Request(record) => {
                assert_eq!(record.date.to_string(), "2019-02-06");
                let path = String::from_utf8(record.path.to_vec()).unwrap();
                Some((record.method, path, record.status, record.part, record.client, record.is_cdn))
            }
            Line::Other => None,
            Line::Malformed => panic!("malformed: {text}"),
        }
    }

    #[test]
    fn requests_are_read() {
        let terraform = "Terraform/1.11.4 (+https://www.terraform.io)";
        let get = text("REST.GET.OBJECT", KEY, "200 - 500 500", terraform);
        let (method, path, status, part, client, is_cdn) = read(&get, None).unwrap();
        assert_eq!((method, &*path, status, part), (Method::Get, KEY, 200, Part::First));
        assert_eq!((client, is_cdn), (Client::Terraform, false));
        for (answer, part) in
            [("206 - 500 500", Part::First), ("206 - 100 500", Part::Unknown), ("206 - - -", Part::Unknown)]
        {
            assert_eq!(read(&text("REST.GET.OBJECT", KEY, answer, "x"), None).unwrap().3, part, "{answer}");
        }
        assert_eq!(read(&text("REST.HEAD.OBJECT", KEY, "200 - - 500", "x"), None).unwrap().0, Method::Head);
        assert_eq!(read(&text("REST.PUT.OBJECT", KEY, "200 - - 500", "x"), None).unwrap().0, Method::Other);
        assert!(read(&text("REST.GET.OBJECT", KEY, "200 - 1 1", "Amazon CloudFront"), None).unwrap().5);
        let by_service = get.replace("192.0.2.3 -", "192.0.2.3 svc:cloudfront.amazonaws.com");
        assert!(read(&by_service, None).unwrap().5);
        // Nothing is escaped.
        let quoted = get.replace("HTTP/1.1", "HTTP/1.1\" 20 \"").replace("\"-\"", "\"a \"b\"");
        assert_eq!(read(&quoted, None).unwrap().2, 200);
        assert_eq!(
            read("79 b [06/Feb/2019:00:00:38 +0000] - - 3E REST.GET.VERSIONING - - - - 1 - 7 1 -", None),
            None
        );
    }

    #[test]
    fn what_is_early_is_left_out() {
        let get = text("REST.GET.OBJECT", KEY, "200 - 500 500", "x");
        for (since, counted) in [
            ("2019-02-06T00:00:38Z", true),
            ("2019-02-06T00:00:39Z", false),
            ("2019-02-05T23:00:00Z", true),
            ("2019-02-06T01:00:38+01:00", true),
            ("2020-01-01T00:00:00Z", false),
        ] {
            assert_eq!(read(&get, Some(since)).is_some(), counted, "{since}");
        }
    }

    #[test]
    fn other_texts_are_malformed() {
        let good = text("REST.GET.OBJECT", KEY, "200 - 500 500", "x");
        for (from, to) in [
            ("[06/Feb", "06/Feb"),
            ("06/Feb", "36/Feb"),
            ("Feb", "Fev"),
            (":00:00:38", ":0:00:38"),
            ("+0000", "+0100"),
            (" 200 ", " 2000 "),
            (" 200 ", " abc "),
            ("\"GET", "GET"),
            ("500 500 42 11 \"-\" \"x\" -", "500"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(Parser::default().read(bad.as_bytes()), Line::Malformed, "{bad}");
        }
        let cut = good.find("500 500").unwrap();
        for end in 1..cut {
            assert_eq!(Parser::default().read(&good.as_bytes()[..end]), Line::Malformed, "{end}");
        }
    }
}
