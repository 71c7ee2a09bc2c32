//! Filters (RFC 7644, section 3.4.2.2): read whole or refused, with bounds on length, terms and
//! depth; judged on the values that a resource has. No value is ever part of another language.

use std::borrow::Cow;

use super::{GROUP, ScimError, USER};
use crate::types::{Timestamp, limits};

/// An attribute's name: lower case, without its schema; of another schema, with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// The attribute.
    pub name: String,
    /// The part of it that is meant.
    pub sub: Option<String>,
}

/// How two values are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// The same.
    Equal,
    /// Not the same.
    Differs,
    /// Contains.
    Contains,
    /// Begins with.
    Begins,
    /// Ends with.
    Ends,
    /// Comes after.
    Greater,
    /// Comes after, or is the same.
    GreaterOrEqual,
    /// Comes before.
    Less,
    /// Comes before, or is the same.
    LessOrEqual,
}

/// A value in a filter, or of a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A text that is compared as it is.
    Exact(String),
    /// A text in which case does not count.
    Text(String),
    /// True or false.
    Truth(bool),
    /// A moment.
    Moment(Timestamp),
    /// A number, which no attribute here is.
    Number,
    /// Nothing.
    Null,
}

/// Something that has values for attributes.
pub trait Values {
    /// Those of an attribute; none for what it does not have.
    fn values(&self, attribute: &Attribute) -> Vec<Value>;
}

/// A filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// All of them hold.
    And(Vec<Self>),
    /// One of them holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The attribute has a value.
    Present(Attribute),
    /// One of the attribute's values compares so.
    Compare(Attribute, Operator, Value),
    /// `attribute[filter]`: one of its values fits.
    Within(Attribute, Box<Self>),
}

impl Attribute {
    /// Reads `name`, `name.sub`, or either behind its schema.
    pub(super) fn read(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$');
        let named = |t: &str| {
            let begins = t.bytes().next()?;
            let sound = begins.is_ascii_alphabetic() || begins == b'$';
            (sound && t.bytes().all(plain)).then(|| t.to_ascii_lowercase())
        };
        let lower = text.to_ascii_lowercase();
        let (schema, rest) = match lower.rsplit_once(':') {
            Some((schema, rest)) if schema.starts_with("urn:") => (Some(schema), rest),
            Some(_) => return None,
            None => (None, lower.as_str()),
        };
        let own =
            |schema: &&str| schema.eq_ignore_ascii_case(USER) || schema.eq_ignore_ascii_case(GROUP);
        let foreign = schema.filter(|schema| !own(schema));
        if foreign.is_some_and(|schema| !schema.bytes().all(|b| plain(b) || b":.".contains(&b))) {
            return None;
        }
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (named(name)?, Some(named(sub)?)),
            None => (named(rest)?, None),
        };
        let name = foreign.map_or_else(|| name.clone(), |schema| format!("{schema}:{name}"));
        Some(Self { name, sub })
    }

    /// Whether it is this one, without a part.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.sub.is_none() && self.name == name
    }
}

impl Filter {
    /// Reads a filter.
    pub fn read(text: &str) -> Result<Self, ScimError> {
        if text.len() > limits::SCIM_FILTER_BYTES_MAX {
            return Err(ScimError::Filter);
        }
        let mut reader = Reader {
            rest: text,
            terms: 0,
        };
        let filter = reader.any(0)?;
        reader.space();
        if reader.rest.is_empty() {
            Ok(filter)
        } else {
            Err(ScimError::Filter)
        }
    }

    /// Reads what stands between brackets, and what is behind them.
    pub(super) fn read_within(text: &str) -> Result<(Self, &str), ScimError> {
        if text.len() > limits::SCIM_FILTER_BYTES_MAX {
            return Err(ScimError::Filter);
        }
        let mut reader = Reader {
            rest: text,
            terms: 0,
        };
        let filter = reader.any(0)?;
        reader.expect("]")?;
        Ok((filter, reader.rest))
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, of: &dyn Values) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(of)),
            Self::Or(any) => any.iter().any(|one| one.holds(of)),
            Self::Not(one) => !one.holds(of),
            Self::Present(attribute) => !of.values(attribute).is_empty(),
            Self::Compare(attribute, operator, wanted) => {
                let there = of.values(attribute);
                if there.is_empty() {
                    // What has no value is equal to nothing and differs from everything else.
                    let none = *wanted == Value::Null;
                    return *operator == Operator::Equal && none
                        || *operator == Operator::Differs && !none;
                }
                there.iter().any(|value| compares(value, *operator, wanted))
            }
            Self::Within(attribute, filter) => {
                let all = of.values(attribute);
                all.into_iter().any(|value| filter.holds(&One(value)))
            }
        }
    }

    /// The value that `name` must equal for this to hold, where the filter says nothing else.
    #[must_use]
    pub fn only(&self, name: &str, sub: Option<&str>) -> Option<&str> {
        if let Self::Within(attribute, inner) = self
            && attribute.is(name)
        {
            return inner.only(sub?, None);
        }
        let Self::Compare(attribute, Operator::Equal, Value::Text(text)) = self else {
            return None;
        };
        let same = attribute.name == name && attribute.sub.as_deref() == sub;
        same.then_some(text)
    }

    /// Whether it says anything of this attribute.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(|one| one.mentions(name)),
            Self::Not(one) => one.mentions(name),
            Self::Present(attribute)
            | Self::Compare(attribute, ..)
            | Self::Within(attribute, _) => attribute.name == name,
        }
    }
}

/// One value of an attribute with many, as `[value eq "…"]` sees it.
struct One(Value);

