//! What decodes encodes to itself; what is cut, extended or forged does not decode.

use proptest::prelude::*;

use super::*;
use crate::catalog::{
    ApprovalRow, ApprovalState, ApprovalStep, Attached, BlobUse, Condition, DoomedBlob, EraseScope,
    ErasedWrite, GrantsCheck, IdentityRow, KeyWorkRow, Likeness, NodeRow, PrincipalRow, ProjectRow,
    RosterEntry, RosterKind, RosterRow, Setting, SettingKind, Tally, Uses, WaitingCheck, WorkEnd,
};
use crate::policy::{Standing, Terms};
use crate::types::{
    Act, ActKind, Action, ApprovalId, BlobId, BucketName, DatasetId, ETag, GrantId, KeyWorkId,
    LogTerms, PrincipalKind, Timestamp, UploadId, VersionId, VersionName, Versioning,
};

fn key_work(scope: Option<EraseScope>) -> KeyWorkRow {
    KeyWorkRow {
        id: KeyWorkId::from_bytes([9; 16]),
        dataset: DatasetId::from_bytes([1; 16]),
        bucket: BucketName {
            project: "icu".parse().unwrap(),
            dataset: "ecg".parse().unwrap(),
        },
        end: scope.as_ref().map(|_| WorkEnd {
            at: Timestamp::from_millis(4),
            certificate: "signed".into(),
        }),
        scope,
        floor: 3,
        keys: vec![1, 2],
        persons: vec!["ann".parse().unwrap()],
        reason: "why".into(),
        begun: Timestamp::from_millis(3),
        tally: Tally::default(),
    }
}

fn keys() -> Vec<Mutation> {
    vec![
        Mutation::BeginKeyWork(key_work(None)),
        Mutation::RestoreKeyWork(key_work(Some(EraseScope::Version(
            "k".parse().unwrap(),
            VersionName::Null,
        )))),
        Mutation::EraseRows {
            work: KeyWorkId::from_bytes([9; 16]),
            limit: 7,
        },
        Mutation::RestoreErased {
            work: KeyWorkId::from_bytes([9; 16]),
            writes: vec![ErasedWrite {
                key: "k".parse().unwrap(),
                version: VersionId::from_bytes([4; 16]),
                bytes: 3,
            }],
            blobs: vec![DoomedBlob {
                id: BlobId::from_bytes([3; 16]),
                shared: true,
            }],
        },
    ]
}

fn set_log(days: Option<u32>, pseudonyms: bool) -> Mutation {
    Mutation::SetLogTerms {
        project: "icu".parse().unwrap(),
        terms: LogTerms { days, pseudonyms },
    }
}

fn check_grant() -> Mutation {
    Mutation::CheckGrant {
        grant: GrantId::from_bytes([5; 16]),
        terms: Terms {
            version: Some(3),
            ..Terms::default()
        },
    }
}

fn check_grants() -> Mutation {
    Mutation::CheckGrants(GrantsCheck {
        project: "icu".parse().unwrap(),
        principal: "ann".parse().unwrap(),
        own_below: 1_000,
        all_below: 9_000,
        denials: Some(3),
    })
}

fn check_log(days: u32) -> Mutation {
    Mutation::CheckLogTerms {
        project: "icu".parse().unwrap(),
        terms: LogTerms {
            days: Some(days),
            pseudonyms: true,
        },
    }
}

