//! Whatever names, reasons, records and documentation say, pages show it as text: read as a browser reads them, they have no
//! element, attribute or address but those that they shall have.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use proptest::prelude::*;
use serde_json::json;
use url::Url;

use super::docs::{self, versions::DocsVersions};
use super::origin::Origin;
use super::provider_page::MadePages;
use super::{
    Directory, ListedRelease, OfferedFile, ProviderFacts, ReleaseFacts, Site, Yanked, assets, links,
};
use crate::content::Digest;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::Key;
use crate::registry::pages::PageKey;

const BASE: &str = "https://registry.example.com/tf/";

/// What somebody would write who wants more than text.
const PIECES: &[&str] = &[
    "<script>alert(1)</script>",
    "</script>",
    "<script src=//evil.example/x.js></script>",
    "<tfmark tfmark=1>",
    "<img src=x onerror=alert(1)>",
    "<img src=\"https://evil.example/x.png\">",
    "![i](https://evil.example/i.png)",
    "![i](//evil.example/i.png)",
    "<img srcset='//evil.example/x 1x'>",
    "[a](javascript:alert(1))",
    "[a]( java\tscript:alert(1))",
    "[a](\u{1}javascript:alert(1))",
    "<a href='JaVaScRiPt:x'>a</a>",
    "<a href=\"&#106;avascript:alert(1)\">a</a>",
    "<a href=\"java&#10;script:alert(1)\">a</a>",
    "[a][b]\n\n[b]: javascript:x\n",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "<a href=//evil.example ping=//evil.example>a</a>",
    "<svg onload=alert(1)><a xlink:href='javascript:x'>",
    "<iframe src=//evil.example srcdoc='<script>'></iframe>",
    "<style>@import url(//evil.example)</style>",
    "<p style='background:url(//evil.example)'>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button formaction=javascript:x>",
    "<input autofocus onfocus=alert(1)>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<video poster=//evil.example src=//evil.example>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=x onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<details open ontoggle=alert(1)>",
    "<b id=tf-main>",
    "\" onmouseover=alert(1) tfmark=\"",
    "' tfmark='",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "&lt;tfmark&gt;",
    "&#60;tfmark&#62;",
    "{{ 7 * 7 }}",
    "\u{0}",
    "\u{202e}",
    "\u{2028}",
    "\\",
    "`",
    "```\n",
    "```hcl\n",
    "```<tfmark>\n",
    "\n\n",
    "# ",
    "## ",
    "> ",
    "* ",
    "| a | b |\n|---|---|\n| ",
    " | ",
    "-> ",
    "[a](resources/thing.md)",
    "[a](../x.md#y)",
    "[a](https://example.com/?a=\"b\")",
    "<a href=mailto:a@b>",
    "</main>",
    "</body>",
    "</title>",
    "<title>",
    "<textarea>",
    "<plaintext>",
    "<a name=tf-data>",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,12}", 1 => "[a-z ]{1,12}"];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

/// The tags of a page, as a browser finds them.
#[derive(Default)]
struct Tags {
    tags: RefCell<Vec<Tag>>,
}

impl TokenSink for Tags {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        let raw = match &*tag.name {
            "script" => Some(RawKind::ScriptData),
            "title" | "textarea" => Some(RawKind::Rcdata),
            "style" | "iframe" | "noscript" | "xmp" | "noembed" | "noframes" => Some(RawKind::Rawtext),
            _ => None,
        };
        let raw = raw.filter(|_| tag.kind == TagKind::StartTag);
        self.tags.borrow_mut().push(tag);
        raw.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
    }
}

fn tags(html: &str) -> Vec<Tag> {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(Tags::default(), TokenizerOpts::default());
    while !input.is_empty() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    tokenizer.sink.tags.into_inner()
}

/// Elements that no page has, wherever the text comes from.
const FORBIDDEN: &[&str] = &[
    "tfmark",
    "style",
    "iframe",
    "object",
    "embed",
    "form",
    "button",
    "textarea",
    "select",
    "base",
    "svg",
    "math",
    "video",
    "audio",
    "source",
    "track",
    "frame",
    "frameset",
    "applet",
    "noscript",
    "template",
    "plaintext",
    "xmp",
    "portal",
    "dialog",
];
/// Attributes that no element has, beside those that begin with `on`.
const FORBIDDEN_ATTRIBUTES: &[&str] = &[
    "tfmark",
    "style",
    "srcdoc",
    "srcset",
    "formaction",
    "action",
    "ping",
    "poster",
    "background",
    "data",
    "xlink:href",
    "cite",
    "longdesc",
    "usemap",
    "integrity",
    "nonce",
];

