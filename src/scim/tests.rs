//! Filters, paths and resources: what is read, what is refused, and what neither does.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::filter::{Attribute, Filter, Operator, Value};
use super::*;
use crate::types::{PrincipalId, limits};

fn ann() -> User {
    User {
        user_name: "Ann@Uni.example".to_owned(),
        external_id: Some("X-1".to_owned()),
        display_name: Some("Ann Ünal".to_owned()),
        active: true,
    }
}

fn id(text: &str) -> PrincipalId {
    text.parse().unwrap()
}

fn holds(text: &str) -> bool {
    Filter::read(text).unwrap().holds(&ann())
}

#[test]
fn filters_hold_as_the_rfc_says() {
    for (text, expected) in [
        (r#"userName eq "ann@uni.example""#, true),
        (r#"USERNAME EQ "ANN@UNI.EXAMPLE""#, true),
        (
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ann""#,
            true,
        ),
        (r#"userName eq "ann""#, false),
        (r#"userName co "uni" and active eq true"#, true),
        (r#"externalId eq "x-1""#, false),
        (r#"externalId eq "X-1""#, true),
        ("externalId pr", true),
        ("title pr", false),
        (r#"emails[type eq "work"].value eq "a""#, false),
        (r#"title ne "x""#, true),
        ("title eq null", true),
        (r#"active eq "true""#, false),
        ("active ne true", false),
        ("not (active eq true)", false),
        (
            r#"active eq false or userName ew "EXAMPLE" and externalId pr"#,
            true,
        ),
        (
            r#"(active eq false or userName pr) and externalId eq "Y""#,
            false,
        ),
        (r#"userName gt "a" and userName le "b""#, true),
        (r#"userName eq "a\"b""#, false),
        (r#"urn:other:2.0:User:department eq "x""#, false),
    ] {
        if text.contains("].") {
            assert_eq!(Filter::read(text), Err(ScimError::Filter), "{text}");
            continue;
        }
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    let deep = format!("{}active pr{}", "(".repeat(9), ")".repeat(9));
    let long = format!(
        "userName eq \"{}\"",
        "a".repeat(limits::SCIM_FILTER_BYTES_MAX)
    );
    let wide = vec!["active pr"; limits::SCIM_FILTER_TERMS_MAX + 1].join(" or ");
    for text in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq ann",
        r#"userName eq "ann"#,
        r#"userName eq "ann" and"#,
        r#"userName eq "ann" userName eq "bob""#,
        r#"userName eq "ann") or (active pr"#,
        r#"userName is "ann""#,
        "userName eq 'ann'",
        r#""ann" eq userName"#,
        r#"userName eq "\x""#,
        "active gt true",
        "active sw null",
        "not active pr",
        "members[value eq \"a\"",
        "a.b.c pr",
        "1a pr",
        "userName' OR '1'='1 pr",
        "us\u{200b}er pr",
        "userName eq \"a\"; DROP TABLE roster",
        &deep,
        &long,
        &wide,
    ] {
        assert_eq!(Filter::read(text), Err(ScimError::Filter), "{text}");
    }
    assert!(Filter::read(&vec!["active pr"; limits::SCIM_FILTER_TERMS_MAX].join(" or ")).is_ok());
}

#[test]
fn one_equality_is_known_as_such() {
    let only = |text: &str, name: &str, sub: Option<&str>| {
        Filter::read(text)
            .unwrap()
            .only(name, sub)
            .map(str::to_owned)
    };
    assert_eq!(
        only(r#"userName eq "a""#, "username", None).as_deref(),
        Some("a")
    );
    for text in [r#"members.value eq "a""#, r#"members[value eq "a"]"#] {
        assert_eq!(
            only(text, "members", Some("value")).as_deref(),
            Some("a"),
            "{text}"
        );
    }
    for text in [
        r#"userName ne "a""#,
        r#"userName eq "a" or active pr"#,
        "userName eq null",
    ] {
        assert_eq!(only(text, "username", None), None, "{text}");
    }
}

fn user(body: &Json) -> Result<User, ScimError> {
    let mut body = body.clone();
    body["schemas"] = json!([USER]);
    User::read(&body)
}

#[test]
fn a_person_is_read_whole_or_refused() {
    let read = user(&json!({
        "userName": "Ann@Uni.example", "externalId": "X-1", "displayName": "Ann Ünal",
        "name": {"familyName": "Ünal"}, "emails": [{"value": "a@b"}], "password": "secret",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "x"},
    }));
    assert_eq!(read, Ok(ann()));
    let entra = user(&json!({"userName": "a", "active": "False"}));
    assert_eq!(entra.map(|user| user.active), Ok(false));
    for body in [
        json!({}),
        json!({"userName": ""}),
        json!({"userName": 7}),
        json!({"userName": ["a"]}),
        json!({"userName": "a b"}),
        // A Cyrillic a, a fullwidth a, a zero-width space, a line that turns around.
        json!({"userName": "аnn"}),
        json!({"userName": "ａnn"}),
        json!({"userName": "an\u{200b}n"}),
        json!({"userName": "ann\u{202e}"}),
        json!({"userName": "ann\n"}),
        json!({"userName": "a\"b"}),
        json!({"userName": "<b>"}),
        json!({"userName": "a".repeat(129)}),
        json!({"userName": "a", "active": "maybe"}),
        json!({"userName": "a", "active": 1}),
        json!({"userName": "a", "active": null}),
        json!({"userName": "a", "displayName": "a\u{202e}b"}),
        json!({"userName": "a", "displayName": "a".repeat(257)}),
        json!({"userName": "a", "externalId": ""}),
        json!({"userName": "a", "externalId": "a\u{0}"}),
    ] {
        assert_eq!(user(&body), Err(ScimError::Value), "{body}");
    }
    let two = json!({"userName": "a", "USERNAME": "b", "schemas": [USER]});
    assert_eq!(User::read(&two), Err(ScimError::Syntax));
    for schemas in [json!(null), json!([]), json!(USER), json!([GROUP])] {
        let body = json!({"userName": "a", "schemas": schemas});
        assert_eq!(User::read(&body), Err(ScimError::Syntax), "{body}");
    }
    for body in [json!([]), json!("x"), json!(null), json!(1)] {
        assert_eq!(User::read(&body), Err(ScimError::Syntax), "{body}");
    }
}

fn patched(operations: &Json) -> Result<User, ScimError> {
    let body = json!({"schemas": [PATCH], "Operations": operations});
    Patch::read(&body)?.user(&ann(), &id("uni.ann"))
}

#[test]
fn a_person_is_patched_as_known_clients_send_it() {
    for (operations, expected) in [
        // Entra ID.
        (
            json!([{"op": "Replace", "path": "active", "value": "False"}]),
            User {
                active: false,
                ..ann()
            },
        ),
        (
            json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "a@b"}]),
            ann(),
        ),
        // Okta.
        (
            json!([{"op": "replace", "value": {"active": false}}]),
            User {
                active: false,
                ..ann()
            },
        ),
        (
            json!([{"op": "replace", "value": {"id": "uni.ann", "displayName": "A", "name.givenName": "B"}}]),
            User {
                display_name: Some("A".to_owned()),
                ..ann()
            },
        ),
        // By the book.
        (
            json!([{"op": "add", "path": format!("{USER}:userName"), "value": "bob"}]),
            User {
                user_name: "bob".to_owned(),
                ..ann()
            },
        ),
        (
            json!([{"op": "remove", "path": "externalId"}, {"op": "remove", "path": "displayName"}]),
            User {
                external_id: None,
                display_name: None,
                ..ann()
            },
        ),
    ] {
        assert_eq!(patched(&operations), Ok(expected), "{operations}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn no_patch_reaches_what_is_not_its_own() {
    for (operations, expected) in [
        (json!([]), ScimError::Syntax),
        (json!({}), ScimError::Syntax),
        (json!([7]), ScimError::Syntax),
        (json!([{"op": "move", "path": "active"}]), ScimError::Syntax),
        (
            json!([{"path": "active", "value": true}]),
            ScimError::Syntax,
        ),
        (
            json!([{"op": "replace", "OP": "remove", "path": "active"}]),
            ScimError::Syntax,
        ),
        (json!([{"op": "remove"}]), ScimError::NoTarget),
        (
            json!([{"op": "remove", "path": "active"}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "remove", "path": "userName"}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "replace", "path": "id", "value": "uni.bob"}]),
            ScimError::Mutability,
        ),
        (
            json!([{"op": "replace", "value": {"id": "uni.bob"}}]),
            ScimError::Mutability,
        ),
        (
            json!([{"op": "add", "path": "groups", "value": [{"value": "g"}]}]),
            ScimError::Mutability,
        ),
        (
            json!([{"op": "add", "path": "meta.version", "value": "9"}]),
            ScimError::Mutability,
        ),
        (
            json!([{"op": "add", "path": "principal", "value": "root"}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": "active.x", "value": true}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": "userName[value eq \"a\"]", "value": "b"}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": "members[value eq", "value": "b"}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": "a/../b", "value": "b"}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": "__proto__", "value": "b"}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "add", "path": 7, "value": "b"}]),
            ScimError::Path,
        ),
        (json!([{"op": "add", "value": "b"}]), ScimError::Value),
        (
            json!([{"op": "add", "path": "userName", "value": "а"}]),
            ScimError::Value,
        ),
        (
            json!(vec![
                json!({"op": "remove", "path": "externalId"});
                limits::SCIM_OPERATIONS_MAX + 1
            ]),
            ScimError::TooMany,
        ),
    ] {
        assert_eq!(patched(&operations), Err(expected), "{operations}");
    }
    // All of a request, or none of it: the first operation alone would have been right.
    let half = json!([{"op": "replace", "path": "active", "value": false}, {"op": "remove"}]);
    assert_eq!(patched(&half), Err(ScimError::NoTarget));
}

fn group(members: &[&str]) -> Group {
    Group {
        display_name: "Team".to_owned(),
        external_id: None,
        members: members.iter().map(|name| id(name)).collect(),
    }
}

fn regrouped(operations: &Json) -> Result<Vec<String>, ScimError> {
    let body = json!({"schemas": [PATCH], "Operations": operations});
    let after = Patch::read(&body)?.group(&group(&["uni.a", "uni.b"]), &id("uni.team"))?;
    Ok(after.members.iter().map(ToString::to_string).collect())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn members_come_and_go_as_known_clients_send_it() {
    for (operations, expected) in [
        (
            json!([{"op": "add", "path": "members", "value": [{"value": "uni.c"}]}]),
            "uni.a uni.b uni.c",
        ),
        (
            json!([{"op": "Add", "path": "members", "value": {"value": "uni.a"}}]),
            "uni.a uni.b",
        ),
        (
            json!([{"op": "add", "value": {"members": [{"value": "uni.c", "type": "User"}]}}]),
            "uni.a uni.b uni.c",
        ),
        (
            json!([{"op": "remove", "path": "members[value eq \"uni.a\"]"}]),
            "uni.b",
        ),
        (
            json!([{"op": "Remove", "path": "members", "value": [{"value": "uni.a"}]}]),
            "uni.b",
        ),
        (
            json!([{"op": "remove", "path": "members[value eq \"uni.z\"]"}]),
            "uni.a uni.b",
        ),
        (json!([{"op": "remove", "path": "members"}]), ""),
        (
            json!([{"op": "replace", "path": "members", "value": []}]),
            "",
        ),
        (
            json!([{"op": "replace", "path": "members", "value": [{"value": "uni.z"}]}]),
            "uni.z",
        ),
        (
            json!([{"op": "replace", "path": "members[value eq \"uni.a\"]", "value": [{"value": "uni.z"}]}]),
            "uni.b uni.z",
        ),
        (
            json!([{"op": "remove", "path": "members[value eq \"uni.a\" or value eq \"uni.b\"]"}]),
            "",
        ),
    ] {
        let told = regrouped(&operations).map(|members| members.join(" "));
        assert_eq!(told.as_deref(), Ok(expected), "{operations}");
    }
    for (operations, expected) in [
        (
            json!([{"op": "add", "path": "members", "value": [{"value": "Uni.C"}]}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "add", "path": "members", "value": ["uni.c"]}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "add", "path": "members", "value": [{"value": "uni.c", "type": "Group"}]}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "add", "path": "members", "value": [{"display": "c"}]}]),
            ScimError::Value,
        ),
        (
            json!([{"op": "replace", "path": "members[value eq \"uni.z\"]", "value": [{"value": "uni.c"}]}]),
            ScimError::NoTarget,
        ),
        (
            json!([{"op": "replace", "path": "members[value eq \"uni.a\"].value", "value": "uni.c"}]),
            ScimError::Mutability,
        ),
        (
            json!([{"op": "add", "path": "members[value eq \"uni.a\"]", "value": {"value": "uni.c"}}]),
            ScimError::Path,
        ),
        (
            json!([{"op": "remove", "path": "displayName"}]),
            ScimError::Value,
        ),
    ] {
        assert_eq!(regrouped(&operations), Err(expected), "{operations}");
    }
}

#[test]
fn an_object_of_thousands_of_attributes_is_refused_wherever_it_stands() {
    let many = |number: usize| -> Json {
        let all = (0..number).map(|n| (format!("a{n}"), json!(1)));
        Json::Object(all.collect())
    };
    let most = limits::SCIM_ATTRIBUTES_MAX;
    let told = |number: usize| {
        let mut body = many(number - 2);
        body["schemas"] = json!([USER]);
        body["userName"] = json!("ann");
        User::read(&body).map(|user| user.user_name)
    };
    assert_eq!(told(most).as_deref(), Ok("ann"));
    assert_eq!(told(most + 1), Err(ScimError::TooMany));
    let too_many = many(most + 1);
    for operations in [
        json!([too_many]),
        json!([{"op": "add", "value": too_many}]),
        json!([{"op": "add", "path": "members", "value": [too_many]}]),
    ] {
        assert_eq!(regrouped(&operations), Err(ScimError::TooMany));
    }
}

#[test]
fn a_patch_holds_only_so_many_filters_against_members() {
    let names: Vec<String> = (0..limits::SCIM_MEMBERS_MAX)
        .map(|n| format!("uni.p{n}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = group(&names);
    let patched = |path: &dyn Fn(usize) -> String| {
        let all = 0..limits::SCIM_OPERATIONS_MAX;
        let all: Vec<Json> = all
            .map(|n| json!({"op": "remove", "path": path(n)}))
            .collect();
        let body = json!({"schemas": [PATCH], "Operations": all});
        let after = Patch::read(&body).unwrap().group(&before, &id("uni.team"));
        after.map(|group| group.members.len())
    };
    // What clients send: one after the other, by her id.
    let one = |n| format!("members[value eq \"uni.p{n}\"]");
    let left = limits::SCIM_MEMBERS_MAX - limits::SCIM_OPERATIONS_MAX;
    assert_eq!(patched(&one), Ok(left));
    let terms = vec!["value eq \"x\""; limits::SCIM_FILTER_TERMS_MAX].join(" or ");
    assert_eq!(
        patched(&|_| format!("members[{terms}]")),
        Err(ScimError::TooMany)
    );
    let part = |_| "members[value co \"x\"]".to_owned();
    assert_eq!(patched(&part), Err(ScimError::TooMany));
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let name = "[a-z][a-z0-9]{0,6}";
    (name, proptest::option::of(name))
        .prop_map(|(name, sub)| Attribute { name, sub })
        .prop_filter("a word of the grammar", |a| {
            !["not", "and", "or"].contains(&a.name.as_str())
        })
}

fn filter() -> impl Strategy<Value = Filter> {
    let compare = (attribute(), "\\PC{0,12}").prop_map(|(attribute, text)| {
        Filter::Compare(attribute, Operator::Contains, Value::Text(text))
    });
    let truth = (attribute(), any::<bool>()).prop_map(|(attribute, truth)| {
        Filter::Compare(attribute, Operator::Equal, Value::Truth(truth))
    });
    let leaf = prop_oneof![attribute().prop_map(Filter::Present), compare, truth];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = || proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            some().prop_map(Filter::And),
            some().prop_map(Filter::Or),
            inner.clone().prop_map(|one| Filter::Not(Box::new(one))),
        ]
    })
}

/// A filter as a client would write it, every part in brackets.
fn written(filter: &Filter) -> String {
    let named = |attribute: &Attribute| match &attribute.sub {
        Some(sub) => format!("{}.{sub}", attribute.name),
        None => attribute.name.clone(),
    };
    let joined = |all: &[Filter], word: &str| {
        let all: Vec<String> = all
            .iter()
            .map(|one| format!("({})", written(one)))
            .collect();
        all.join(word)
    };
    match filter {
        Filter::And(all) => joined(all, " and "),
        Filter::Or(all) => joined(all, " or "),
        Filter::Not(one) => format!("not ({})", written(one)),
        Filter::Present(attribute) => format!("{} pr", named(attribute)),
        Filter::Compare(attribute, _, Value::Truth(truth)) => {
            format!("{} eq {truth}", named(attribute))
        }
        Filter::Compare(attribute, _, Value::Text(text)) => {
            format!("{} co {}", named(attribute), Json::from(text.as_str()))
        }
        Filter::Compare(..) | Filter::Within(..) => panic!("{filter:?} is not made here"),
    }
}

proptest! {
    #[test]
    fn a_filter_is_read_as_it_was_written(made in filter()) {
        let text = written(&made);
        match Filter::read(&text) {
            Ok(read) => prop_assert_eq!(read, made),
            // Beyond a bound, and said so.
            Err(error) => prop_assert_eq!(error, ScimError::Filter),
        }
    }

    #[test]
    fn no_text_does_harm(text in "\\PC{0,80}") {
        if let Ok(read) = Filter::read(&text) {
            let _holds: bool = read.holds(&ann());
        }
        let operation = json!([{"op": "add", "path": text, "value": [{"value": "uni.c"}]}]);
        let _patched = patched(&operation);
        let _regrouped = regrouped(&operation);
    }

    #[test]
    fn a_user_name_says_who_and_nothing_else(text in "\\PC{0,20}") {
        if is_user_name(&text) {
            prop_assert!(text.is_ascii() && !text.contains([' ', '"', '\\', '<', '>']));
            prop_assert_eq!(folded(&folded(&text)), folded(&text));
        }
    }
}
