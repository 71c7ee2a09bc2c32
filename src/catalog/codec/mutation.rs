//! How mutations are encoded: one byte for the kind, then the fields.

use super::CodecError;
use super::wire::{Reader, Wire};
use crate::catalog::{Condition, Likeness, Mutation};

impl Wire for Condition {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(0),
            Self::Absent => out.push(1),
            Self::Present => out.push(2),
            Self::Matches(etag) => {
                out.push(3);
                etag.write(out);
            }
            Self::Differs(etag) => {
                out.push(4);
                etag.write(out);
            }
            Self::Is(Likeness {
                etag,
                modified,
                bytes,
            }) => {
                out.push(5);
                etag.write(out);
                modified.write(out);
                bytes.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Ok(Self::None),
            1 => Ok(Self::Absent),
            2 => Ok(Self::Present),
            3 => Wire::read(reader).map(Self::Matches),
            4 => Wire::read(reader).map(Self::Differs),
            5 => Ok(Self::Is(Likeness {
                etag: Wire::read(reader)?,
                modified: Wire::read(reader)?,
                bytes: Wire::read(reader)?,
            })),
            _ => Err(CodecError::Value),
        }
    }
}

/// Both directions from one table, so that they cannot part ways.
macro_rules! mutations {
    (
        one { $($one:ident = $one_byte:literal),* $(,)? }
        many { $($many:ident { $($field:ident),* } = $many_byte:literal),* $(,)? }
    ) => {
        impl Wire for Mutation {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$one(value) => {
                        out.push($one_byte);
                        value.write(out);
                    })*
                    $(Self::$many { $($field),* } => {
                        out.push($many_byte);
                        $($field.write(out);)*
                    })*
                }
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                match u8::read(reader)? {
                    $($one_byte => Wire::read(reader).map(Self::$one),)*
                    $($many_byte => {
                        $(let $field = Wire::read(reader)?;)*
                        Ok(Self::$many { $($field),* })
                    })*
                    _ => Err(CodecError::Value),
                }
            }
        }
    };
}

mutations! {
    one {
        CreateProject = 1,
        CreateDataset = 2,
        DeleteDataset = 3,
        CheckHold = 110,
        CheckNodeKey = 92,
        CreatePrincipal = 4,
        CreateCredential = 5,
        DeleteCredential = 6,
        CreateGrant = 7,
        DeleteGrant = 8,
        CheckGrants = 93,
        CheckWaiting = 94,
        CreateUpload = 11,
        RestoreBlobs = 15,
        ForgetBlobs = 16,
        RestoreSeq = 17,
        RestoreMarker = 24,
        NoteUses = 44,
        Freeze = 50,
        LinkIdentity = 45,
        AddNotice = 65,
        BeginKeyWork = 70,
        RestoreKeyWork = 77,
    }
    many {
        PutObject { row, blobs, condition } = 9,
        DeleteObject { dataset, key, condition, now } = 10,
        PutPart { row, blobs } = 12,
        CompleteUpload { upload, parts, row, condition } = 13,
        AbortUpload { upload, now } = 14,
        SetVersioning { dataset, state } = 18,
        RemoveObject { dataset, key, marker, condition, now } = 19,
        DeleteVersion { dataset, key, version, condition, now } = 20,
        SetAttached { dataset, key, version, attached } = 21,
        SetSetting { dataset, kind, value } = 22,
        SetUploadTags { upload, tags } = 25,
        SetTerms { grant, approver, terms } = 40,
        SetSuspended { principal, since } = 41,
        AddMember { group, member } = 42,
        RemoveMember { group, member } = 43,
        UnlinkIdentity { issuer, subject } = 46,
        SpendToken { token, expires, now } = 47,
        SetRoster { kind, name, was, entry } = 85,
        AskApproval { row, now } = 60,
        StepApproval { approval, step } = 61,
        SetDefaults { project, defaults } = 62,
        SetCard { dataset, was, card } = 63,
        SetClearance { principal, clearance } = 64,
        ScopeCredential { credential, scope } = 86,
        RestoreVersion { row, versioned, current, blobs } = 23,
        Issue { publication, issue, blobs } = 51,
        DropPublication { publication, now } = 52,
        RestorePublication { row, blobs } = 53,
        RestoreFrozen { publication, row, versioned, attached, facts, live, blobs } = 54,
        SetRetention { dataset, key, version, retention, bypass, now } = 26,
        SetHold { dataset, key, version, hold } = 27,
        SetObjectKeyName { dataset, key, version, name } = 28,
        SetOrigin { dataset, key, version, origin } = 29,
        SetObjectLock { dataset, lock } = 30,
        SetKeyName { dataset, name } = 31,
        SetUploadFacts { upload, facts } = 32,
        EraseRows { work, limit } = 71,
        Rewrap { dataset, key, version, sealed_table } = 72,
        RewrapPart { upload, number, version, sealed_table } = 73,
        RewrapIndex { publication, sealed_key } = 74,
        ForgetDoomed { work, blobs } = 75,
        EndKeyWork { work, end } = 76,
        RestoreErased { work, writes, blobs } = 78,
        SetLogTerms { project, terms } = 80,
        CheckLogTerms { project, terms } = 90,
        CheckGrant { grant, terms } = 91,
    }
}
