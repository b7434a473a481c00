//! One log file, fed in pieces: decompressed if it is gzip, and split into lines.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;
use memchr::memchr_iter;

use super::record::{Line, Parser, Since};
use super::tally::{Counter, Place, Tally};

/// The longest line that is read. S3 and CloudFront take requests with headers of 8 and 20 KB.
const LONGEST_LINE: usize = 128 << 10;
/// What gzip files begin with (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What Parquet files begin with, another format of CloudFront's.
const PARQUET: &[u8] = b"PAR1";

/// A log file that is being read. Its contents tell its format, not its name.
pub struct LogFile {
    name: String,
    state: State,
    damage: Option<String>,
}

enum State {
    /// Too little is known yet.
    Beginning(Vec<u8>, Box<Lines>),
    Plain(Box<Lines>),
    Gzip(Box<MultiGzDecoder<Lines>>),
}

impl LogFile {
    /// A file with this name, of which requests from `since` on are counted.
    #[must_use]
    pub fn new(name: String, since: Option<Since>) -> Self {
        let lines = Lines { name: name.clone(), parser: Parser::new(since), ..Lines::default() };
        Self { name, state: State::Beginning(Vec::new(), Box::new(lines)), damage: None }
    }

    /// Reads the next piece. After damage nothing more is read.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.damage.is_some() {
            return;
        }
        if let State::Beginning(begun, lines) = &mut self.state {
            begun.extend_from_slice(bytes);
            if begun.len() < PARQUET.len() {
                return;
            }
            let (begun, lines) = (std::mem::take(begun), std::mem::take(&mut **lines));
            self.begin(&begun, lines);
        } else {
            self.read(bytes);
        }
    }

    fn begin(&mut self, begun: &[u8], lines: Lines) {
        self.state = if begun.starts_with(GZIP) {
            State::Gzip(Box::new(MultiGzDecoder::new(lines)))
        } else {
            State::Plain(Box::new(lines))
        };
        if begun.starts_with(PARQUET) {
            self.damage = Some("it is Parquet; have CloudFront write JSON or W3C".to_owned());
        } else {
            self.read(begun);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Beginning(..) => {}
            State::Plain(lines) => lines.take(bytes),
            State::Gzip(decoder) => {
                if let Err(error) = decoder.write_all(bytes) {
                    self.damage = Some(error.to_string());
                }
            }
        }
    }

    /// The counts of the file, which has no further piece.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        if let State::Beginning(begun, lines) = &mut self.state {
            let (begun, lines) = (std::mem::take(begun), std::mem::take(&mut **lines));
            self.begin(&begun, lines);
        }
        let lines = match self.state {
            State::Beginning(_, lines) | State::Plain(lines) => *lines,
            State::Gzip(mut decoder) => {
                if let Err(error) = decoder.try_finish()
                    && self.damage.is_none()
                {
                    self.damage = Some(format!("it ends early: {error}"));
                }
                std::mem::take(decoder.get_mut())
            }
        };
        let mut tally = lines.finish(self.damage.is_some());
        tally.files = 1;
        tally.damaged.extend(self.damage.map(|damage| (self.name, damage)));
        tally
    }
}

/// Splits text into lines and counts them.
#[derive(Default)]
struct Lines {
    name: String,
    /// The beginning of a line that goes on in the next piece.
    partial: Vec<u8>,
    /// Whether the line that goes on is too long to be read.
    is_too_long: bool,
    parser: Parser,
    counter: Counter,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[start..end];
            start = end + 1;
            if self.partial.is_empty() && !self.is_too_long {
                self.line(line);
            } else {
                self.begin(line);
                let whole = std::mem::take(&mut self.partial);
                if std::mem::take(&mut self.is_too_long) {
                    self.counter.tally.lines += 1;
                    self.malformed();
                } else {
                    self.line(&whole);
                }
            }
        }
        self.begin(&bytes[start..]);
    }

    /// Keeps a part of a line, unless it is too long.
    fn begin(&mut self, part: &[u8]) {
        self.is_too_long |= self.partial.len() + part.len() > LONGEST_LINE;
        if self.is_too_long {
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(part);
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.counter.tally.lines += 1;
        match self.parser.read(line) {
            Line::Request(record) => self.counter.count(&record),
            Line::Other => {}
            Line::Malformed => self.malformed(),
        }
    }

    fn malformed(&mut self) {
        let tally = &mut self.counter.tally;
        tally.malformed += 1;
        let place = || Place { file: self.name.clone(), line: tally.lines };
        tally.first_malformed = tally.first_malformed.take().or_else(|| Some(place()));
    }

    /// The counts. A last line without an end counts, unless the file is damaged and so cut off within it.
    fn finish(mut self, is_damaged: bool) -> Tally {
        if !is_damaged && (!self.partial.is_empty() || self.is_too_long) {
            self.take(b"\n");
        }
        self.counter.finish()
    }
}

