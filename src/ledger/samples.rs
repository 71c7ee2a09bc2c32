//! Records for tests: one with every field, one with as few as possible.

use super::record::{
    AuthMethod, Completion, Intent, Nature, ObjectRef, Outcome, PolicyRef, Session,
};
use crate::types::{ByteRange, EventId, GrantId, Timestamp, VersionId};

pub(crate) fn session() -> Session {
    Session {
        principal: Some("j.devries".parse().unwrap()),
        responsible: Some("m.jansen@umcg.nl".parse().unwrap()),
        access_key: Some("KLUIS0123456789ABCDE".parse().unwrap()),
        auth: AuthMethod::SigV4Header,
        client_ip: "10.12.4.17".into(),
        user_agent: "aws-cli/2.31".into(),
        source: "gw-1".into(),
    }
}

pub(crate) fn stranger() -> Session {
    Session {
        principal: None,
        responsible: None,
        access_key: None,
        auth: AuthMethod::None,
        client_ip: "192.0.2.1".into(),
        user_agent: String::new(),
        source: "gw-1".into(),
    }
}

pub(crate) fn event(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

pub(crate) fn intent(event: EventId) -> Intent {
    Intent {
        event,
        time: Timestamp::from_millis(1_803_975_304_112),
        action: Some(crate::types::Action::ObjectRead),
        operation: "GetObject".into(),
        nature: Nature::Normal,
        object: ObjectRef {
            project: Some("icu-sepsis".parse().unwrap()),
            dataset: Some("ecg-2024".parse().unwrap()),
            key: Some("records/00001.dat".parse().unwrap()),
            version: Some(VersionId::from_bytes([0xbb; 16])),
        },
        source_object: Some(ObjectRef::default()),
        range: ByteRange::new(0, 65_536),
        query: Some("records/".into()),
        policy: Some(PolicyRef {
            allowed: true,
            rule: "p, reader, object.read, allow".into(),
            version: [0xcc; 32],
            grant: Some(GrantId::from_bytes([0xdd; 16])),
            purpose: Some("ehds:scientific-research".into()),
            permit: Some("HDAB-NL-2026-0417".into()),
        }),
    }
}

pub(crate) fn bare_intent(event: EventId) -> Intent {
    Intent {
        event,
        time: Timestamp::from_millis(0),
        action: None,
        operation: "?".into(),
        nature: Nature::Admin,
        object: ObjectRef::default(),
        source_object: None,
        range: None,
        query: None,
        policy: None,
    }
}

pub(crate) fn completion(event: EventId) -> Completion {
    Completion {
        event,
        time: Timestamp::from_millis(1_803_975_304_498),
        outcome: Outcome::Success,
        status: 206,
        reason: String::new(),
        bytes: 65_536,
        object_bytes: Some(1_048_576),
    }
}
