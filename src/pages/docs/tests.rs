use super::*;

fn release() -> ReleaseId {
    let provider = Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() };
    ReleaseId { provider, version: "1.2.0".parse().unwrap() }
}

fn files(files: &[(&str, &[u8])]) -> BTreeMap<String, Bytes> {
    files.iter().map(|(path, bytes)| ((*path).to_owned(), Bytes::copy_from_slice(bytes))).collect()
}

fn rendered(sources: &[(&str, &str)]) -> BTreeMap<String, String> {
    let sources: Vec<(&str, &[u8])> = sources.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    let documentation = render(&release(), &files(&sources)).unwrap();
    let text = |(path, bytes): (DocsPath, Vec<u8>)| (path.to_string(), String::from_utf8(bytes).unwrap());
    documentation.files.into_iter().map(text).collect()
}

/// The part of a page that comes from its source, and what is between its heading and its text.
fn article(page: &str) -> &str {
    page.split_once("<main id=\"tf-main\">").unwrap().1.split_once("</article>").unwrap().0
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";

#[test]
fn the_layouts_of_the_ecosystem_are_read() {
    let sources = [
        (
            "index.md",
            "---\npage_title: Sample\ndescription: |-\n  The \"sample\"\n  provider.\n---\n# Sample provider\n\n[a thing](resources/thing.md#example)\n",
        ),
        (
            "resources/thing.md",
            "---\nsubcategory: Things\n---\n# sample_thing\n\n## Example\n\n```terraform\na = \"<b>\"\n```\n",
        ),
        (
            "d/thing.html.markdown",
            "---\nsubcategory: Things\n---\n# Data\n\n[the resource](/docs/providers/sample/r/thing.html)\n",
        ),
        ("functions/add.md", "# add\n"),
        ("ephemeral-resources/token.md", "# token\n"),
        ("list-resources/thing.md", "# list\n"),
        ("actions/run.md", "# run\n"),
        ("guides/start.md", "---\npage_title: Getting started\n---\nText only.\n"),
        ("cdktf/python/index.md", "# left out\n"),
        ("README.md", "# left out too\n"),
    ];
    let pages = rendered(&sources);
    let names: Vec<&str> = pages.keys().map(String::as_str).collect();
    let expected = [
        "actions/run.html",
        "data-sources/thing.html",
        "ephemeral-resources/token.html",
        "functions/add.html",
        "guides/start.html",
        "index.html",
        "list-resources/thing.html",
        "resources/thing.html",
    ];
    assert_eq!(names, expected);
    let index = &pages["index.html"];
    assert!(
        index.contains("<a href=\"resources/thing.html#example\" rel=\"noopener noreferrer\">a thing</a>"),
        "{index}"
    );
    for text in [
        ">Overview</a>",
        ">Guides</h3>",
        ">Getting started</a>",
        ">Things</h3>",
        ">sample_thing</a> <small>resource</small>",
    ] {
        assert!(index.contains(text), "{text} is not in\n{index}");
    }
    assert!(index.contains("name=\"description\" content=\"The &#34;sample&#34; provider.\""), "{index}");
    let thing = &pages["resources/thing.html"];
    assert!(
        thing.contains("<h2 id=\"example\">Example</h2>")
            && thing.contains("<a href=\"#example\">Example</a>"),
        "{thing}"
    );
    assert!(
        thing.contains("class=\"language-terraform\"")
            && thing.contains("<span class=\"tf-hcl-text\">\"&lt;b&gt;\"</span>"),
        "{thing}"
    );
    assert!(thing.contains("href=\"../../../docs.html#resources/thing\""), "{thing}");
    assert!(thing.contains("aria-current=\"page\">sample_thing"), "{thing}");
    assert!(pages["data-sources/thing.html"].contains("href=\"../resources/thing.html\""));
    let guide = &pages["guides/start.html"];
    assert!(guide.contains("<h1>Getting started</h1>") && !thing.contains("<h1>"), "{guide}");
    assert_eq!(rendered(&sources), pages);
}

#[test]
fn without_a_start_page_there_is_one_that_lists_the_others() {
    let pages = rendered(&[("resources/a.md", "# a\n")]);
    assert!(
        pages["index.html"].contains("<a href=\"resources/a.html\">sample_a</a>"),
        "{}",
        pages["index.html"]
    );
}

#[test]
fn hostile_pages_show_nothing_of_it() {
    let hostile = "# Title <script>alert(1)</script>\n\n\
        <script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)><circle/></svg>\n\n\
        <iframe src=\"https://evil.example/\"></iframe><object data=\"x\"></object><embed src=\"x\">\n\n\
        <form action=\"https://evil.example/\"><input name=a><button formaction=\"javascript:alert(1)\">b</button></form>\n\n\
        [a](javascript:alert(1)) [b](<java\nscript:alert(1)>) <a href=\"&#106;avascript:alert(1)\">c</a> [d](data:text/html,x)\n\n\
        <a href=\"//evil.example/\" onclick=\"alert(1)\" style=\"position:fixed\" target=\"_blank\" ping=\"https://evil.example/\">e</a>\n\n\
        ![f](https://evil.example/track.png) <img src=\"//evil.example/a.png\" srcset=\"https://evil.example/b.png 2x\">\n\n\
        <style>@import url(https://evil.example/x.css)</style><link rel=stylesheet href=\"https://evil.example/x.css\">\n\n\
        <meta http-equiv=\"refresh\" content=\"0;url=https://evil.example/\"><base href=\"https://evil.example/\">\n\n\
        <div id=\"tf-main\" class=\"tf-skip evil\" role=\"button\">g</div><h2 id=\"tf-nav\">h</h2>\n\n\
        </article></main><script type=\"application/json\" id=\"tf-data\">{}</script>\n\n\
        <table background=\"https://evil.example/x.png\"><tr><td background=\"javascript:alert(1)\">i</td></tr></table>\n\n\
        <video src=\"https://evil.example/v\" autoplay></video><audio src=\"https://evil.example/a\"></audio>\n\n\
        ## tf-main\n";
    let mutating = [
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
        "<!--><img src=x onerror=alert(1)>-->",
        "<a title=\"`<b>`\" href=\"javascript&colon;alert(1)\">x</a>",
        "<table><template><td><script>alert(1)</script>",
        "```<img onerror=alert(1)>\nx\n```\n\n# <x onerror=alert(1)\n",
    ];
    let pages = rendered(&[("index.md", hostile)]);
    let page = &pages["index.html"];
    let shown = article(page);
    for text in mutating {
        let page = &rendered(&[("index.md", text)])["index.html"];
        // An attribute of an element; as text it does nothing.
        let elements: Vec<&str> =
            article(page).split('<').skip(1).filter_map(|tag| tag.split('>').next()).collect();
        let bad = ["script", "onerror=", "javascript:", "style", "svg", "math"];
        assert!(
            elements.iter().all(|tag| bad.iter().all(|word| !tag.contains(word))),
            "{text}: {elements:?}"
        );
    }
    for word in [
        "<script",
        "onerror=",
        "onload=",
        "onclick=",
        "<svg",
        "<iframe",
        "<object",
        "<embed",
        "<form",
        "<input",
        "<button",
        "<style",
        "<link",
        "<meta",
        "<base",
        "<video",
        "<audio",
        "<math",
        "evil.example",
        "javascript:",
        "data:",
        "style=",
        "srcset",
        "background",
        "id=\"tf-",
        "tf-skip",
        "ping=",
        "target=",
    ] {
        assert!(!shown.contains(word), "{word:?} is in\n{shown}");
    }
    assert_eq!(page.matches("<script").count(), 1, "only the page's own\n{page}");
    assert_eq!(page.matches("</main>").count(), 1, "{page}");
    assert!(shown.contains(">e</a>") && shown.contains("<p>f </p>"), "the texts stay\n{shown}");
}

#[test]
fn titles_and_subcategories_are_text() {
    let source = "---\npage_title: \"<img src=x onerror=alert(1)>\"\nsubcategory: \"<b>\"\n---\nx\n";
    let pages = rendered(&[("guides/a.md", source), ("index.md", source)]);
    for page in pages.values() {
        assert!(!page.contains("<img") && !page.contains("<b>"), "{page}");
    }
}

#[test]
fn notes_and_tables_are_framed() {
    let source = "~> **Note:** careful\n\n!> Danger\n\n-> Fine\n\n| a | b |\n| - | :-: |\n| 1 | 2 |\n";
    let shown = article(&rendered(&[("index.md", source)])["index.html"]).to_owned();
    assert!(
        shown.contains("<div class=\"tf-note\" role=\"note\">\n<p><strong>Note:</strong> careful</p>"),
        "{shown}"
    );
    assert!(
        shown.contains("tf-note tf-warning")
            && shown.contains("<p>Danger</p>")
            && shown.contains("<p>Fine</p>"),
        "{shown}"
    );
    assert!(shown.contains("class=\"tf-table\"") && shown.contains("<td>2</td>"), "{shown}");
}

#[test]
fn images_of_the_folder_are_taken_along_if_a_page_shows_them() {
    let index = "![a](images/a.png) ![b](images/b.svg) ![c](../c.png)\n";
    let all = files(&[
        ("index.md", index.as_bytes()),
        ("images/a.png", PNG),
        ("images/unused.png", PNG),
        ("images/b.svg", b"<svg onload=alert(1)>"),
    ]);
    let documentation = render(&release(), &all).unwrap();
    let names: Vec<&str> = documentation.files.keys().map(DocsPath::as_str).collect();
    assert_eq!(names, ["images/a.png", "index.html"]);
    let page = &documentation.files[&"index.html".parse().unwrap()];
    let page = article(std::str::from_utf8(page).unwrap()).to_owned();
    assert!(
        page.contains("<p><img alt=\"a\" src=\"images/a.png\"> b c</p>")
            || page.contains("<p><img src=\"images/a.png\" alt=\"a\"> b c</p>"),
        "{page}"
    );
    let raw = [
        ("index.md", "<img src=\"a.png\"> <img alt=\"x > <b>\" title='\"'> <img>.\n".as_bytes()),
        ("a.png", PNG),
    ];
    let second = render(&release(), &files(&raw)).unwrap();
    let page = &second.files[&"index.html".parse().unwrap()];
    let page = article(std::str::from_utf8(page).unwrap()).to_owned();
    assert!(page.contains("<p><img alt=\"\" src=\"a.png\"> x &gt; &lt;b&gt; .</p>"), "{page}");
    assert_eq!(documentation.files[&"images/a.png".parse().unwrap()], PNG);
    let false_one = files(&[("index.md", b"x"), ("a.png", b"<html><script>alert(1)</script>")]);
    assert!(render(&release(), &false_one).unwrap_err().problem.contains("not what its name says"));
}

#[test]
fn what_exceeds_a_limit_is_refused_by_name() {
    let page = |text: String| files(&[("resources/large.md", text.as_bytes())]);
    let size = usize::try_from(MAX_PAGE).unwrap();
    for (files, named) in [
        (page("x".repeat(size + 1)), "too large"),
        (page(">".repeat(10_000)), "nested more than"),
        (page("<b>".repeat(10_000)), "HTML tags"),
        (page("<div>\n\n".repeat(10_000)), "HTML tags"),
        (page(format!("|a|\n|-|\n{}", "|b|\n".repeat(100_000))), "parts"),
        (files(&[("resources/a b.md", b"x")]), "name of a file"),
        (files(&[("resources/..md", b"\xff")]), "name of a file"),
        (files(&[("index.md", b"\xff")]), "not text"),
        (files(&[("resources/a.md", b"x"), ("r/a.html.markdown", b"x")]), "two files"),
        (files(&[("main.go", b"x")]), "no page"),
        (files(&[]), "no page"),
    ] {
        let refusal = render(&release(), &files).unwrap_err();
        let text = format!("{}\n{}", refusal.problem, refusal.found);
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[test]
fn the_largest_page_that_is_allowed_is_rendered_on_a_small_stack() {
    let tags = "<b><i><table><tr><td><a href=x>".repeat(300);
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    let page = thread.spawn(move || rendered(&[("index.md", &tags)])).unwrap().join().unwrap();
    assert!(page["index.html"].contains("</article>"));
}

#[test]
fn the_pages_of_a_large_provider_list_their_own_group() {
    let names: Vec<String> = (0..400).map(|i| format!("resources/r{i:03}.md")).collect();
    let sources: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "# x\n")).chain([("functions/f.md", "# f\n")]).collect();
    let pages = rendered(&sources);
    assert!(pages["index.html"].matches("<li>").count() > 400);
    let function = &pages["functions/f.html"];
    assert!(
        !function.contains("r000.html") && function.contains("href=\"../index.html#tf-g2\">Resources</a>"),
        "{function}"
    );
    assert!(pages["index.html"].contains("id=\"tf-g2\""));
}

#[test]
fn pages_lead_to_the_same_page_of_other_versions() {
    use versions::DocsVersions;

    let provider = release().provider;
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let mut page = DocsVersions::default().page(&provider).unwrap();
    for minor in 0..30 {
        let version = format!("1.{minor}.0").parse().unwrap();
        let next =
            DocsVersions::read(&provider, &page).unwrap().with(&version, &names(&["index", "resources/a"]));
        page = next.page(&provider).unwrap();
        assert_eq!(DocsVersions::read(&provider, &page).unwrap(), next);
    }
    let text = String::from_utf8(page.clone()).unwrap();
    assert!(
        text.contains("id=\"resources/a\"") && text.contains("href=\"1.29.0/docs/resources/a.html\""),
        "{text}"
    );
    assert!(
        !text.contains("1.5.0/docs/resources/a.html") && text.contains("href=\"1.5.0/docs/index.html\""),
        "{text}"
    );
    assert!(DocsVersions::read(&provider, text.replace("[\"index\"", "[\"../x y\"").as_bytes()).is_err());
}
