//! Reads typed values out of the syntax tree and keeps every fault instead of stopping at the first.

use std::borrow::Cow;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::{Range, Ranged};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::env::Env;
use super::fault::{FileFault, Place};
use super::nearest::nearest;

/// What reading needs at hand, and where what it finds is kept.
pub(super) struct Scope<'e> {
    pub(super) env: &'e Env,
    /// The byte offsets at which lines begin.
    lines: Vec<usize>,
    pub(super) faults: Vec<FileFault>,
    pub(super) warnings: Vec<FileFault>,
}

impl<'e> Scope<'e> {
    pub(super) fn new(text: &str, env: &'e Env) -> Self {
        let after_newline = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            env,
            lines: std::iter::once(0).chain(after_newline).collect(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes a fault, once, and returns `None`, so that it can end a reading function.
    pub(super) fn fault<T>(&mut self, place: &Place, text: impl Into<String>) -> Option<T> {
        self.keep_fault(FileFault::new(place, text))
    }

    /// Notes variables that are not set as a fault of the file.
    pub(super) fn unset_fault<T>(&mut self, place: &Place, text: impl Into<String>) -> Option<T> {
        self.keep_fault(FileFault::unset(place, text))
    }

    fn keep_fault<T>(&mut self, fault: FileFault) -> Option<T> {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        None
    }

    pub(super) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        let warning = FileFault::new(place, text);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The line, counted from 1, on which something begins.
    pub(super) fn line(&self, node: &impl Ranged) -> usize {
        let start = node.range().start;
        self.lines.partition_point(|&line| line <= start)
    }
}

/// A value in the file and where it stands.
pub(super) struct Node<'a> {
    pub(super) value: &'a Value<'a>,
    pub(super) place: Place,
}

impl Node<'_> {
    /// Notes that another type was expected; shows the type that was found, never the value.
    pub(super) fn mismatch<T>(&self, expected: &str, scope: &mut Scope<'_>) -> Option<T> {
        let found = match self.value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "true or false",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        };
        scope.fault(&self.place, format!("expected {expected}, found {found}"))
    }
}

/// A type that can be read from the file. `None` means that the fault was noted.
pub(super) trait Read: Sized {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self>;
}

/// A key of a section: what was given, else the default.
#[derive(Debug)]
pub(super) struct Field<T> {
    value: Option<T>,
    /// The key's place; when it is not there, with the line of the object that lacks it.
    pub(super) place: Place,
    presence: Presence,
}

#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Given,
    Absent,
    /// Given, and a fault was noted.
    Wrong,
}

impl<T> Default for Field<T> {
    /// Not there and without a default, which is also what makes a key optional in the schema.
    fn default() -> Self {
        Self::absent(Place::default(), None)
    }
}

impl<T> Field<T> {
    /// A key that is not there.
    fn absent(place: Place, default: Option<T>) -> Self {
        Self {
            value: default,
            place,
            presence: Presence::Absent,
        }
    }

    /// What was given, or the default; `None` without a default or after a fault.
    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether the key stands in the file, right or wrong.
    pub(super) fn is_given(&self) -> bool {
        self.presence != Presence::Absent
    }

    /// What was given; notes a fault if the key is not there.
    pub(super) fn required(&self, why: &str, scope: &mut Scope<'_>) -> Option<&T> {
        if self.presence == Presence::Absent {
            return scope.fault(&self.place, format!("is required: {why}"));
        }
        self.get()
    }

    /// This key of a server if it is given there, else the same key of the whole file.
    pub(super) fn or<'f>(&'f self, global: &'f Self) -> &'f Self {
        if self.is_given() { self } else { global }
    }
}

/// The members of an object, each to be asked for by its key.
pub(super) struct Members<'a> {
    object: &'a Object<'a>,
    place: Place,
}

static NOTHING: Object<'static> = Object {
    range: Range { start: 0, end: 0 },
    properties: Vec::new(),
};

impl Members<'static> {
    /// Those of an object that is not there, so that a section can be made of its defaults.
    pub(super) fn none(place: &Place) -> Self {
        let place = place.clone();
        Self {
            object: &NOTHING,
            place,
        }
    }
}

