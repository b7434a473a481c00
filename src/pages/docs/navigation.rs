//! The navigation between the pages of a documentation, by subcategory.

use std::collections::BTreeMap;

use super::front_matter::FrontMatter;
use super::layout::{KINDS, kind_of};

/// The most pages that every page's navigation lists. Of a larger documentation only the start page lists all, and the
/// other pages list their own group.
const LISTED_EVERYWHERE: usize = 150;

/// The groups of pages.
pub(super) struct Navigation {
    groups: Vec<Group>,
    pages: usize,
}

struct Group {
    /// None for the start page.
    title: Option<String>,
    items: Vec<Item>,
}

struct Item {
    name: String,
    text: String,
    /// In a group of several kinds, what it is.
    kind: Option<&'static str>,
}

/// A group as a page shows it.
pub(super) struct ShownGroup {
    pub(super) id: String,
    pub(super) title: Option<String>,
    /// Where its pages are listed, if not here.
    pub(super) link: Option<String>,
    pub(super) items: Vec<ShownItem>,
}

/// A page's link.
pub(super) struct ShownItem {
    pub(super) text: String,
    pub(super) link: String,
    pub(super) current: bool,
    pub(super) kind: Option<&'static str>,
}

impl Navigation {
    /// The navigation of pages by their names and front matters, in the order of names.
    pub(super) fn new<'a>(
        provider_type: &str,
        pages: impl Iterator<Item = (&'a str, &'a FrontMatter)>,
    ) -> Self {
        let mut start = Vec::new();
        let mut plain: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        let mut named: BTreeMap<String, BTreeMap<usize, Vec<Item>>> = BTreeMap::new();
        let mut count = 0;
        for (name, matter) in pages {
            count += 1;
            let Some((kind, rest)) = kind_of(name) else {
                start.push(Item { name: name.to_owned(), text: "Overview".to_owned(), kind: None });
                continue;
            };
            let at = KINDS.iter().position(|other| other == kind).unwrap_or_default();
            let is_guide = kind.folder == "guides";
            let text = match &matter.page_title {
                Some(title) if is_guide => title.clone(),
                _ if kind.has_prefix => with_prefix(provider_type, rest),
                _ => rest.to_owned(),
            };
            let item = |kind| Item { name: name.to_owned(), text: text.clone(), kind };
            match &matter.subcategory {
                Some(title) => {
                    let group = named.entry(title.clone()).or_default().entry(at).or_default();
                    group.push(item(Some(kind.one)));
                }
                None => plain.entry(at).or_default().push(item(None)),
            }
        }
        let mut groups = vec![Group { title: None, items: start }];
        for (at, items) in plain {
            groups.push(Group { title: KINDS.get(at).map(|kind| kind.many.to_owned()), items });
        }
        for (title, kinds) in named {
            groups.push(Group { title: Some(title), items: kinds.into_values().flatten().collect() });
        }
        Self { groups, pages: count }
    }

    /// A page's text in the navigation.
    pub(super) fn title(&self, name: &str) -> Option<&str> {
        let mut items = self.groups.iter().flat_map(|group| &group.items);
        items.find(|item| item.name == name).map(|item| item.text.as_str())
    }

    /// The navigation on the page of this name.
    pub(super) fn shown(&self, here: &str) -> Vec<ShownGroup> {
        let up = if here.contains('/') { "../" } else { "" };
        let whole = self.pages <= LISTED_EVERYWHERE || here == super::INDEX;
        let groups = self.groups.iter().enumerate().map(|(number, group)| {
            let is_here = group.title.is_none() || group.items.iter().any(|item| item.name == here);
            let items = group.items.iter().filter(|_| whole || is_here).map(|item| ShownItem {
                text: item.text.clone(),
                link: format!("{up}{}.html", item.name),
                current: item.name == here,
                kind: item.kind,
            });
            let id = format!("tf-g{number}");
            let link = (!whole && !is_here).then(|| format!("{up}index.html#{id}"));
            ShownGroup { title: group.title.clone(), link, items: items.collect(), id }
        });
        groups.collect()
    }
}

/// The name of a resource in configurations: file names leave the provider's type out.
fn with_prefix(provider_type: &str, name: &str) -> String {
    let prefix = format!("{provider_type}_");
    if name.starts_with(&prefix) || name == provider_type { name.to_owned() } else { prefix + name }
}
