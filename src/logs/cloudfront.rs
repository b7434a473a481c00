//! CloudFront standard logs: lines with tabs under a `#Fields` header, or one JSON object a line (version 2). The fields have
//! the same names in both, and version 2 lets users choose among them.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use memchr::memchr_iter;
use serde::Deserialize;

use super::record::{Dates, Line, Method, Part, Record, Since, is_early, status};

/// Where the fields are that are needed.
#[derive(Debug, Default)]
pub(super) struct Columns {
    date: Option<usize>,
    time: Option<usize>,
    seconds: Option<usize>,
    milliseconds: Option<usize>,
    method: Option<usize>,
    path: Option<usize>,
    status: Option<usize>,
    agent: Option<usize>,
    range_start: Option<usize>,
    count: usize,
}

impl Columns {
    /// Reads what follows `#Fields:`.
    pub(super) fn read(names: &[u8]) -> Self {
        let mut columns = Self::default();
        let names = names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
        for (at, name) in names.enumerate() {
            columns.count = at + 1;
            let column = match name {
                b"date" => &mut columns.date,
                b"time" => &mut columns.time,
                b"timestamp" => &mut columns.seconds,
                b"timestamp(ms)" => &mut columns.milliseconds,
                b"cs-method" => &mut columns.method,
                b"cs-uri-stem" => &mut columns.path,
                b"sc-status" => &mut columns.status,
                b"cs(User-Agent)" => &mut columns.agent,
                b"sc-range-start" => &mut columns.range_start,
                _ => continue,
            };
            *column = Some(at);
        }
        columns
    }
}

/// The most columns that are looked at; a log has 33, and version 2 may add as many.
const MAX_COLUMNS: usize = 128;

/// Reads a line with tabs; `None` if it is malformed.
pub(super) fn tabs<'a>(
    line: &'a [u8],
    columns: &Columns,
    dates: &mut Dates,
    since: Option<&Since>,
) -> Option<Line<'a>> {
    let mut fields: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
    let (mut count, mut start) = (0, 0);
    for end in memchr_iter(b'\t', line).chain([line.len()]) {
        *fields.get_mut(count)? = &line[start..end];
        count += 1;
        start = end + 1;
    }
    // Fields may be added at the end, as the documentation says.
    if count < columns.count {
        return None;
    }
    let field = |column: Option<usize>| column.map(|at| fields[at]);
    let text =
        |column: Option<usize>| field(column).map(|text| Cow::Borrowed(str::from_utf8(text).unwrap_or("")));
    let moment = match (field(columns.date), field(columns.time)) {
        (Some(date), Some(time)) => (dates.read(date, "%Y-%m-%d")?, Cow::Borrowed(time)),
        _ => moment(text(columns.seconds).as_deref(), text(columns.milliseconds).as_deref())?,
    };
    let fields = Fields {
        moment,
        method: field(columns.method)?,
        path: Cow::Borrowed(field(columns.path)?),
        status: field(columns.status)?,
        agent: field(columns.agent).unwrap_or_default(),
        range_start: field(columns.range_start),
    };
    fields.request(since)
}

/// A JSON object of a log. Numbers may be written as such, or as text.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    date: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(borrow, rename = "timestamp(ms)")]
    milliseconds: Option<Scalar<'a>>,
    #[serde(borrow, rename = "cs-method")]
    method: Cow<'a, str>,
    #[serde(borrow, rename = "cs-uri-stem")]
    path: Cow<'a, str>,
    #[serde(borrow, rename = "sc-status")]
    status: Scalar<'a>,
    #[serde(borrow, rename = "cs(User-Agent)")]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "sc-range-start")]
    range_start: Option<Scalar<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar<'a> {
    Number(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            // A status has three digits: that of a client which is gone is 000.
            Self::Number(number) => Cow::Owned(format!("{number:03}")),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// Reads a JSON object; `None` if it is malformed.
pub(super) fn json<'a>(line: &'a [u8], dates: &mut Dates, since: Option<&Since>) -> Option<Line<'a>> {
    let object: Object<'a> = serde_json::from_slice(line).ok()?;
    let status = object.status.text();
    // The number 0 has one digit; see `Scalar::text`.
    let range_start = object.range_start.as_ref().map(|start| match start {
        Scalar::Number(start) => Cow::Owned(start.to_string()),
        Scalar::Text(text) => Cow::Borrowed(&**text),
    });
    let moment = match (&object.date, &object.time) {
        (Some(date), Some(time)) => {
            (dates.read(date.as_bytes(), "%Y-%m-%d")?, Cow::Borrowed(time.as_bytes()))
        }
        _ => moment(
            object.timestamp.as_ref().map(Scalar::text).as_deref(),
            object.milliseconds.as_ref().map(Scalar::text).as_deref(),
        )?,
    };
    let fields = Fields {
        moment,
        method: object.method.as_bytes(),
        path: match object.path {
            Cow::Borrowed(path) => Cow::Borrowed(path.as_bytes()),
            Cow::Owned(path) => Cow::Owned(path.into_bytes()),
        },
        status: status.as_bytes(),
        agent: object.agent.as_ref().map_or(&[], |agent| agent.as_bytes()),
        range_start: range_start.as_ref().map(|start| start.as_bytes()),
    };
    fields.request(since)
}

/// The day, and the time of it, of a Unix time in seconds or in milliseconds.
fn moment(seconds: Option<&str>, milliseconds: Option<&str>) -> Option<(Date, Cow<'static, [u8]>)> {
    let moment = match (seconds, milliseconds) {
        (Some(seconds), _) => Timestamp::from_second(seconds.parse().ok()?).ok()?,
        (None, Some(milliseconds)) => Timestamp::from_millisecond(milliseconds.parse().ok()?).ok()?,
        (None, None) => return None,
    };
    let moment = moment.to_zoned(TimeZone::UTC);
    Some((moment.date(), Cow::Owned(moment.strftime("%H:%M:%S").to_string().into_bytes())))
}

