//! A location in S3.

/// A bucket, and the prefix of the registry's keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
}

impl Location {
    /// Parses `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// Fails if `text` is not such a location; the error says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").ok_or("expected s3://BUCKET or s3://BUCKET/PREFIX")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(bucket, prefix)
    }

    /// Makes a location of a bucket's name and a prefix, with or without a final slash; an empty prefix is the whole
    /// bucket.
    ///
    /// # Errors
    /// Fails if one of them is invalid; the error says why.
    pub fn new(bucket: &str, prefix: &str) -> Result<Self, String> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(format!(
                "{bucket:?} is no bucket name: these are of letters, digits, dots and dashes"
            ));
        }
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(format!("the prefix {prefix:?} has an empty part, a \".\" or a \"..\""));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix of all keys in the bucket: empty, or ending in a slash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key of the registry, or a pattern of keys, with the prefix.
    #[must_use]
    pub fn within(&self, key: impl std::fmt::Display) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read() {
        for (text, shown) in [
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/", "s3://bucket/"),
            ("s3://my.bucket-1/a/b", "s3://my.bucket-1/a/b/"),
            ("s3://bucket/a/", "s3://bucket/a/"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "s3://",
            "s3:///x",
            "s3:/b",
            "http://b",
            "s3://b//x",
            "s3://b/../x",
            "s3://b/./x",
            "s3://b?x",
            "s3://b/x//",
        ] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
