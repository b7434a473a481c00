//! The first line of a plugin on standard output: `1|6|unix|/tmp/plugin123|grpc|…`.
//!
//! Written by go-plugin's `server.go` (`Serve`) and read by its `client.go` (`Start`):
//! the version of the handshake itself, the version of the application's protocol (for Terraform: the major version of the
//! plugin protocol), the network and address on which the plugin listens, the transport, and after that a certificate and
//! other things that depend on the version of go-plugin.

/// The variable by which a plugin knows that Terraform starts it, and its value (`internal/plugin/serve.go` in Terraform).
pub(super) const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// The major versions that Terraform and OpenTofu offer (`VersionedPlugins`).
pub(super) const OFFERED: &[u32] = &[5, 6];

/// An example of an answer, for messages.
pub(super) const FORM: &str = "1|MAJOR|unix or tcp|ADDRESS|grpc|…";

/// Parses a plugin's first line, without its line end; returns the major version that the plugin speaks.
///
/// Strict: a line that clients would reject is refused.
///
/// # Errors
/// Fails if the line is invalid; the error says why.
pub(super) fn parse(line: &[u8]) -> Result<u32, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not text")?;
    let mut parts = line.strip_suffix('\r').unwrap_or(line).split('|');
    let mut next = || parts.next().unwrap_or_default();
    if next() != "1" {
        return Err("it does not begin with the handshake's version, 1");
    }
    let major = number(next()).ok_or("its second part is no version of a protocol")?;
    let (network, address) = (next(), next());
    let listens = match network {
        "unix" => !address.is_empty() && !address.contains('\0'),
        "tcp" => address.parse::<std::net::SocketAddr>().is_ok_and(|address| address.port() != 0),
        _ => return Err("its third part is neither unix nor tcp"),
    };
    if !listens {
        return Err("its fourth part is no address");
    }
    // Clients since Terraform 0.12 allow nothing else; net/rpc was what protocol 4 used.
    if next() != "grpc" {
        return Err("its fifth part, the transport, is not grpc");
    }
    Ok(major)
}

/// A number as a program prints it: no sign, no leading zeros.
fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read() {
        for (line, major) in [
            ("1|6|unix|/tmp/plugin-sample|grpc|", 6),
            ("1|5|unix|./plugin123|grpc", 5),
            ("1|5|tcp|127.0.0.1:10000|grpc|MIIC+a/b|true", 5),
            ("1|6|tcp|[::1]:25000|grpc|\r", 6),
            ("1|0|unix|x|grpc|", 0),
            ("1|4294967295|unix|x|grpc|", u32::MAX),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(major), "{line}");
        }
    }

    #[test]
    fn anything_else_is_no_answer() {
        for (line, reason) in [
            ("", "begin"),
            ("terraform-provider-sample v1.2.0", "begin"),
            (" 1|6|unix|/x|grpc|", "begin"),
            ("2|6|unix|/x|grpc|", "begin"),
            ("1", "second"),
            ("1||unix|/x|grpc|", "second"),
            ("1|06|unix|/x|grpc|", "second"),
            ("1|+6|unix|/x|grpc|", "second"),
            ("1|6.0|unix|/x|grpc|", "second"),
            ("1|٦|unix|/x|grpc|", "second"),
            ("1|4294967296|unix|/x|grpc|", "second"),
            ("1|6", "third"),
            ("1|6|udp|127.0.0.1:1|grpc|", "third"),
            ("1|6|unix", "fourth"),
            ("1|6|unix||grpc|", "fourth"),
            ("1|6|unix|a\0b|grpc|", "fourth"),
            ("1|6|tcp|127.0.0.1|grpc|", "fourth"),
            ("1|6|tcp|127.0.0.1:0|grpc|", "fourth"),
            ("1|6|tcp|localhost:1|grpc|", "fourth"),
            ("1|4|unix|/x", "fifth"),
            ("1|4|unix|/x|netrpc|", "fifth"),
            ("1|6|unix|/x|grpc ", "fifth"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{line:?}: {error}");
        }
        assert_eq!(parse(b"1|6|unix|/\xff|grpc|"), Err("it is not text"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nothing_like_an_answer_panics(line in r"[0-2]{0,2}\|?[0-9+.]{0,12}\|?(unix|tcp)?\|?[0-9.:/a\[\]]{0,20}\|?(grpc|netrpc)?\|?\PC{0,8}") {
            let _ = parse(line.as_bytes());
        }

        #[test]
        fn what_go_plugin_prints_is_read(major: u32, address in "(/[a-z0-9._ -]{1,20}){1,4}", more in r"(\|[A-Za-z0-9+/]{0,40}){0,3}") {
            let line = format!("1|{major}|unix|{address}|grpc{more}");
            prop_assert_eq!(parse(line.as_bytes()), Ok(major));
        }
    }
}
