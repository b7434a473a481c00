//! The front matter of a page: YAML between two lines of three dashes.
//!
//! It is read event by event: an alias is refused rather than followed, and what is nested is passed over, so that a few
//! bytes cannot become many.

use yaml_rust2::parser::{Event, Parser};

use crate::error::Refusal;

/// What is read of the front matter; everything else is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FrontMatter {
    pub(super) page_title: Option<String>,
    pub(super) subcategory: Option<String>,
    pub(super) description: Option<String>,
}

/// The longest front matter, in bytes.
const MAX_LEN: usize = 16 * 1024;
/// How deep collections may be nested in it.
const MAX_DEPTH: usize = 8;

/// Splits a page into its front matter and its text.
///
/// # Errors
/// The front matter is not a YAML mapping, or exceeds a limit.
pub(super) fn split<'a>(path: &str, text: &'a str) -> Result<(FrontMatter, &'a str), Refusal> {
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return Ok((FrontMatter::default(), text));
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            let matter = parse(&rest[..at]).map_err(|error| refusal(path, &error))?;
            return Ok((matter, &rest[at + line.len()..]));
        }
        at += line.len();
    }
    // A line across the page at its very beginning, and no front matter.
    Ok((FrontMatter::default(), text))
}

fn refusal(path: &str, error: &str) -> Refusal {
    Refusal::new(path, "the front matter of a page cannot be understood")
        .found(error)
        .expected("a YAML mapping with page_title, subcategory and description")
        .remedy("correct the lines between the two lines of dashes")
}

fn parse(text: &str) -> Result<FrontMatter, String> {
    if text.len() > MAX_LEN {
        return Err(format!("{} bytes, where {MAX_LEN} are allowed", text.len()));
    }
    let mut parser = Parser::new_from_str(text);
    let mut matter = FrontMatter::default();
    let (mut depth, mut name, mut is_mapping) = (0_usize, None::<String>, false);
    loop {
        let (event, _) = parser.next_token().map_err(|error| error.to_string())?;
        match event {
            Event::StreamEnd => return Ok(matter),
            Event::Alias(_) => return Err("an alias".to_owned()),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 {
                    is_mapping = matches!(event, Event::MappingStart(..));
                    if !is_mapping {
                        return Err("a list".to_owned());
                    }
                }
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("collections nested more than {MAX_DEPTH} deep"));
                }
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    // It was the value of a name of the mapping.
                    name = None;
                }
            }
            Event::Scalar(value, ..) if depth == 1 && is_mapping => match name.take() {
                None => name = Some(value),
                Some(name) => matter.set(&name, &value),
            },
            Event::Scalar(value, ..) if depth == 0 && !value.is_empty() && value != "~" => {
                return Err("a text".to_owned());
            }
            _ => {}
        }
    }
}

impl FrontMatter {
    fn set(&mut self, name: &str, value: &str) {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let value = Some(value).filter(|value| !value.is_empty());
        match name {
            "page_title" => self.page_title = value,
            "subcategory" => self.subcategory = value,
            "description" => self.description = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_of_real_pages_is_read() {
        let page = "---\nlayout: \"sample\"\npage_title: \"sample_thing Resource - sample\"\nsubcategory: \"\"\ntags:\n  - a: [1]\n\
                    description: |-\n  Manages\n  a thing.\n---\n\n# sample_thing\n";
        let (matter, rest) = split("index.md", page).unwrap();
        assert_eq!(matter.page_title.as_deref(), Some("sample_thing Resource - sample"));
        assert_eq!(matter.subcategory, None);
        assert_eq!(matter.description.as_deref(), Some("Manages a thing."));
        assert_eq!(rest, "\n# sample_thing\n");
        for (page, text) in
            [("# x\n", "# x\n"), ("---\r\na: b\r\n---\r\nx", "x"), ("---\n---\nx", "x"), ("---\nx", "---\nx")]
        {
            assert_eq!(split("p", page).unwrap(), (FrontMatter::default(), text), "{page:?}");
        }
    }

    #[test]
    fn what_would_grow_or_overflow_is_refused() {
        let nested = format!("a: {}", "[".repeat(5000));
        let long = format!("a: {}", "x".repeat(MAX_LEN));
        for bad in ["a: &x 1\nb: *x", "- a", "text", "a: [", "\"", &nested, &long] {
            let refusal = split("index.md", &format!("---\n{bad}\n---\n")).unwrap_err();
            assert!(refusal.to_string().contains("index.md"), "{refusal}");
        }
    }
}
