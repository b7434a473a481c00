//! JSON objects that are written back: a member that is not set keeps the text that was read.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{self, Object};
use super::layout::Key;
use crate::error::Refusal;

/// A JSON object whose members are kept as text, in their order.
///
/// It stores its depth in the document, for the indent of members that are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawObject {
    depth: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    name: String,
    /// The name as it is written, with its quotes.
    written: Box<str>,
    value: Box<str>,
}

/// Appends a line end, and the indent for `depth`.
fn indent(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

impl RawObject {
    /// An object without members, at the given depth: a document has depth 0.
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, members: Vec::new() }
    }

    /// Reads the object in `text`, whose values were checked or are checked by the caller.
    pub(super) fn read(text: &str, depth: usize) -> serde_json::Result<Self> {
        let member = |(name, written, value): (std::borrow::Cow<'_, str>, &RawValue, &RawValue)| Member {
            name: name.into_owned(),
            written: written.get().into(),
            value: value.get().into(),
        };
        Ok(Self { depth, members: json::members(text)?.into_iter().map(member).collect() })
    }

    /// Reads a document, strictly: see [`json::parse`].
    pub(super) fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let text = json::text(key, bytes)?;
        let failed = |error: serde_json::Error| json::not_strict(key, bytes.len(), &error);
        json::check(text).map_err(failed)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(json::refuse(key, "JSON that is no object"));
        }
        Self::read(text, 0).map_err(failed)
    }

    /// The members with these names, as values.
    ///
    /// # Errors
    /// A member cannot be represented as a value: for example, a number that is too large.
    pub(super) fn values(&self, key: &Key, names: &[&str]) -> Result<Object, Refusal> {
        let mut values = Object::new();
        for name in names {
            if let Some(text) = self.get(name) {
                let value = json::value(text)
                    .map_err(|error| json::refuse(key, format!("{name:?} cannot be read: {error}")))?;
                values.insert((*name).to_owned(), value);
            }
        }
        Ok(values)
    }

    /// Appends a member, which must be new: its name, and its name and value as they are written.
    pub(super) fn push(&mut self, name: &str, written: &str, value: &str) {
        self.members.push(Member { name: name.to_owned(), written: written.into(), value: value.into() });
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// A member's text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        Some(&*self.members[self.at(name)?].value)
    }

    /// A member as a value, if it exists and can be represented as one.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        json::value(self.get(name)?).ok()
    }

    /// A member that is an object; an empty object if it is not.
    pub(super) fn object(&self, name: &str) -> Self {
        let depth = self.depth + 1;
        self.get(name).and_then(|text| Self::read(text, depth).ok()).unwrap_or_else(|| Self::new(depth))
    }

    /// The elements of a member that are objects; none if it is not a list.
    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let elements: Vec<&RawValue> =
            self.get(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        elements.into_iter().filter_map(|text| Self::read(text.get(), self.depth + 2).ok()).collect()
    }

    /// Sets a member, at the end if it is new. If it has this value already, its text is kept.
    pub(super) fn set(&mut self, name: &str, value: &Value) {
        if self.value(name).as_ref() != Some(value) {
            let mut text = String::new();
            // JSON text has line ends only between tokens.
            for (i, line) in format!("{value:#}").split('\n').enumerate() {
                if i > 0 {
                    indent(&mut text, self.depth + 1);
                }
                text.push_str(line);
            }
            self.set_text(name, text);
        }
    }

    /// Sets a member to an object; if it has this value already, its text is kept.
    pub(super) fn set_object(&mut self, name: &str, object: &Self) {
        let is_so = self
            .get(name)
            .and_then(|text| Self::read(text, object.depth).ok())
            .is_some_and(|now| now == *object);
        if !is_so {
            let mut text = String::new();
            object.write(&mut text);
            self.set_text(name, text);
        }
    }

    /// Sets a member to a list of objects; if it has this value already, its text is kept.
    pub(super) fn set_objects(&mut self, name: &str, objects: &[Self]) {
        let elements: Option<Vec<&RawValue>> =
            self.get(name).and_then(|text| serde_json::from_str(text).ok());
        if elements.is_some_and(|list| list.len() == objects.len()) && self.objects(name) == objects {
            return;
        }
        let mut text = "[".to_owned();
        for (i, object) in objects.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            indent(&mut text, self.depth + 2);
            object.write(&mut text);
        }
        if !objects.is_empty() {
            indent(&mut text, self.depth + 1);
        }
        text.push(']');
        self.set_text(name, text);
    }

    /// Sets a member's text.
    pub(super) fn set_text(&mut self, name: &str, value: impl Into<Box<str>>) {
        match self.at(name) {
            Some(at) => self.members[at].value = value.into(),
            None => self.members.push(Member {
                name: name.to_owned(),
                written: Value::from(name).to_string().into(),
                value: value.into(),
            }),
        }
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, name: &str) {
        self.retain(|other| other != name);
    }

    /// Removes the members whose names `keep` is false for.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.members.retain(|member| keep(&member.name));
    }

    /// Orders the members by a key of their names; those with the same key stay in their order.
    pub(super) fn sort_by_cached_key<K: Ord>(&mut self, key: impl Fn(&str) -> K) {
        self.members.sort_by_cached_key(|member| key(&member.name));
    }

    /// The names of the members, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The same object at another depth: its values are indented again, with the same tokens.
    pub(super) fn at_depth(&self, depth: usize) -> Self {
        let mut moved = Self::new(depth);
        for member in &self.members {
            let value = indented(&member.value, depth + 1).into();
            moved.members.push(Member { value, ..member.clone() });
        }
        moved
    }

    /// Writes the object.
    pub(super) fn write(&self, out: &mut String) {
        self.write_with(out, |_, value, out| out.push_str(value));
    }

    /// Writes the object; calls `write` with the name and text of each value.
    pub(super) fn write_with(&self, out: &mut String, write: impl Fn(&str, &str, &mut String)) {
        out.push('{');
        for (i, member) in self.members.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            indent(out, self.depth + 1);
            out.push_str(&member.written);
            out.push_str(": ");
            write(&member.name, &member.value, out);
        }
        if !self.members.is_empty() {
            indent(out, self.depth);
        }
        out.push('}');
    }

    /// The bytes of a document, with a line end behind them.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        self.write(&mut text);
        text.push('\n');
        text.into_bytes()
    }
}

