//! Strict reading and stable writing of the registry's JSON documents.
//!
//! Documents that are only read are parsed into values by [`parse`]. Documents that are written back are
//! [`RawObject`](super::raw::RawObject)s: members that tfreg does not know are kept, byte for byte.
//!
//! Values are built here rather than by serde_json's own `Value`: that interprets an object whose only member has one
//! of serde_json's private names as a number or as a text to be parsed again. For the same reason, and so that a number
//! means the same in both, `arbitrary_precision` must stay off.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::layout::Key;
use crate::error::Refusal;
use crate::provider::ReleaseId;

/// A JSON object with its members in their order.
pub type Object = Map<String, Value>;

/// The most values that a document may hold: each costs memory. The largest index, of 32 MiB, holds about 3.3 million when
/// it is written without spaces.
const MAX_VALUES: usize = 4_000_000;
/// The most members that one object may hold.
const MAX_MEMBERS: usize = 65_536;
/// How deeply values may be nested in each other; serde_json's own limit.
const MAX_DEPTH: usize = 127;

/// The refusal of a registry document that cannot be understood. Such a document is never treated as an empty one.
pub fn refuse(key: &Key, found: impl fmt::Display) -> Refusal {
    let again = match key {
        Key::Versions { .. } => ", or write it again by `tfreg reindex`".to_owned(),
        Key::MirrorIndex { provider, .. }
        | Key::MirrorVersion { release: ReleaseId { provider, .. }, .. } => {
            format!("; of a provider of this registry, `tfreg reindex TARGET {provider}` makes it anew")
        }
        _ => String::new(),
    };
    Refusal::new(key, "the registry's document cannot be understood")
        .found(found)
        .expected("the registry protocol's JSON document")
        .remedy(format!("look at the object in the registry and repair it{again}; nothing was written"))
}

/// The text of a document; a refusal where it is not UTF-8.
pub(super) fn text<'a>(key: &Key, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(bytes).map_err(|error| not_strict(key, bytes.len(), &error))
}

/// The refusal of a document of `len` bytes that is not JSON, or in which an object has a member twice.
pub(super) fn not_strict(key: &Key, len: usize, error: &dyn fmt::Display) -> Refusal {
    refuse(key, format!("{len} bytes that are not strict JSON: {error}"))
}

/// Reads a document that must be one JSON object. No object in it may have a member twice: readers do not agree on
/// which of the two counts, and the other one would be lost.
///
/// # Errors
/// The document is not such an object, or exceeds the limits.
pub fn parse(key: &Key, bytes: &[u8]) -> Result<Object, Refusal> {
    match value(text(key, bytes)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(refuse(key, "JSON that is no object")),
        Err(error) => Err(not_strict(key, bytes.len(), &error)),
    }
}

/// Reads one strict JSON value. A number too large for `f64` is replaced by the largest `f64`.
pub fn value(text: &str) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Build(&Cell::new(0)).deserialize(&mut deserializer);
    if let Ok(value) = value.and_then(|value| deserializer.end().map(|()| value)) {
        return Ok(value);
    }
    build_with_large_numbers(serde_json::from_str(text)?, MAX_DEPTH, &Cell::new(0))
}

/// Builds the same as [`value`], but converts each number separately.
fn build_with_large_numbers(raw: &RawValue, depth: usize, values: &Cell<usize>) -> serde_json::Result<Value> {
    count(values, 1)?;
    let text = raw.get();
    let next = |raw: &RawValue| build_with_large_numbers(raw, depth - 1, values);
    match text.as_bytes().first() {
        _ if depth == 0 => Err(de::Error::custom("values are nested too deeply")),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)?.into_iter().map(next).collect(),
        Some(b'{') => {
            let members = members(text)?.into_iter();
            members.map(|(name, _, value)| Ok((name.into_owned(), next(value)?))).collect()
        }
        Some(b'-' | b'0'..=b'9') => {
            let largest = if text.starts_with('-') { f64::MIN } else { f64::MAX };
            Ok(serde_json::from_str(text).unwrap_or_else(|_| largest.into()))
        }
        _ => serde_json::from_str(text),
    }
}

