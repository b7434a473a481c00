//! Where the links of a page lead.

use std::cell::RefCell;
use std::collections::BTreeSet;

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use url::Url;

use crate::registry::pages::PageKey;

/// Collects the addresses in a page.
#[derive(Default)]
struct Addresses(RefCell<BTreeSet<String>>);

impl TokenSink for Addresses {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        if let Token::TagToken(tag) = token {
            let addresses = tag.attrs.into_iter().filter(|a| matches!(&*a.name.local, "href" | "src"));
            self.0.borrow_mut().extend(addresses.map(|a| a.value.to_string()));
        }
        TokenSinkResult::Continue
    }
}

/// The keys, as text, of the registry's objects to which a page links, or that it loads. Links to other hosts are none of
/// them.
#[must_use]
pub fn links(page: &PageKey, html: &str) -> BTreeSet<String> {
    // A reserved name (RFC 2606): it stands for the registry's own address, which the page does not know.
    const ROOT: &str = "http://registry.invalid/";
    let Ok(base) = Url::parse(&format!("{ROOT}{page}")) else { return BTreeSet::new() };
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(Addresses::default(), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let target = |address: String| {
        let mut url = base.join(&address).ok()?;
        url.set_fragment(None);
        url.as_str().strip_prefix(ROOT).map(str::to_owned)
    };
    tokenizer
        .sink
        .0
        .into_inner()
        .into_iter()
        .filter_map(target)
        .filter(|key| *key != page.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_objects_of_the_registry_are_found() {
        let page: PageKey = "providers/acme/x/1.0.0/docs/resources/a.html".parse().unwrap();
        let html = "<a href=\"../index.html#x\">a</a><A HREF='b.html'>b</a><img src=../i.png><a href=#here>c</a>\
                    <a href=\"https://example.com/\">d</a><a href=\"mailto:a@b\">e</a><link href=../../../../../assets/x.css>\
                    &lt;a href=\"f.html\"&gt;<!-- <a href=g.html> -->";
        let folder = "providers/acme/x/1.0.0/docs";
        let expected = [
            "providers/assets/x.css".to_owned(),
            format!("{folder}/i.png"),
            format!("{folder}/index.html"),
            format!("{folder}/resources/b.html"),
        ];
        assert_eq!(links(&page, html), BTreeSet::from(expected));
    }
}
