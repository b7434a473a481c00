//! Colours for HCL: which parts of a configuration are names, texts, values, comments and words of the language. What is no
//! valid HCL, a fragment with dots in it say, has none.

use std::fmt::Write as _;
use std::ops::Range;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, FuncCall, ObjectKey};
use hcl_edit::structure::{Attribute, Block, BlockLabel};
use hcl_edit::visit::{self, Visit};

/// The longest configuration that is coloured, in bytes. The parser itself limits how deep one may be nested.
const MAX_LEN: usize = 32 * 1024;

/// The classes of coloured parts; no class, where a part is not coloured.
pub(super) const CLASSES: [&str; 5] = [COMMENT, TEXT, VALUE, NAME, WORD];
const COMMENT: &str = "tf-hcl-comment";
const TEXT: &str = "tf-hcl-text";
const VALUE: &str = "tf-hcl-value";
const NAME: &str = "tf-hcl-name";
const WORD: &str = "tf-hcl-word";
const PLAIN: &str = "";

/// The configuration as safe HTML, coloured if it is understood.
pub(super) fn shown(code: &str) -> String {
    coloured(code).unwrap_or_else(|| {
        let mut html = String::with_capacity(code.len() * 2);
        part(code, PLAIN, &mut html);
        html
    })
}

/// The configuration as safe HTML with coloured parts: a function of its text. `None` if it is not understood. As text it is
/// the configuration, character by character.
pub(super) fn coloured(code: &str) -> Option<String> {
    if code.len() > MAX_LEN {
        return None;
    }
    let body = hcl_edit::parser::parse_body(code).ok()?;
    let mut parts = Parts::default();
    parts.visit_body(&body);
    parts.0.sort_by_key(|(range, _)| (range.start, range.end));
    let mut html = String::with_capacity(code.len() * 4);
    let mut at = 0;
    for (range, class) in parts.0 {
        // No part is within another.
        between(code.get(at..range.start)?, &mut html);
        part(code.get(range.clone())?, class, &mut html);
        at = range.end;
    }
    between(code.get(at..)?, &mut html);
    Some(html)
}

/// The parts that the syntax names.
#[derive(Default)]
struct Parts(Vec<(Range<usize>, &'static str)>);

impl Parts {
    fn add(&mut self, of: &impl Span, class: &'static str) {
        self.0.extend(of.span().map(|range| (range, class)));
    }
}

impl Visit for Parts {
    fn visit_attr(&mut self, node: &Attribute) {
        self.add(&node.key, NAME);
        visit::visit_attr(self, node);
    }

    fn visit_block(&mut self, node: &Block) {
        self.add(&node.ident, WORD);
        visit::visit_block(self, node);
    }

    fn visit_block_label(&mut self, node: &BlockLabel) {
        self.add(node, TEXT);
    }

    fn visit_object_key(&mut self, node: &ObjectKey) {
        match node {
            ObjectKey::Ident(name) => self.add(name, NAME),
            ObjectKey::Expression(_) => visit::visit_object_key(self, node),
        }
    }

    fn visit_func_call(&mut self, node: &FuncCall) {
        self.add(&node.name.name, WORD);
        visit::visit_func_call(self, node);
    }

    fn visit_expr(&mut self, node: &Expression) {
        match node {
            Expression::String(_) | Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => {
                self.add(node, TEXT);
            }
            Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) => self.add(node, VALUE),
            // It may have the name of a word.
            Expression::Variable(name) => self.add(name, PLAIN),
            _ => visit::visit_expr(self, node),
        }
    }
}

/// What is between the parts: comments, words such as `for` and `in`, names in paths, signs and spaces.
fn between(text: &str, html: &mut String) {
    let (mut rest, mut before) = (text, ' ');
    while let Some(first) = rest.chars().next() {
        let (len, class) = if rest.starts_with('#') || rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), COMMENT)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), COMMENT)
        } else if first.is_alphabetic() {
            let len =
                rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(rest.len());
            let is_word = before != '.' && matches!(&rest[..len], "for" | "in" | "if");
            (len, if is_word { WORD } else { PLAIN })
        } else {
            (first.len_utf8(), PLAIN)
        };
        let (token, after) = rest.split_at(len);
        part(token, class, html);
        (rest, before) = (after, first);
    }
}

fn part(text: &str, class: &str, html: &mut String) {
    if !class.is_empty() {
        // Writing to a string does not fail.
        let _ = write!(html, "<span class=\"{class}\">");
    }
    for c in text.chars() {
        match c {
            '&' => html.push_str("&#38;"),
            '<' => html.push_str("&#60;"),
            '>' => html.push_str("&#62;"),
            '"' => html.push_str("&#34;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    if !class.is_empty() {
        html.push_str("</span>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: &str = "# Needs <b>
terraform {
  required_providers { s = { source = \"h/a/s\" } }
}
resource \"x\" \"y\" { // d
  a = 1 /* for */
  b = [for k, v in var.in.for : upper(v) if v != null]
  c = <<-EOT
    hello ${var.x} # none
  EOT
  d = data.foo[0].if != if ? true : \"${a[\"b\"]}\"
}
";

    /// The text of what is shown.
    fn text(html: &str) -> String {
        let mut text = String::new();
        for part in html.split('<') {
            text.push_str(if text.is_empty() && !html.starts_with('<') || !part.contains('>') {
                part
            } else {
                part.split_once('>').unwrap().1
            });
        }
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
            .iter()
            .fold(text, |text, (escaped, c)| text.replace(escaped, c))
    }

    #[test]
    fn the_parts_of_a_configuration_are_coloured() {
        let html = coloured(CODE).unwrap();
        let spans = |class: &str| -> Vec<String> {
            let begin = format!("<span class=\"{class}\">");
            html.split(&begin).skip(1).map(|rest| text(rest.split_once("</span>").unwrap().0)).collect()
        };
        assert_eq!(spans(COMMENT), ["# Needs <b>", "// d", "/* for */"]);
        assert_eq!(spans(WORD), ["terraform", "required_providers", "resource", "for", "in", "upper", "if"]);
        assert_eq!(spans(NAME), ["s", "source", "a", "b", "c", "d"]);
        assert_eq!(spans(VALUE), ["1", "null", "0", "true"]);
        let heredoc = "<<-EOT\n    hello ${var.x} # none\n  EOT";
        assert_eq!(spans(TEXT), ["\"h/a/s\"", "\"x\"", "\"y\"", heredoc, "\"${a[\"b\"]}\""]);
        assert_eq!(text(&html), CODE);
    }

    #[test]
    fn what_is_not_understood_has_no_colours() {
        let deep = format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000));
        let long = format!("# {}\n", "x".repeat(MAX_LEN));
        for bad in ["resource \"x\" {\n  ...\n}", "a = <b>", "$ terraform init", &deep, &long] {
            assert_eq!(coloured(bad), None, "{bad:.40}");
            assert!(!shown(bad).contains('<') && text(&shown(bad)) == bad, "{bad:.40}");
        }
    }

    proptest! {
        #[test]
        fn the_text_stays_as_it_is(pieces in prop::collection::vec(prop::sample::select(vec![
            "a", " = ", "1", "\n", "\"x\"", "{", "}", "[", "]", "# c\n", "//", "/* */", "<<E\nx\nE\n", "for ", "é", "&", "<", "'", "${", ".", "\r\n",
        ]), 0..24)) {
            let code = pieces.concat();
            prop_assert_eq!(text(&shown(&code)), code.as_str());
            prop_assert_eq!(shown(&code), shown(&code));
        }
    }
}