/// Judges a page as a browser reads it; `known` are the objects that there are.
fn judge(page: &PageKey, bytes: &[u8], known: &BTreeSet<String>) -> Result<(), TestCaseError> {
    let html = std::str::from_utf8(bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let base = Url::parse(&format!("{BASE}{page}")).unwrap();
    let (mut scripts, mut data, mut policies, mut own_ids) = (0, 0, 0, BTreeSet::new());
    for tag in tags(html) {
        let name = &*tag.name;
        let text = |attribute: &str| {
            tag.attrs.iter().find(|a| &*a.name.local == attribute).map(|a| a.value.to_string())
        };
        prop_assert!(!FORBIDDEN.contains(&name), "{page}: <{name}> in {html}");
        if tag.kind == TagKind::EndTag {
            continue;
        }
        match name {
            "script" if text("src").is_some() => scripts += 1,
            "script" => {
                prop_assert!(text("type").is_some_and(|kind| kind == "application/json"), "{page}: {html}");
                data += 1;
            }
            "meta" => policies += usize::from(text("http-equiv").is_some()),
            "input" => prop_assert!(text("type").is_some_and(|kind| kind == "search"), "{page}: {html}"),
            _ => {}
        }
        for attribute in &tag.attrs {
            let (local, value) = (&*attribute.name.local, &*attribute.value);
            prop_assert!(
                !local.starts_with("on") && !FORBIDDEN_ATTRIBUTES.contains(&local),
                "{page}: {local} in {html}"
            );
            if local == "id" && value.starts_with("tf-") {
                prop_assert!(own_ids.insert(value.to_owned()), "{page}: twice the id {value} in {html}");
            }
            if matches!(local, "href" | "src") {
                let url = base.join(value);
                prop_assert!(url.is_ok(), "{page}: {value} in {html}");
                let url = url.unwrap();
                prop_assert!(matches!(url.scheme(), "https" | "http" | "mailto"), "{page}: {url} in {html}");
                let loads = name != "a";
                prop_assert!(!loads || url.as_str().starts_with(BASE), "{page} loads {url}");
            }
        }
    }
    prop_assert_eq!((scripts, policies), (1, 1), "{}: {}", page, html);
    prop_assert!(data <= 1, "{page}: {html}");
    for link in links(page, html) {
        prop_assert!(known.contains(&link), "{page}: {link} leads to nothing: {known:?}");
    }
    Ok(())
}

fn provider() -> Provider {
    Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// The pages that every page may lead to.
fn frame_of(provider: &Provider) -> BTreeSet<String> {
    let pages = [
        PageKey::Registry,
        PageKey::Provider { provider: provider.clone() },
        PageKey::Feed { provider: provider.clone() },
        PageKey::DocsVersions { provider: provider.clone() },
    ];
    pages.iter().chain(assets().iter().map(|(key, _)| key)).map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pages_of_documents_show_texts_as_texts(texts in prop::collection::vec(hostile(), 10), yanked in any::<bool>()) {
        let (provider, old, new) = (provider(), version("1.0.0"), version("1.1.0-rc.1"));
        let site = Site::new(Some(&texts[0]), &Url::parse(BASE).unwrap());
        let listed = ListedRelease {
            published: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            protocols: vec![texts[1].clone(), texts[2].clone()],
            platforms: ["linux_amd64".parse().unwrap()].into(),
            yanked: yanked.then_some(Yanked { when: None }),
        };
        let release = ReleaseId::new(&provider, &old);
        let facts = ProviderFacts {
            provider: provider.clone(),
            versions: BTreeMap::from([(old.clone(), listed.clone()), (new.clone(), listed.clone())]),
            warnings: vec![texts[3].clone(), texts[4].clone()],
            public_key: Some(texts[5].clone()),
            made: MadePages::default().with_release(&old, &listed).with(&old, true),
        };
        let mut known = frame_of(&provider);
        known.insert(PageKey::Release { release: release.clone() }.to_string());
        known.insert(docs::home(&provider, &old).to_string());
        let page = facts.page(&site).unwrap();
        judge(&PageKey::Provider { provider: provider.clone() }, &page, &known)?;
        prop_assert_eq!(&MadePages::read(&provider, &page).unwrap(), &facts.made);
        prop_assert_eq!(page, facts.page(&site).unwrap());

        let directory = Directory::default().with(&provider, facts.entry());
        let page = directory.page(&site).unwrap();
        judge(&PageKey::Registry, &page, &known)?;
        prop_assert_eq!(Directory::read(&page).unwrap(), directory);

        let zip: Key = "store/acme/sample/1.0.0/ba7816bf8f01cfea/terraform-provider-sample_1.0.0_linux_amd64.zip".parse().unwrap();
        let record: Key = "store/acme/sample/1.0.0/ba7816bf8f01cfea/provenance.json".parse().unwrap();
        known.extend([zip.to_string(), record.to_string()]);
        let statement = json!({
            "subject": [{ "name": texts[6] }],
            "predicate": {
                "buildDefinition": { "externalParameters": { "repository": texts[7], "commit": texts[8], "tag": texts[9] } },
                "runDetails": { "metadata": { "invocationId": texts[7] }, "builder": { "id": format!("https://h/{}", texts[8]) } },
            },
        });
        let facts = ReleaseFacts {
            release: release.clone(),
            listed,
            reason: Some(texts[3].clone()),
            files: vec![OfferedFile {
                platform: "linux_amd64".parse().unwrap(),
                name: texts[4].clone(),
                key: Some(zip),
                size: None,
                sha256: Digest::of(b"zip"),
            }],
            signed: None,
            public_keys: vec![texts[5].clone()],
            origin: Origin::read(statement.to_string().as_bytes()).map(|origin| (record, origin)),
            has_docs: true,
        };
        let page = facts.page(&site).unwrap();
        judge(&PageKey::Release { release }, &page, &known)?;
        prop_assert_eq!(page, facts.page(&site).unwrap());
    }

    #[test]
    fn documentation_shows_nothing_of_what_it_must_not(
        bodies in prop::collection::vec(hostile(), 3),
        matters in prop::collection::vec(hostile(), 3),
    ) {
        let release = ReleaseId::new(&provider(), &version("1.0.0"));
        let matter = |text: &str| serde_json::Value::from(text).to_string();
        let (title, subcategory, description) = (matter(&matters[0]), matter(&matters[1]), matter(&matters[2]));
        let files: BTreeMap<String, Bytes> = [
            ("index.md", bodies[0].clone()),
            ("guides/a.md", format!("---\npage_title: {title}\nsubcategory: {subcategory}\ndescription: {description}\n---\n{}", bodies[1])),
            ("resources/thing.md", format!("# sample_thing {}\n\n{}", matters[1].replace('\n', " "), bodies[2])),
        ].into_iter().map(|(path, text)| (path.to_owned(), Bytes::from(text))).collect();
        // Some texts are no front matter.
        if let Ok(documentation) = docs::render(&release, &files) {
            let mut known = frame_of(&release.provider);
            known.insert(PageKey::Release { release: release.clone() }.to_string());
            let key = |path: &crate::registry::pages::DocsPath| PageKey::Docs { release: release.clone(), path: path.clone() };
            known.extend(documentation.files.keys().map(|path| key(path).to_string()));
            for (path, bytes) in &documentation.files {
                judge(&key(path), bytes, &known)?;
            }
            let versions = DocsVersions::default().with(&release.version, &documentation.names);
            judge(&PageKey::DocsVersions { provider: release.provider.clone() }, &versions.page(&release.provider).unwrap(), &known)?;
            prop_assert_eq!(docs::render(&release, &files).unwrap(), documentation);
        }
    }
}

#[test]
fn the_judge_sees_what_is_there() {
    let page = PageKey::Registry;
    let good =
        String::from_utf8(Directory::default().page(&Site::new(None, &Url::parse(BASE).unwrap())).unwrap())
            .unwrap();
    let known = frame_of(&provider());
    judge(&page, good.as_bytes(), &known).unwrap();
    for bad in [
        "<script>alert(1)</script>",
        "<script src=x.js></script>",
        "<img src=x onerror=alert(1)>",
        "<img src=//evil.example/x>",
        "<a href=javascript:x>",
        "<a href=nothing.html>",
        "<p style=x>",
        "<b id=tf-main>",
        "<tfmark>",
        "<meta http-equiv=refresh>",
    ] {
        let html = good.replace("</main>", &format!("{bad}</main>"));
        assert!(judge(&page, html.as_bytes(), &known).is_err(), "{bad}");
    }
}
