//! JSON Schemas (draft 2020-12, which OpenAPI 3.1 takes) of messages, made of their declarations:
//! a member's name, type and meaning are written once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The schemas of messages by their names, as `components.schemas` of the document has them.
pub type Schemas = Map<String, Value>;

/// What can stand in a message.
pub trait Describe {
    /// Its schema, where it is used; a message's own stands in `all`, and this refers to it.
    fn describe(all: &mut Schemas) -> Value;
}

/// A reference to the schema of a message.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn integer(least: u64) -> Value {
    json!({"type": "integer", "minimum": least})
}

impl Describe for String {
    fn describe(_all: &mut Schemas) -> Value {
        json!({"type": "string"})
    }
}

impl Describe for bool {
    fn describe(_all: &mut Schemas) -> Value {
        json!({"type": "boolean"})
    }
}

impl Describe for u16 {
    fn describe(_all: &mut Schemas) -> Value {
        integer(0)
    }
}

impl Describe for u32 {
    fn describe(_all: &mut Schemas) -> Value {
        integer(0)
    }
}

impl Describe for u64 {
    fn describe(_all: &mut Schemas) -> Value {
        integer(0)
    }
}

impl Describe for usize {
    fn describe(_all: &mut Schemas) -> Value {
        integer(0)
    }
}

/// What is described elsewhere.
impl Describe for Value {
    fn describe(_all: &mut Schemas) -> Value {
        json!({"type": "object"})
    }
}

/// From, and up to but without.
impl Describe for (u64, u64) {
    fn describe(_all: &mut Schemas) -> Value {
        json!({"type": "array", "items": integer(0), "minItems": 2, "maxItems": 2})
    }
}

impl Describe for BTreeMap<String, String> {
    fn describe(_all: &mut Schemas) -> Value {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(all: &mut Schemas) -> Value {
        json!({"type": "array", "items": T::describe(all)})
    }
}

impl<T: Describe> Describe for Option<T> {
    fn describe(all: &mut Schemas) -> Value {
        let mut schema = T::describe(all);
        match schema.get_mut("type") {
            Some(kind) => *kind = json!([kind.take(), "null"]),
            None => schema = json!({"anyOf": [schema, {"type": "null"}]}),
        }
        schema
    }
}

/// The schema of a message while its members are told, one after the other.
pub(super) struct Object {
    /// Whether a member that is not named is refused: so are requests read.
    strict: bool,
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Object {
    /// A message whose declaration has these attributes of serde's.
    pub(super) fn of(attributes: &str) -> Self {
        Self {
            strict: attributes.contains("deny_unknown_fields"),
            properties: Map::new(),
            required: Vec::new(),
        }
    }

    /// A member. In what is strict it is needed unless it has a default; of what is sent to
    /// clients it is there unless it can be skipped: their defaults are for older gateways.
    pub(super) fn member<T: Describe>(
        &mut self,
        (name, attributes): (&str, &str),
        (meaning, more): (&str, Option<Value>),
        all: &mut Schemas,
    ) {
        let mut schema = T::describe(all);
        if attributes.contains("flatten") {
            return self.take_over(&schema, all);
        }
        let name = name.trim_start_matches("r#").to_owned();
        if let Some(members) = schema.as_object_mut() {
            if let Some(Value::Object(more)) = more {
                members.extend(more);
            }
            members.insert("description".to_owned(), meaning.trim().into());
        }
        let absent = if self.strict {
            "default"
        } else {
            "skip_serializing_if"
        };
        if !attributes.contains(absent) {
            self.required.push(name.clone());
        }
        self.properties.insert(name, schema);
    }

    /// The members of a message that stand among this one's.
    fn take_over(&mut self, reference: &Value, all: &Schemas) {
        let path = reference.get("$ref").and_then(Value::as_str);
        let name = path.and_then(|path| path.rsplit_once('/'));
        let Some(inner) = name.and_then(|(_, name)| all.get(name)) else {
            return;
        };
        if let Some(properties) = inner.get("properties").and_then(Value::as_object) {
            self.properties.extend(properties.clone());
        }
        let required = inner.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten();
        let required = required.filter_map(Value::as_str).map(str::to_owned);
        self.required.extend(required);
    }

    /// All of it.
    pub(super) fn schema(self, meaning: &str) -> Value {
        let mut schema = json!({
            "type": "object", "description": meaning.trim(), "properties": self.properties,
            "required": self.required,
        });
        if self.strict
            && let Some(members) = schema.as_object_mut()
        {
            members.insert("additionalProperties".to_owned(), false.into());
        }
        schema
    }
}

/// Declares messages: structs of public members for serde, and their schemas. What follows a
/// member's type (`= {"format": "date-time"}`) is added to its schema.
macro_rules! messages {
    ($(
        $(#[doc = $about:literal])*
        $(#[derive($($trait:ident),*)])?
        $(#[serde($($serde:tt)*)])?
        struct $name:ident {
            $(
                $(#[doc = $meaning:literal])*
                $(#[serde($($attribute:tt)*)])?
                $member:ident: $kind:ty $(= $more:tt)?,
            )*
        }
    )*) => {$(
        $(#[doc = $about])*
        $(#[derive($($trait),*)])?
        #[derive(serde::Serialize, serde::Deserialize)]
        $(#[serde($($serde)*)])?
        pub struct $name {
            $(
                $(#[doc = $meaning])*
                $(#[serde($($attribute)*)])?
                pub $member: $kind,
            )*
        }

        impl $crate::wire::schema::Describe for $name {
            fn describe(all: &mut $crate::wire::schema::Schemas) -> serde_json::Value {
                const NAME: &str = stringify!($name);
                if !all.contains_key(NAME) {
                    let mut object = $crate::wire::schema::Object::of(
                        concat!("" $(, stringify!($($serde)*))?),
                    );
                    $(object.member::<$kind>(
                        (
                            stringify!($member),
                            concat!("" $(, stringify!($($attribute)*))?),
                        ),
                        (
                            concat!("" $(, $meaning)*),
                            [$(serde_json::json!($more))?].into_iter().next(),
                        ),
                        all,
                    );)*
                    let schema = object.schema(concat!("" $(, $about)*));
                    all.insert(NAME.to_owned(), schema);
                }
                $crate::wire::schema::reference(NAME)
            }
        }
    )*};
}

/// Declares sets of words: enums for serde, and their schemas.
macro_rules! words {
    ($(
        $(#[doc = $about:literal])*
        enum $name:ident {
            $($(#[doc = $meaning:literal])* $word:ident = $text:literal,)*
        }
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(
                $(#[doc = $meaning])*
                #[serde(rename = $text)]
                $word,
            )*
        }

        impl $crate::wire::schema::Describe for $name {
            fn describe(_all: &mut $crate::wire::schema::Schemas) -> serde_json::Value {
                serde_json::json!({"type": "string", "enum": [$($text),*]})
            }
        }
    )*};
}