/// Indents the lists and objects of a value for `depth`; its tokens are kept.
fn indented(text: &str, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    match text.as_bytes().first() {
        Some(b'{') if let Ok(object) = RawObject::read(text, depth) => object.at_depth(depth).write(&mut out),
        Some(b'[') if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) => {
            out.push('[');
            for (i, element) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(&mut out, depth + 1);
                out.push_str(&indented(element.get(), depth + 1));
            }
            if !list.is_empty() {
                indent(&mut out, depth);
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays_byte_for_byte() {
        let text = r#"{"a" : [1,  2.50], "\u0062":{"$serde_json::private::Number": "7"},
            "big": 1e999, "c\/d": "\u0065", "e": true}"#;
        let mut object = RawObject::parse(&Key::Discovery, text.as_bytes()).unwrap();
        object.set("b", &serde_json::json!({"$serde_json::private::Number": "7"}));
        object.set("c/d", &"e".into());
        object.set("e", &serde_json::json!([false, {}]));
        object.set("f", &serde_json::json!({"g": []}));
        let written = String::from_utf8(object.to_bytes()).unwrap();
        let expected = "{\n  \"a\": [1,  2.50],\n  \"\\u0062\": {\"$serde_json::private::Number\": \"7\"},\n  \"big\": 1e999,\n  \
                        \"c\\/d\": \"\\u0065\",\n  \"e\": [\n    false,\n    {}\n  ],\n  \"f\": {\n    \"g\": []\n  }\n}\n";
        assert_eq!(written, expected);
        let again = RawObject::parse(&Key::Discovery, written.as_bytes()).unwrap();
        assert_eq!(again.to_bytes(), expected.as_bytes());
    }

    #[test]
    fn an_object_is_moved_token_by_token() {
        let object = RawObject::read(r#"{"a":[1.50,{"b\u0041":[],"c":{}}],"d":"[1]"}"#, 2).unwrap();
        let mut text = String::new();
        object.at_depth(0).write(&mut text);
        assert_eq!(
            text,
            "{\n  \"a\": [\n    1.50,\n    {\n      \"b\\u0041\": [],\n      \"c\": {}\n    }\n  ],\n  \"d\": \"[1]\"\n}"
        );
    }
}