impl<'a> Members<'a> {
    /// Takes a node as an object and notes every key that is not one of `known`.
    pub(super) fn of(node: &Node<'a>, known: &[&str], scope: &mut Scope<'_>) -> Option<Self> {
        let Value::Object(object) = node.value else {
            return node.mismatch("an object", scope);
        };
        for property in &object.properties {
            let key = property.name.as_str();
            if !known.contains(&key) {
                let place = node.place.key(key, Some(scope.line(&property.name)));
                let text = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("unknown key, did you mean {near:?}"),
                    None => "unknown key".to_owned(),
                };
                scope.fault::<()>(&place, text);
            }
        }
        let place = node.place.clone();
        Some(Self { object, place })
    }

    /// The place of a key, if it is there.
    pub(super) fn place_of(&self, key: &str, scope: &Scope<'_>) -> Option<Place> {
        let property = self.object.get(key)?;
        Some(self.place.key(key, Some(scope.line(&property.name))))
    }

    /// Reads one key.
    pub(super) fn field<T: Read>(
        &self,
        key: &str,
        default: Option<T>,
        scope: &mut Scope<'_>,
    ) -> Field<T> {
        let Some(property) = self.object.get(key) else {
            return Field::absent(self.place.key(key, self.place.line), default);
        };
        let node = Node {
            value: &property.value,
            place: self.place.key(key, Some(scope.line(&property.name))),
        };
        let value = T::read(&node, scope);
        let presence = match value {
            Some(_) => Presence::Given,
            None => Presence::Wrong,
        };
        Field {
            value,
            place: node.place,
            presence,
        }
    }
}

impl Read for bool {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        match node.value {
            Value::BooleanLit(literal) => Some(literal.value),
            _ => node.mismatch("true or false", scope),
        }
    }
}

/// A list, without the elements that a fault was noted for.
impl<T: Read> Read for Vec<T> {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let Value::Array(array) = node.value else {
            return node.mismatch("a list", scope);
        };
        let mut list = Self::with_capacity(array.elements.len());
        for (index, value) in array.elements.iter().enumerate() {
            let place = node.place.element(index, Some(scope.line(value)));
            list.extend(T::read(&Node { value, place }, scope));
        }
        Some(list)
    }
}

/// A value whose own place matters.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

impl<T: Read> Read for Placed<T> {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let value = T::read(node, scope)?;
        let place = node.place.clone();
        Some(Self { place, value })
    }
}

/// An object whose keys are names of the user's own choosing, in the order of the file.
#[derive(Debug)]
pub(super) struct Map<T>(pub(super) Vec<(String, Place, T)>);

impl<T: Read> Read for Map<T> {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let Value::Object(object) = node.value else {
            return node.mismatch("an object", scope);
        };
        let mut list = Vec::with_capacity(object.properties.len());
        for property in &object.properties {
            let name = property.name.as_str();
            let place = node.place.key(name, Some(scope.line(&property.name)));
            let value = &property.value;
            let node = Node { value, place };
            if let Some(value) = T::read(&node, scope) {
                list.push((name.to_owned(), node.place, value));
            }
        }
        Some(Self(list))
    }
}

/// Notes every key that stands twice in one object, anywhere below a value: a parser would take one
/// of the two in silence.
pub(super) fn find_duplicate_keys(value: &Value<'_>, place: &Place, scope: &mut Scope<'_>) {
    match value {
        Value::Object(object) => {
            let mut first_lines = std::collections::HashMap::new();
            for property in &object.properties {
                let key = property.name.as_str();
                let line = scope.line(&property.name);
                let place = place.key(key, Some(line));
                match first_lines.get(key) {
                    None => drop(first_lines.insert(key, line)),
                    Some(first) => {
                        let text = format!("stands here twice, first on line {first}");
                        scope.fault::<()>(&place, text);
                    }
                }
                find_duplicate_keys(&property.value, &place, scope);
            }
        }
        Value::Array(array) => {
            for (index, value) in array.elements.iter().enumerate() {
                let place = place.element(index, Some(scope.line(value)));
                find_duplicate_keys(value, &place, scope);
            }
        }
        Value::StringLit(_)
        | Value::NumberLit(_)
        | Value::BooleanLit(_)
        | Value::NullKeyword(_) => {}
    }
}

/// In the schema a field is what it holds: `null` is no value of it.
macro_rules! same_schema {
    ($($wrapper:ident)*) => {
        $(impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        })*
    };
}

same_schema! { Field Placed }

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}
