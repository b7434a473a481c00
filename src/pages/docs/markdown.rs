//! Markdown to safe HTML: CommonMark with tables and fenced code, then a sanitizer that lets through what is listed here.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

use ammonia::Builder;
use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, TextMergeStream,
};

use super::links::Resolver;
use crate::error::Refusal;
use crate::pages::hcl;

/// A page's text.
pub(super) struct Text {
    /// The heading of the first level with which it begins, as safe HTML.
    pub(super) title: Option<String>,
    /// What follows, as safe HTML.
    pub(super) html: String,
    /// The headings of the second and third level.
    pub(super) headings: Vec<Heading>,
    /// Whether it has a heading of the first level.
    pub(super) has_title: bool,
}

/// A heading to which the page's table of contents links.
pub(super) struct Heading {
    pub(super) level: u8,
    pub(super) id: String,
    pub(super) text: String,
}

/// The most parts (texts, beginnings and ends of elements) of a page.
const MAX_PARTS: usize = 100_000;
/// How deep Markdown's elements may be nested.
const MAX_DEPTH: usize = 32;
/// The most HTML tags in a page's Markdown.
const MAX_TAGS: usize = 2_000;
/// So many bytes of HCL are coloured in a page: with colours it is some times longer.
const MAX_COLOURED: usize = 128 * 1024;
/// The longest heading in a table of contents.
const MAX_HEADING: usize = 200;

/// Languages of code. HCL is coloured (`coloured`).
const LANGUAGES: [&str; 14] = [
    "bash",
    "console",
    "go",
    "hcl",
    "ini",
    "java",
    "javascript",
    "json",
    "python",
    "sh",
    "shell",
    "terraform",
    "text",
    "yaml",
];

/// Renders a page.
///
/// # Errors
/// It exceeds a limit.
pub(super) fn render(name: &str, source: &str, resolver: &Arc<Resolver>) -> Result<Text, Refusal> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events: Vec<Event<'_>> = Vec::new();
    let (mut depth, mut tags) = (0_usize, 0_usize);
    for event in TextMergeStream::new(Parser::new_ext(source, options)) {
        match &event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Html(html) | Event::InlineHtml(html) => tags += html.matches('<').count(),
            _ => {}
        }
        events.push(event);
        let found = if events.len() > MAX_PARTS {
            format!("more than {MAX_PARTS} parts")
        } else if depth > MAX_DEPTH {
            format!("elements nested more than {MAX_DEPTH} deep")
        } else if tags > MAX_TAGS {
            format!("more than {MAX_TAGS} HTML tags")
        } else {
            continue;
        };
        return Err(Refusal::new(name, "a page of the documentation is too large or too deep")
            .found(found)
            .expected("a page within the limits")
            .remedy("split the page, or write it with less nesting"));
    }
    let mut headings = Vec::new();
    let has_title = identify(&mut events, &mut headings);
    coloured(&mut events);
    let html = |events: Vec<Event<'_>>| {
        let mut html = String::with_capacity(source.len() * 2);
        pulldown_cmark::html::push_html(&mut html, framed(events).into_iter());
        sanitized(&html, resolver)
    };
    let begins = matches!(events.first(), Some(Event::Start(Tag::Heading { level: HeadingLevel::H1, .. })));
    let end = events.iter().position(|event| matches!(event, Event::End(TagEnd::Heading(_))));
    let rest = events.split_off(end.filter(|_| begins).map_or(0, |end| end + 1));
    let title = (!events.is_empty()).then(|| html(events));
    Ok(Text { title, html: html(rest), headings, has_title })
}

/// Gives each heading an id, as GitHub and the public registries do, and lists those of the second and third level.
/// Returns whether there is one of the first.
fn identify(events: &mut [Event<'_>], headings: &mut Vec<Heading>) -> bool {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut has_title = false;
    let mut begun: Option<(usize, String)> = None;
    for at in 0..events.len() {
        match &events[at] {
            Event::Start(Tag::Heading { .. }) => begun = Some((at, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, heading)) = &mut begun {
                    heading.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(level)) => {
                let level = *level;
                let Some((start, text)) = begun.take() else { continue };
                let plain = slug(&text);
                let mut slug = plain.clone();
                let mut number = 0;
                while !taken.insert(slug.clone()) {
                    number += 1;
                    slug = format!("{plain}-{number}");
                }
                has_title |= level == HeadingLevel::H1;
                let depth = match level {
                    HeadingLevel::H2 => 2,
                    HeadingLevel::H3 => 3,
                    _ => 0,
                };
                if depth > 0 && !text.trim().is_empty() {
                    let text: String = text.trim().chars().take(MAX_HEADING).collect();
                    headings.push(Heading { level: depth, id: slug.clone(), text });
                }
                if let Event::Start(Tag::Heading { id, .. }) = &mut events[start] {
                    *id = Some(CowStr::from(slug));
                }
            }
            _ => {}
        }
    }
    has_title
}

/// Lower case, words joined by dashes, without punctuation. Never one of the page's own ids, which begin with `tf-`.
fn slug(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).take(MAX_HEADING).collect();
    match slug.strip_prefix("tf-") {
        Some(rest) => format!("tf_{rest}"),
        None if slug.is_empty() => "section".to_owned(),
        None => slug,
    }
}