impl Values for One {
    fn values(&self, attribute: &Attribute) -> Vec<Value> {
        if attribute.is("value") {
            vec![self.0.clone()]
        } else if attribute.is("type") {
            vec![Value::Text("user".to_owned())]
        } else {
            Vec::new()
        }
    }
}

fn compares(there: &Value, operator: Operator, wanted: &Value) -> bool {
    let (there, wanted): (Cow<'_, str>, Cow<'_, str>) = match (there, wanted) {
        (Value::Exact(there), Value::Text(wanted)) => (there.into(), wanted.into()),
        (Value::Text(there), Value::Text(wanted)) => {
            (there.to_lowercase().into(), wanted.to_lowercase().into())
        }
        (Value::Moment(there), Value::Text(wanted)) => {
            return moment(wanted).is_some_and(|wanted| ordered(there, operator, &wanted));
        }
        (Value::Truth(there), Value::Truth(wanted)) => {
            return (operator == Operator::Equal && there == wanted)
                || (operator == Operator::Differs && there != wanted);
        }
        _other => return operator == Operator::Differs,
    };
    match operator {
        Operator::Contains => there.contains(&*wanted),
        Operator::Begins => there.starts_with(&*wanted),
        Operator::Ends => there.ends_with(&*wanted),
        Operator::Equal
        | Operator::Differs
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual => ordered(&there, operator, &wanted),
    }
}

fn ordered<T: Ord>(there: &T, operator: Operator, wanted: &T) -> bool {
    match operator {
        Operator::Equal => there == wanted,
        Operator::Differs => there != wanted,
        Operator::Greater => there > wanted,
        Operator::GreaterOrEqual => there >= wanted,
        Operator::Less => there < wanted,
        Operator::LessOrEqual => there <= wanted,
        Operator::Contains | Operator::Begins | Operator::Ends => false,
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format).ok()?;
    let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

struct Reader<'a> {
    rest: &'a str,
    terms: usize,
}

impl<'a> Reader<'a> {
    /// `and` binds stronger than `or`.
    fn any(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut all = vec![self.all(depth)?];
        while self.word("or") {
            all.push(self.all(depth)?);
        }
        Ok(single(all, Filter::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut all = vec![self.one(depth)?];
        while self.word("and") {
            all.push(self.one(depth)?);
        }
        Ok(single(all, Filter::And))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let deeper = depth.saturating_add(1);
        self.terms = self.terms.saturating_add(1);
        if deeper > limits::SCIM_FILTER_DEPTH_MAX || self.terms > limits::SCIM_FILTER_TERMS_MAX {
            return Err(ScimError::Filter);
        }
        if self.take("(") {
            let inner = self.any(deeper)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let token = self.token();
        if token.eq_ignore_ascii_case("not") {
            self.expect("(")?;
            let inner = self.any(deeper)?;
            self.expect(")")?;
            return Ok(Filter::Not(Box::new(inner)));
        }
        let attribute = Attribute::read(token).ok_or(ScimError::Filter)?;
        if self.rest.starts_with('[') {
            self.expect("[")?;
            let inner = self.any(deeper)?;
            self.expect("]")?;
            let sound = attribute.sub.is_none();
            return sound
                .then(|| Filter::Within(attribute, Box::new(inner)))
                .ok_or(ScimError::Filter);
        }
        let operator = match self.token().to_ascii_lowercase().as_str() {
            "pr" => return Ok(Filter::Present(attribute)),
            "eq" => Operator::Equal,
            "ne" => Operator::Differs,
            "co" => Operator::Contains,
            "sw" => Operator::Begins,
            "ew" => Operator::Ends,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            _ => return Err(ScimError::Filter),
        };
        let value = self.value()?;
        let of_texts = !matches!(operator, Operator::Equal | Operator::Differs);
        if of_texts && !matches!(value, Value::Text(_) | Value::Number) {
            return Err(ScimError::Filter);
        }
        Ok(Filter::Compare(attribute, operator, value))
    }

    fn value(&mut self) -> Result<Value, ScimError> {
        self.space();
        if self.rest.starts_with('"') {
            return self.text().map(Value::Text);
        }
        let token = self.token();
        match token {
            "true" => Ok(Value::Truth(true)),
            "false" => Ok(Value::Truth(false)),
            "null" => Ok(Value::Null),
            _ => serde_json::from_str::<serde_json::Number>(token)
                .map(|_number| Value::Number)
                .map_err(|_none| ScimError::Filter),
        }
    }

    /// A text as JSON writes it.
    fn text(&mut self) -> Result<String, ScimError> {
        let mut escaped = false;
        let inside = self.rest.char_indices().skip(1);
        let end = inside.into_iter().find_map(|(at, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends.then_some(at.saturating_add(1))
        });
        let split = end.and_then(|end| self.rest.split_at_checked(end));
        let (text, rest) = split.ok_or(ScimError::Filter)?;
        self.rest = rest;
        serde_json::from_str(text).map_err(|_none| ScimError::Filter)
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn take(&mut self, sign: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), ScimError> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(ScimError::Filter)
        }
    }

    /// What stands up to the next space or bracket.
    fn token(&mut self) -> &'a str {
        self.space();
        let end = self.rest.find([' ', '(', ')', '[', ']', '"']);
        let (token, rest) = self
            .rest
            .split_at_checked(end.unwrap_or(self.rest.len()))
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        token
    }

    /// Whether this word comes next; taken if so.
    fn word(&mut self, word: &str) -> bool {
        let before = self.rest;
        if self.token().eq_ignore_ascii_case(word) {
            return true;
        }
        self.rest = before;
        false
    }
}

fn single(mut all: Vec<Filter>, of: fn(Vec<Filter>) -> Filter) -> Filter {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            of(all)
        }
        None => of(all),
    }
}