/// Checks that a text is one strict JSON value, without storing it.
pub(super) fn check(text: &str) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if Check(&Cell::new(0)).deserialize(&mut deserializer).and_then(|()| deserializer.end()).is_ok() {
        return Ok(());
    }
    // It may hold a number that is too large for `f64`: that is kept as text, so it needs no value.
    let raw: &RawValue = serde_json::from_str(text)?;
    check_without_numbers(raw, MAX_DEPTH, &Cell::new(0))
}

/// Checks the same as [`check`], but does not convert numbers.
fn check_without_numbers(raw: &RawValue, depth: usize, values: &Cell<usize>) -> serde_json::Result<()> {
    count(values, 1)?;
    let text = raw.get();
    let inner: Vec<&RawValue> = match text.as_bytes().first() {
        _ if depth == 0 => return Err(de::Error::custom("values are nested too deeply")),
        Some(b'[') => serde_json::from_str(text)?,
        Some(b'{') => members(text)?.into_iter().map(|(_, _, value)| value).collect(),
        _ => return Ok(()),
    };
    inner.into_iter().try_for_each(|value| check_without_numbers(value, depth - 1, values))
}

/// The members of the object in `text`, whose names must differ: name, name as written, and value as written.
pub(super) fn members(text: &str) -> serde_json::Result<Vec<(Cow<'_, str>, &RawValue, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let (mut members, mut names) = (Vec::new(), Names::default());
            while let Some(written) = map.next_key::<&RawValue>()? {
                let name = name_of(written).map_err(de::Error::custom)?;
                names.add(name.clone())?;
                members.push((name, written, map.next_value()?));
            }
            names.end()?;
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(members)
}

/// Decodes a member's name.
pub(super) fn name_of(written: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    Name.deserialize(&mut serde_json::Deserializer::from_str(written.get()))
}

/// Deserializes the name of a member, borrowed if it is written without escapes.
pub(super) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The names of one object's members that were read so far.
#[derive(Default)]
pub(super) struct Names<'de>(Vec<Cow<'de, str>>);

impl<'de> Names<'de> {
    /// Above this number, names are sorted and compared at the end.
    const FEW: usize = 16;

    /// Adds a name, which must be new.
    pub(super) fn add<E: de::Error>(&mut self, name: Cow<'de, str>) -> Result<(), E> {
        if self.0.len() < Self::FEW && self.0.contains(&name) {
            return Err(twice(&name));
        }
        if self.0.len() == MAX_MEMBERS {
            return Err(E::custom(format_args!("an object with more than {MAX_MEMBERS} members")));
        }
        self.0.push(name);
        Ok(())
    }

    /// Checks the names after the last one.
    pub(super) fn end<E: de::Error>(mut self) -> Result<(), E> {
        if self.0.len() > Self::FEW {
            self.0.sort_unstable();
            let pairs = self.0.iter().zip(self.0.iter().skip(1));
            if let Some((name, _)) = pairs.into_iter().find(|(name, next)| name == next) {
                return Err(twice(name));
            }
        }
        Ok(())
    }
}

fn twice<E: de::Error>(name: &str) -> E {
    E::custom(format_args!("the member {name:?} is there twice"))
}

/// Counts `more` values.
pub(super) fn count<E: de::Error>(values: &Cell<usize>, more: usize) -> Result<(), E> {
    values.set(values.get() + more);
    if values.get() > MAX_VALUES {
        return Err(E::custom(format_args!("more than {MAX_VALUES} values")));
    }
    Ok(())
}

/// Checks any strict JSON value, without storing it; counts values.
#[derive(Clone, Copy)]
pub(super) struct Check<'c>(pub(super) &'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        count(self.0, 1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(name) = members.next_key_seed(Name)? {
            names.add(name)?;
            members.next_value_seed(self)?;
        }
        names.end()
    }
}

