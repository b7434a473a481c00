//! Strict reading and stable writing of the registry's JSON documents.
//!
//! A document is read into its parts, and what is not understood stays in it: whatever another tool or a later version
//! added is written back where it was.

use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::layout::Key;
use crate::error::Refusal;

/// A JSON object with its members in their order.
pub type Object = Map<String, Value>;

/// A registry document that cannot be understood. It is never taken for an empty one.
pub fn refuse(key: &Key, found: impl std::fmt::Display) -> Refusal {
    Refusal::new(key, "the registry's document cannot be understood")
        .found(found)
        .expected("the registry protocol's JSON document")
        .remedy("look at the object in the registry and repair it; nothing was written")
}

/// Reads a document that must be one JSON object, in which no object has a member twice: which of the two counts, readers
/// do not agree on, and the other one would be lost.
pub fn parse(key: &Key, bytes: &[u8]) -> Result<Object, Refusal> {
    if let Err(error) = serde_json::from_slice::<NoDuplicates>(bytes) {
        return Err(refuse(key, format!("{} bytes that are not strict JSON: {error}", bytes.len())));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(refuse(key, "JSON that is no object")),
        Err(error) => Err(refuse(key, error)),
    }
}

/// Any JSON value without an object that has a member twice; nothing of it is kept.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoDuplicates)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if names.contains(&name) {
                return Err(serde::de::Error::custom(format_args!("the member {name:?} is there twice")));
            }
            names.insert(name);
        }
        Ok(self)
    }
}

/// A member that must be there and be a string.
pub fn string<'a>(key: &Key, object: &'a Object, name: &str) -> Result<&'a str, Refusal> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(refuse(key, format!("{name:?} is {}, not a string", kind(other)))),
        None => Err(refuse(key, format!("no {name:?}"))),
    }
}

/// A member that must be there and be a list.
pub fn list<'a>(key: &Key, object: &'a Object, name: &str) -> Result<&'a [Value], Refusal> {
    match object.get(name) {
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(refuse(key, format!("{name:?} is {}, not a list", kind(other)))),
        None => Err(refuse(key, format!("no {name:?}"))),
    }
}

/// A list that must be of strings.
pub fn strings(key: &Key, object: &Object, name: &str) -> Result<Vec<String>, Refusal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all: Option<Vec<String>> = list(key, object, name)?.iter().map(text).collect();
    all.ok_or_else(|| refuse(key, format!("{name:?} has something else than strings")))
}

/// What a value is, in words.
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

/// Writes a document: two spaces of indent and a line end behind it.
#[must_use]
pub fn to_bytes(object: &Object) -> Vec<u8> {
    // The alternate form of `Value` is serde_json's pretty one, which indents by two spaces.
    format!("{:#}\n", Value::Object(object.clone())).into_bytes()
}