/// What the decoder writes to.
impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn line(version: &str) -> String {
        format!(
            "owner bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - ID REST.GET.OBJECT \
             store/acme/sample/{version}/0123456789abcdef/terraform-provider-sample_{version}_linux_amd64.zip \
             \"GET /x HTTP/1.1\" 200 - 500 500 42 11 \"-\" \"Terraform/1.11.4\" -\n"
        )
    }

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], piece: usize) -> Tally {
        let mut file = LogFile::new("a.log".to_owned(), None);
        bytes.chunks(piece).for_each(|piece| file.feed(piece));
        file.finish()
    }

    #[test]
    fn pieces_and_compression_make_no_difference() {
        let text = [
            line("1.2.0"),
            "no log\n".to_owned(),
            line("1.3.0"),
            "\n".to_owned(),
            line("1.2.0").trim().to_owned(),
        ]
        .concat();
        let whole = read(text.as_bytes(), usize::MAX);
        assert_eq!((whole.total(), whole.lines, whole.malformed, whole.files), (3, 5, 1, 1));
        assert_eq!(whole.first_malformed, Some(Place { file: "a.log".to_owned(), line: 2 }));
        let (first, second) = text.split_at(text.len() / 2);
        let members = [gz(first.as_bytes()), gz(second.as_bytes())].concat();
        for piece in [1, 2, 3, 7, 100] {
            assert_eq!(read(text.as_bytes(), piece), whole);
            assert_eq!(read(&gz(text.as_bytes()), piece), whole);
            assert_eq!(read(&members, piece), whole);
        }
    }

    #[test]
    fn damaged_files_are_told() {
        let text = [line("1.2.0"), line("1.3.0")].concat();
        let compressed = gz(text.as_bytes());
        let cut = read(&compressed[..compressed.len() - 9], 100);
        assert_eq!((cut.files, cut.damaged.len(), cut.malformed), (1, 1, 0), "{cut:?}");
        let mut wrong = compressed.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let wrong = read(&wrong, 100);
        assert_eq!((wrong.damaged.len(), wrong.total()), (1, 2), "{wrong:?}");
        let mut trailing = compressed;
        trailing.extend(b"no gzip");
        let trailing = read(&trailing, 100);
        assert_eq!((trailing.damaged.len(), trailing.total()), (1, 2), "{trailing:?}");
        let parquet = read(b"PAR1 and more\n", 100);
        assert_eq!((parquet.damaged.len(), parquet.lines, parquet.malformed), (1, 0, 0), "{parquet:?}");
        for short in [&b""[..], b"\n", b"x"] {
            let tally = read(short, 100);
            assert!(tally.damaged.is_empty() && tally.files == 1, "{tally:?}");
        }
    }

    #[test]
    fn endless_lines_are_not_kept() {
        let mut file = LogFile::new("a.log".to_owned(), None);
        for _ in 0..1000 {
            file.feed(&[b'x'; 4096]);
            let State::Plain(lines) = &file.state else { panic!() };
            assert!(lines.partial.capacity() <= 2 * LONGEST_LINE);
        }
        file.feed(format!("\n{}", line("1.2.0")).as_bytes());
        let tally = file.finish();
        assert_eq!((tally.lines, tally.malformed, tally.total()), (2, 1, 1));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..100) {
            let tally = read(&bytes, piece);
            prop_assert!(tally.malformed <= tally.lines);
        }

        #[test]
        fn no_line_makes_it_panic(fields in proptest::collection::vec("[ -~]{0,12}", 0..40), tabs in any::<bool>()) {
            let text = if tabs {
                format!("#Fields: date time cs-method cs-uri-stem sc-status\n{}\n", fields.join("\t"))
            } else {
                format!("{}\n", fields.join(" "))
            };
            prop_assert!(read(text.as_bytes(), 50).lines >= 1);
        }
    }
}