/// Builds any strict JSON value; counts values.
#[derive(Clone, Copy)]
struct Build<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        count(self.0, 1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no numbers that are not finite.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(twice(&name));
            }
            let value = members.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// Returns a member that is required and must be a string.
pub fn string<'a>(key: &Key, object: &'a Object, name: &str) -> Result<&'a str, Refusal> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(refuse(key, format!("{name:?} is {}, not a string", kind(other)))),
        None => Err(refuse(key, format!("no {name:?}"))),
    }
}

/// Returns a member that is required and must be a list.
pub fn list<'a>(key: &Key, object: &'a Object, name: &str) -> Result<&'a [Value], Refusal> {
    match object.get(name) {
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(refuse(key, format!("{name:?} is {}, not a list", kind(other)))),
        None => Err(refuse(key, format!("no {name:?}"))),
    }
}

/// Returns a member that must be a list of strings.
pub fn strings(key: &Key, object: &Object, name: &str) -> Result<Vec<String>, Refusal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all: Option<Vec<String>> = list(key, object, name)?.iter().map(text).collect();
    all.ok_or_else(|| refuse(key, format!("{name:?} has something else than strings")))
}

/// Names the type of a value, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Names the type of a value by its text, for messages.
pub(super) fn kind_of_text(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

/// Formats a document: two spaces of indent, and a line end after it.
#[must_use]
pub fn to_bytes(object: &Object) -> Vec<u8> {
    // The alternate form of `Value` is serde_json's pretty one, which indents by two spaces.
    format!("{:#}\n", Value::Object(object.clone())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_private_name_of_serde_json_stays_an_object() {
        for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
            for text in [format!(r#"{{"x":{{"{name}":"7"}}}}"#), format!(r#"{{"{name}":"7"}}"#)] {
                let key = Key::Discovery;
                let object = parse(&key, text.as_bytes()).unwrap();
                assert_eq!(Value::Object(object).to_string(), text);
                assert!(check(&text).is_ok());
            }
        }
    }

    #[test]
    fn members_are_there_once_at_any_depth_and_in_any_spelling() {
        let many = |last: &str| {
            let members: String = (0..100).fold(String::new(), |all, i| all + &format!("\"m{i}\": 1e999, "));
            format!("{{{members}\"{last}\": 1}}")
        };
        for (good, text) in [
            (true, r#"{"a":{"a":[{"a":1}]}}"#.to_owned()),
            (false, r#"{"a":1,"b":2,"a":3}"#.to_owned()),
            (false, r#"{"x":[{"a":1,"\u0061":2}]}"#.to_owned()),
            (false, r#"{"a":1e999,"x":[{"a":1,"\u0061":2}]}"#.to_owned()),
            (true, many("m100")),
            (false, many("m7")),
            (false, format!("{}1{}", "[".repeat(200), "]".repeat(200))),
            (false, format!("[1e999,{}1{}]", "[".repeat(200), "]".repeat(200))),
            (false, r#"{"a":01}"#.to_owned()),
            (false, r#"{"a":1} x"#.to_owned()),
        ] {
            assert_eq!(check(&text).is_ok(), good, "{text}");
            assert!(good || value(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_too_large_is_a_number() {
        let object = value(r#"{"a":[1e999,-1E999,1.50,7,"x"],"b":null}"#).unwrap();
        assert_eq!(object, serde_json::json!({"a": [f64::MAX, f64::MIN, 1.5, 7, "x"], "b": null}));
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let values = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(value(&values).unwrap_err().to_string().contains("more than 4000000 values"));
        let members: String = (0..=MAX_MEMBERS).fold(String::new(), |all, i| all + &format!("\"{i}\":0,"));
        let error = check(&format!("{{{members}\"x\":0}}")).unwrap_err().to_string();
        assert!(error.contains("more than 65536 members"), "{error}");
    }
}