fn samples() -> Vec<Mutation> {
    let version = VersionId::from_bytes([4; 16]);
    let mut all = vec![
        Mutation::CreateProject(ProjectRow {
            name: "icu".parse().unwrap(),
            created: Timestamp::from_millis(u64::MAX),
            defaults: None,
            log: LogTerms::default(),
        }),
        set_log(Some(1_827), false),
        set_log(None, true),
        Mutation::CreatePrincipal(PrincipalRow {
            id: "job".parse().unwrap(),
            kind: PrincipalKind::Workload,
            acts_for: Some("ann@example.org".parse().unwrap()),
            created: Timestamp::from_millis(0),
            suspended: None,
            clearance: None,
        }),
        Mutation::DeleteObject {
            dataset: DatasetId::from_bytes([1; 16]),
            key: "a//\u{10ffff}".parse().unwrap(),
            condition: Condition::Matches(ETag::of(&version, 3)),
            now: Timestamp::from_millis(7),
        },
        Mutation::AbortUpload {
            upload: UploadId::from_bytes([2; 16]),
            now: Timestamp::from_millis(8),
        },
        Mutation::RestoreBlobs(vec![(BlobId::from_bytes([3; 16]), Timestamp::default())]),
        Mutation::RestoreSeq(9),
        Mutation::CheckHold(DatasetId::from_bytes([1; 16])),
        Mutation::CheckNodeKey([7; 32]),
        check_grant(),
        check_grants(),
        check_log(400),
        Mutation::SetVersioning {
            dataset: DatasetId::from_bytes([1; 16]),
            state: Versioning::Suspended,
        },
        Mutation::DeleteVersion {
            dataset: DatasetId::from_bytes([1; 16]),
            key: "k".parse().unwrap(),
            version: VersionName::Id(version),
            condition: Condition::Is(Likeness {
                etag: None,
                modified: Some(Timestamp::default()),
                bytes: Some(5),
            }),
            now: Timestamp::default(),
        },
        Mutation::SetAttached {
            dataset: DatasetId::from_bytes([1; 16]),
            key: "k".parse().unwrap(),
            version,
            attached: Attached {
                tags: vec![("a".to_owned(), String::new())],
                ..Attached::default()
            },
        },
        Mutation::SetSetting {
            dataset: DatasetId::from_bytes([1; 16]),
            kind: SettingKind::Tags,
            value: Some(Setting::Tags(vec![("a".to_owned(), "b".to_owned())])),
        },
    ];
    all.extend(people());
    all.extend(approvals());
    all.extend(keys());
    all
}

#[expect(clippy::too_many_lines, reason = "a list of samples")]
fn people() -> Vec<Mutation> {
    vec![
        Mutation::SetTerms {
            grant: GrantId::from_bytes([5; 16]),
            approver: "ann".parse().unwrap(),
            terms: Terms {
                version: Some(3),
                actions: vec![Action::ObjectRead],
                networks: vec!["10.0.0.0/8".parse().unwrap()],
                partitions: Vec::new(),
                standing: Standing::Proposed,
                lapses: Some(Timestamp::default()),
                proposer: None,
            },
        },
        Mutation::SetTerms {
            grant: GrantId::from_bytes([5; 16]),
            approver: "ann".parse().unwrap(),
            terms: Terms {
                partitions: vec!["civil".parse().unwrap()],
                ..Terms::default()
            },
        },
        Mutation::LinkIdentity(IdentityRow {
            issuer: "sram".to_owned(),
            subject: "Zo\u{eb}|1".to_owned(),
            principal: "ann".parse().unwrap(),
            linked: Timestamp::default(),
        }),
        Mutation::SpendToken {
            token: [7; 32],
            expires: Timestamp::from_millis(9),
            now: Timestamp::default(),
        },
        Mutation::SetRoster {
            kind: RosterKind::Node,
            name: "gpu-1".to_owned(),
            was: Some(3),
            entry: Some(RosterEntry {
                revision: 4,
                row: RosterRow::Node(NodeRow {
                    cluster: "hpc".to_owned(),
                    key: [7; 32],
                    networks: vec!["10.0.0.0/8".parse().unwrap()],
                    enrolled: Timestamp::default(),
                    partition: None,
                    uses: Vec::new(),
                }),
            }),
        },
        Mutation::SetRoster {
            kind: RosterKind::Node,
            name: "gpu-2".to_owned(),
            was: None,
            entry: Some(RosterEntry {
                revision: 1,
                row: RosterRow::Node(NodeRow {
                    cluster: "hpc".to_owned(),
                    key: [7; 32],
                    networks: Vec::new(),
                    enrolled: Timestamp::default(),
                    partition: Some("civil".parse().unwrap()),
                    uses: vec!["civil".parse().unwrap(), "dual".parse().unwrap()],
                }),
            }),
        },
        Mutation::SetSuspended {
            principal: "ann".parse().unwrap(),
            since: Some(Timestamp::default()),
        },
        Mutation::AddMember {
            group: "g".parse().unwrap(),
            member: "ann".parse().unwrap(),
        },
        Mutation::NoteUses(Uses {
            grants: vec![(GrantId::from_bytes([5; 16]), Timestamp::default())],
            credentials: vec![(
                "KLUS0000000000000000".parse().unwrap(),
                Timestamp::default(),
            )],
        }),
    ]
}

