//! One line of a log, as a request.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::client::{Client, is_own};
use super::{cloudfront, s3};

/// The earliest moment that is counted; logs are in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    date: Date,
    /// `HH:MM:SS`
    time: String,
}

impl Since {
    /// From this moment on, which is included.
    #[must_use]
    pub fn new(moment: Timestamp) -> Self {
        let moment = moment.to_zoned(TimeZone::UTC);
        Self { date: moment.date(), time: moment.strftime("%H:%M:%S").to_string() }
    }

    /// Whether a request at `time` of `date` is earlier. Times of one length are ordered as their texts are.
    fn is_after(&self, date: Date, time: &[u8]) -> bool {
        (date, time) < (self.date, self.time.as_bytes())
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// How much of an object was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, or a range from its beginning.
    First,
    /// A range that begins later.
    Later,
    /// A range; the log does not say where it begins.
    Unknown,
}

/// A request, as a line of a log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) date: Date,
    pub(super) method: Method,
    /// The path or the key, percent-encoded as in the log.
    pub(super) path: Cow<'a, [u8]>,
    /// The HTTP status; 0 where the client was gone before there was one.
    pub(super) status: u16,
    pub(super) part: Part,
    pub(super) client: Client,
    /// Whether a CDN asked a bucket: the CDN's own log has the client's request.
    pub(super) is_cdn: bool,
    /// Whether this program asked.
    pub(super) is_own: bool,
}

impl<'a> Record<'a> {
    pub(super) fn new(date: Date, method: Method, path: Cow<'a, [u8]>, status: u16, agent: &[u8]) -> Self {
        Self {
            date,
            method,
            path,
            status,
            part: Part::First,
            client: Client::of(agent),
            is_cdn: false,
            is_own: is_own(agent),
        }
    }
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A request for an object.
    Request(Record<'a>),
    /// A header, a request of another kind, or one that is too early.
    Other,
    /// Not a line of a log.
    Malformed,
}

/// Reads the lines of one file.
#[derive(Debug, Default)]
pub(super) struct Parser {
    since: Option<Since>,
    /// The columns, if the file has named them: a CloudFront log.
    columns: Option<cloudfront::Columns>,
    dates: Dates,
}

impl Parser {
    pub(super) fn new(since: Option<Since>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Reads a line, without its end.
    pub(super) fn read<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = match line.first() {
            None => return Line::Other,
            Some(b'#') => {
                if let Some(names) = line.strip_prefix(b"#Fields:") {
                    self.columns = Some(cloudfront::Columns::read(names));
                }
                return Line::Other;
            }
            Some(b'{') => cloudfront::json(line, &mut self.dates, self.since.as_ref()),
            Some(_) => match &self.columns {
                Some(columns) => cloudfront::tabs(line, columns, &mut self.dates, self.since.as_ref()),
                None => s3::line(line, &mut self.dates, self.since.as_ref()),
            },
        };
        read.unwrap_or(Line::Malformed)
    }
}

/// The date that was read last: the lines of a log are nearly all of one day.
#[derive(Debug, Default)]
pub(super) struct Dates(Option<(Vec<u8>, Date)>);

impl Dates {
    /// Reads a date in `format` of strptime.
    pub(super) fn read(&mut self, text: &[u8], format: &str) -> Option<Date> {
        if let Some((known, date)) = &self.0
            && known == text
        {
            return Some(*date);
        }
        let date = Date::strptime(format, text).ok()?;
        self.0 = Some((text.to_owned(), date));
        Some(date)
    }
}

/// Whether a request is too early to be counted; `None` if `time` is none.
pub(super) fn is_early(since: Option<&Since>, date: Date, time: &[u8]) -> Option<bool> {
    let is_time = matches!(time, [h1, h2, b':', m1, m2, b':', s1, s2]
        if [h1, h2, m1, m2, s1, s2].iter().all(|digit| digit.is_ascii_digit()));
    is_time.then(|| since.is_some_and(|since| since.is_after(date, time)))
}

/// A status: three digits, or a sign that there is none.
pub(super) fn status(text: &[u8]) -> Option<u16> {
    match text {
        b"-" => Some(0),
        [a, b, c] if text.iter().all(u8::is_ascii_digit) => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => None,
    }
}