/// The fields that are needed, in either form. Of these only the path is kept.
struct Fields<'line, 'field> {
    moment: (Date, Cow<'field, [u8]>),
    method: &'field [u8],
    path: Cow<'line, [u8]>,
    status: &'field [u8],
    agent: &'field [u8],
    range_start: Option<&'field [u8]>,
}

impl<'line> Fields<'line, '_> {
    fn request(self, since: Option<&Since>) -> Option<Line<'line>> {
        let (date, time) = &self.moment;
        let status = status(self.status)?;
        if !self.path.starts_with(b"/") {
            return None;
        }
        if is_early(since, *date, time)? {
            return Some(Line::Other);
        }
        let method = match self.method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            _ => Method::Other,
        };
        let mut record = Record::new(*date, method, self.path, status, self.agent);
        if status == 206 {
            record.part = match self.range_start {
                Some(b"0") => Part::First,
                Some(start) if !start.is_empty() && start.iter().all(u8::is_ascii_digit) => Part::Later,
                _ => Part::Unknown,
            };
        }
        Some(Line::Request(record))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::record::Parser;
    use super::*;

    const HEADER: &str = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status \
                          cs(Referer) cs(User-Agent) cs-uri-query sc-range-start sc-range-end";
    const PATH: &str =
        "/store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_amd64.zip";

    fn told(parser: &mut Parser, line: &str) -> (String, Method, u16, Part, Client) {
        match parser.read(line.as_bytes()) {
            Line::Request(record) => {
                assert_eq!(&*record.path, PATH.as_bytes());
                (record.date.to_string(), record.method, record.status, record.part, record.client)
            }
            other => panic!("{other:?}: {line}"),
        }
    }

    fn row(method: &str, status: &str, start: &str) -> String {
        let fields = [
            "2019-12-04",
            "21:02:31",
            "LAX1",
            "392",
            "192.0.2.100",
            method,
            "d111.cloudfront.net",
            PATH,
            status,
            "-",
            "OpenTofu/1.10.0%20(+https://www.opentofu.org)",
            "-",
            start,
            "-",
        ];
        fields.join("\t")
    }

    #[test]
    fn lines_with_tabs_are_read() {
        let mut parser = Parser::default();
        assert_eq!(parser.read(b"#Version: 1.0"), Line::Other);
        assert_eq!(parser.read(HEADER.as_bytes()), Line::Other);
        let date = "2019-12-04".to_owned();
        for (method, status, start, expected) in [
            ("GET", "200", "-", (Method::Get, 200, Part::First)),
            ("HEAD", "200", "-", (Method::Head, 200, Part::First)),
            ("GET", "206", "0", (Method::Get, 206, Part::First)),
            ("GET", "206", "500", (Method::Get, 206, Part::Later)),
            ("GET", "206", "-", (Method::Get, 206, Part::Unknown)),
            ("GET", "000", "-", (Method::Get, 0, Part::First)),
        ] {
            let (method_of, status_of, part) = expected;
            let expected = (date.clone(), method_of, status_of, part, Client::OpenTofu);
            assert_eq!(told(&mut parser, &row(method, status, start)), expected);
        }
        let longer = format!("{}\tnew", row("GET", "200", "-"));
        told(&mut parser, &longer);
        let good = row("GET", "200", "-");
        for (from, to) in [
            ("2019-12-04", "2019-13-04"),
            ("21:02:31", "21:02"),
            ("200", "ok"),
            ("/store", "store"),
            ("\t-\t-", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(parser.read(bad.as_bytes()), Line::Malformed, "{bad}");
        }
    }

    #[test]
    fn json_is_read() {
        let object = |status: &str, start: &str, moment: &str| {
            format!(
                "{{{moment},\"DistributionId\":\"E1\",\"cs-method\":\"GET\",\"cs-uri-stem\":\"{PATH}\",\"sc-status\":{status},\
                 \"cs(User-Agent)\":\"Terraform/1.11.4%20(+https://www.terraform.io)\",\"sc-range-start\":{start}}}"
            )
        };
        let date = r#""date":"2019-12-04","time":"21:02:31""#;
        for (status, start, moment, expected) in [
            ("\"200\"", "\"-\"", date, (200, Part::First)),
            ("200", "null", date, (200, Part::First)),
            ("\"206\"", "\"0\"", date, (206, Part::First)),
            ("206", "0", date, (206, Part::First)),
            ("206", "7", date, (206, Part::Later)),
            ("0", "7", date, (0, Part::First)),
            ("200", "null", "\"timestamp\":\"1575493351\"", (200, Part::First)),
            ("200", "null", "\"timestamp(ms)\":1575493351123", (200, Part::First)),
        ] {
            let line = object(status, start, moment);
            let told = told(&mut Parser::default(), &line);
            assert_eq!(
                told,
                ("2019-12-04".to_owned(), Method::Get, expected.0, expected.1, Client::Terraform),
                "{line}"
            );
        }
        let escaped = object("200", "null", date).replace('/', "\\/");
        told(&mut Parser::default(), &escaped);
        for bad in
            ["{", "{}", "{\"date\":1}", &object("200", "null", "\"x\":1"), &object("\"ok\"", "null", date)]
        {
            assert_eq!(Parser::default().read(bad.as_bytes()), Line::Malformed, "{bad}");
        }
    }
}