/// Colours HCL in fences that say so, where it is understood.
fn coloured(events: &mut [Event<'_>]) {
    let (mut is_hcl, mut left) = (false, MAX_COLOURED);
    for event in events {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.split([' ', ',', '{']).next().unwrap_or_default(),
                    CodeBlockKind::Indented => "",
                };
                is_hcl = matches!(language, "hcl" | "terraform" | "tf");
            }
            Event::End(TagEnd::CodeBlock) => is_hcl = false,
            Event::Text(code) if is_hcl && code.len() <= left => {
                left -= code.len();
                if let Some(html) = hcl::coloured(code) {
                    *event = Event::Html(CowStr::from(html));
                }
            }
            _ => {}
        }
    }
}

/// Puts wide tables into boxes of their own, and the notes of the public registries (`->`, `~>`, `!>` before a paragraph)
/// into frames.
fn framed(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut framed = Vec::with_capacity(events.len() + 16);
    let mut note = false;
    let mut events = events.into_iter().peekable();
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::Table(_)) => {
                framed.push(html(
                    "<div class=\"tf-table\" role=\"region\" aria-label=\"Table\" tabindex=\"0\">\n",
                ));
                framed.push(event);
            }
            Event::End(TagEnd::Table) => {
                framed.push(event);
                framed.push(html("</div>\n"));
            }
            Event::Start(Tag::Paragraph) => {
                let mark = match events.peek() {
                    Some(Event::Text(text)) => {
                        ["-> ", "~> ", "!> "].into_iter().find(|mark| text.starts_with(mark))
                    }
                    _ => None,
                };
                if let (Some(mark), Some(Event::Text(text))) = (mark, events.peek_mut()) {
                    let class = if mark == "!> " { "tf-note tf-warning" } else { "tf-note" };
                    framed.push(html(&format!("<div class=\"{class}\" role=\"note\">\n")));
                    *text = CowStr::from(text[mark.len()..].to_owned());
                    note = true;
                }
                framed.push(event);
            }
            Event::End(TagEnd::Paragraph) => {
                framed.push(event);
                if std::mem::take(&mut note) {
                    framed.push(html("</div>\n"));
                }
            }
            other => framed.push(other),
        }
    }
    framed
}

fn html<'a>(text: &str) -> Event<'a> {
    Event::Html(CowStr::from(text.to_owned()))
}

/// The classes that code may have.
static CLASSES: LazyLock<HashSet<String>> =
    LazyLock::new(|| LANGUAGES.iter().map(|language| format!("language-{language}")).collect());

fn sanitized(html: &str, resolver: &Arc<Resolver>) -> String {
    let classes: HashSet<&str> = CLASSES.iter().map(String::as_str).collect();
    let resolver = Arc::clone(resolver);
    let mut builder = Builder::default();
    builder
        // Landmarks are the page's own, and so is what lays a page out.
        .rm_tags(&["area", "article", "aside", "center", "footer", "header", "hgroup", "map", "nav"])
        .add_clean_content_tags(&[
            "iframe", "math", "noscript", "object", "svg", "template", "textarea", "title",
        ])
        .generic_attributes(["id", "lang", "title"].into())
        .add_tag_attributes("a", &["name"])
        .rm_tag_attributes("a", &["hreflang"])
        .rm_tag_attributes("blockquote", &["cite"])
        .rm_tag_attributes("q", &["cite"])
        .rm_tag_attributes("del", &["cite"])
        .rm_tag_attributes("ins", &["cite"])
        .add_tag_attribute_values("div", "role", &["region", "note"])
        .add_tag_attribute_values("div", "aria-label", &["Table"])
        .add_tag_attribute_values("div", "tabindex", &["0"])
        .add_allowed_classes("div", &["tf-table", "tf-note", "tf-warning"])
        .add_allowed_classes("code", classes)
        .add_allowed_classes("span", hcl::CLASSES)
        .set_tag_attribute_value("pre", "tabindex", "0")
        .link_rel(Some("noopener noreferrer"))
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            (_, "id" | "name") => is_id(value).then_some(Cow::Borrowed(value)),
            ("a", "href") => resolver.link(value).map(Cow::Owned),
            ("img", "src") => resolver.image(value).map(Cow::Owned),
            _ => Some(Cow::Borrowed(value)),
        });
    with_seen_images(&builder.clean(html).to_string())
}

/// Puts the text of images that are not shown in their place, and gives the others an empty one if they have none. In what
/// the sanitizer writes, attributes are in double quotes, and text has no `<`.
fn with_seen_images(html: &str) -> String {
    let mut seen = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find("<img") {
        let (before, tag) = rest.split_at(at);
        let mut quoted = false;
        let end = tag.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '>' && !quoted
        });
        let end = end.map_or(tag.len(), |(end, _)| end + 1);
        let attribute = |name: &str| {
            let (_, value) = tag[..end].split_once(&format!(" {name}=\""))?;
            value.split_once('"').map(|(value, _)| value)
        };
        seen.push_str(before);
        match (attribute("src"), attribute("alt")) {
            (None, alt) => seen.push_str(&alt.unwrap_or_default().replace('<', "&lt;")),
            (Some(_), None) => {
                seen.push_str("<img alt=\"\"");
                seen.push_str(&tag["<img".len()..end]);
            }
            (Some(_), Some(_)) => seen.push_str(&tag[..end]),
        }
        rest = &tag[end..];
    }
    seen.push_str(rest);
    seen
}

/// Whether an element of a text may have this id: a plain one, and none of the page's own.
fn is_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !id.is_empty()
        && id.len() <= 2 * MAX_HEADING
        && id.chars().all(is_plain)
        && !id.to_ascii_lowercase().starts_with("tf-")
}