fn approvals() -> Vec<Mutation> {
    vec![
        Mutation::AskApproval {
            row: ApprovalRow {
                id: ApprovalId::from_bytes([6; 16]),
                act: Act {
                    kind: ActKind::Erase,
                    project: "icu".parse().unwrap(),
                    dataset: Some(("ecg".parse().unwrap(), DatasetId::from_bytes([1; 16]))),
                    terms: vec!["dataset".to_owned()],
                },
                asker: "ann".parse().unwrap(),
                reason: "its end".to_owned(),
                asked: Timestamp::default(),
                state: ApprovalState::Approved,
                due: Timestamp::from_millis(9),
                approver: Some("bob".parse().unwrap()),
                settled: Some(("bob".parse().unwrap(), Timestamp::default())),
            },
            now: Timestamp::default(),
        },
        Mutation::StepApproval {
            approval: ApprovalId::from_bytes([6; 16]),
            step: ApprovalStep {
                to: ApprovalState::Spent,
                by: "ann".parse().unwrap(),
                due: Timestamp::default(),
                now: Timestamp::default(),
            },
        },
        Mutation::CheckWaiting(WaitingCheck {
            project: "icu".parse().unwrap(),
            asker: "ann".parse().unwrap(),
            own_below: 10,
            all_below: 100,
            now: Timestamp::from_millis(9),
        }),
    ]
}

#[test]
fn samples_round_trip() {
    let bytes = encode(&samples());
    assert_eq!(decode(&bytes), Ok(samples()));
    assert_eq!(decode(&encode(&[])), Ok(Vec::new()));
    assert!(decodes_canonically(&bytes));
}

/// The bytes of snapshots that exist: they must not change.
#[test]
fn the_encoding_is_pinned() {
    let one = [Mutation::CreateProject(ProjectRow {
        name: "icu".parse().unwrap(),
        created: Timestamp::from_millis(258),
        defaults: None,
        log: LogTerms::default(),
    })];
    let bytes = b"\x01\0\0\0\x01\x01\0\0\0\x03icu\0\0\0\0\0\0\x01\x02";
    assert_eq!(&encode(&one)[..], bytes);
}

#[test]
fn every_cut_is_refused() {
    let bytes = encode(&samples());
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = encode(&samples()).to_vec();
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(CodecError::Trailing));
}

#[test]
fn forgeries_are_refused() {
    let cases: [(&[u8], CodecError); 8] = [
        (b"\x02\0\0\0\0", CodecError::Version),
        (b"\x01\xff\xff\xff\xff", CodecError::Short),
        (b"\x01\0\0\0\x01\x00", CodecError::Value),
        (b"\x01\0\0\0\x01\xff", CodecError::Value),
        // A project whose name is no name, no UTF-8, longer than the bytes.
        (
            b"\x01\0\0\0\x01\x01\0\0\0\x01A\0\0\0\0\0\0\0\0",
            CodecError::Value,
        ),
        (
            b"\x01\0\0\0\x01\x01\0\0\0\x01\xff\0\0\0\0\0\0\0\0",
            CodecError::Value,
        ),
        (
            b"\x01\0\0\0\x01\x01\0\0\0\x7fa\0\0\0\0\0\0\0\0",
            CodecError::Short,
        ),
        // A principal of a fourth kind.
        (
            b"\x01\0\0\0\x01\x04\0\0\0\x01a\x03\0\0\0\0\0\0\0\0\0",
            CodecError::Value,
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn a_bool_has_two_spellings_only() {
    assert_eq!(decode_value::<bool>(&[1]), Ok(true));
    assert_eq!(decode_value::<bool>(&[2]), Err(CodecError::Value));
    assert_eq!(decode_value::<Option<u8>>(&[2, 0]), Err(CodecError::Value));
}

#[test]
fn a_list_of_millions_in_few_bytes_takes_no_room() {
    let mut bytes = vec![0, 0xff, 0xff, 0xff];
    bytes.extend(vec![0; 1000]);
    assert_eq!(decode_value::<Vec<BlobUse>>(&bytes), Err(CodecError::Short));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decodes_canonically(&bytes));
    }

    /// One changed byte in a valid encoding: refused, or the encoding of something else.
    #[test]
    fn any_change_is_refused_or_canonical(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode(&samples()).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        prop_assert!(decodes_canonically(&bytes));
    }
}
