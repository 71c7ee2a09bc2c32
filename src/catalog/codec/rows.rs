//! How rows and their parts are encoded: the fields in order of declaration.

use super::CodecError;
use super::wire::{Reader, Wire};
use crate::catalog::{
    ApprovalRow, ApprovalState, ApprovalStep, Attached, BlobUse, Card, CardDefaults, CorsRule,
    CredentialRow, DatasetRow, Expiry, Facts, FilterForm, GrantsCheck, IdentityRow, Issue,
    LifecycleFilter, LifecycleRule, MarkerRow, Noncurrent, NoticeRow, ObjectMeta, ObjectRow,
    Origin, PartRow, PrincipalRow, ProjectRow, PublicationRow, Setting, SettingKind, Stage,
    UploadRow, Uses, WaitingCheck,
};
use crate::policy::{Grant, GrantEffect, Standing, Terms};
use crate::types::{
    Act, ActKind, Action, BucketName, ChecksumKind, Checksums, KeyScope, Lock, LockDefaults,
    LogTerms, Network, Period, PrincipalKind, Retention, RetentionMode, VersionName, Versioning,
};

/// Taking a value apart field by field, so that a new field cannot be forgotten. Those behind
/// `else` are not in a row's encoding: other mutations set them, and a row that is read has their
/// defaults.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? } $(else { $($other:ident),* })?) => {
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field,)* $($($other: _,)*)? } = self;
                $($field.write(out);)*
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                $(let $field = Wire::read(reader)?;)*
                Ok(Self { $($field,)* $($($other: Default::default(),)*)? })
            }
        }
    };
}

/// An enumeration without fields, as one byte.
macro_rules! bytes {
    ($type:ident { $($variant:ident = $byte:literal),* $(,)? }) => {
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $byte),* });
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                match u8::read(reader)? {
                    $($byte => Ok(Self::$variant),)*
                    _ => Err(CodecError::Value),
                }
            }
        }
    };
}

pub(super) use {bytes, fields};

bytes!(PrincipalKind {
    Person = 0,
    Workload = 1,
    Group = 2,
});
bytes!(GrantEffect { Allow = 0, Deny = 1 });
bytes!(Standing {
    Approved = 0,
    Proposed = 1,
});
bytes!(Stage {
    Active = 0,
    Notice = 1,
    Quarantine = 2,
    Ended = 3,
});

/// The byte before the hold's reason says what follows: 1 for the reason, 2 for a use class.
impl Wire for Card {
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            owner,
            label,
            source,
            basis,
            ends,
            held,
            use_class,
            told,
        } = self;
        owner.write(out);
        label.write(out);
        source.write(out);
        basis.write(out);
        ends.write(out);
        write_two((held.as_ref(), use_class.as_ref()), out);
        told.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let owner = Wire::read(reader)?;
        let label = Wire::read(reader)?;
        let source = Wire::read(reader)?;
        let basis = Wire::read(reader)?;
        let ends = Wire::read(reader)?;
        let (held, use_class) = read_two(reader)?;
        let told = Wire::read(reader)?;
        Ok(Self {
            owner,
            label,
            source,
            basis,
            ends,
            held,
            use_class,
            told,
        })
    }
}

/// Two values that may be missing, behind one byte: 1 for the first, 2 for the second. With the
/// first alone it is what that alone would be.
fn write_two<A: Wire, B: Wire>((first, second): (Option<&A>, Option<&B>), out: &mut Vec<u8>) {
    out.push(u8::from(first.is_some()) | (u8::from(second.is_some()) << 1));
    if let Some(first) = first {
        first.write(out);
    }
    if let Some(second) = second {
        second.write(out);
    }
}

fn read_two<A: Wire, B: Wire>(
    reader: &mut Reader<'_>,
) -> Result<(Option<A>, Option<B>), CodecError> {
    let what = u8::read(reader)?;
    if what > 3 {
        return Err(CodecError::Value);
    }
    let first = (what & 1 == 1).then(|| Wire::read(reader)).transpose()?;
    let second = (what & 2 == 2).then(|| Wire::read(reader)).transpose()?;
    Ok((first, second))
}

fields!(CardDefaults {
    label,
    source,
    basis,
    days,
});
bytes!(ApprovalState {
    Asked = 0,
    Approved = 1,
    Refused = 2,
    Withdrawn = 3,
    Spent = 4,
});
bytes!(ActKind {
    LowerLabel = 0,
    BreakGlass = 1,
    Erase = 2,
    ShortenLog = 3,
});
bytes!(ChecksumKind {
    Crc32 = 0,
    Crc32c = 1,
    Crc64Nvme = 2,
    Sha1 = 3,
    Sha256 = 4,
});

bytes!(Versioning {
    Off = 0,
    Enabled = 1,
    Suspended = 2,
});

bytes!(RetentionMode {
    Governance = 0,
    Compliance = 1,
});

impl Wire for Period {
    fn write(&self, out: &mut Vec<u8>) {
        let (unit, count) = match self {
            Self::Days(days) => (0, days),
            Self::Years(years) => (1, years),
        };
        out.push(unit);
        count.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Wire::read(reader).map(Self::Days),
            1 => Wire::read(reader).map(Self::Years),
            _ => Err(CodecError::Value),
        }
    }
}

bytes!(SettingKind {
    Tags = 0,
    Cors = 1,
    Lifecycle = 2,
});
impl Wire for Setting {
    fn write(&self, out: &mut Vec<u8>) {
        self.kind().write(out);
        match self {
            Self::Tags(tags) => tags.write(out),
            Self::Cors(rules) => rules.write(out),
            Self::Lifecycle(rules) => rules.write(out),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match SettingKind::read(reader)? {
            SettingKind::Tags => Self::Tags(Wire::read(reader)?),
            SettingKind::Cors => Self::Cors(Wire::read(reader)?),
            SettingKind::Lifecycle => Self::Lifecycle(Wire::read(reader)?),
        })
    }
}

fields!(CorsRule {
    id,
    origins,
    methods,
    headers,
    exposed,
    max_age,
});
fields!(LifecycleRule {
    id,
    enabled,
    filter,
    expiry,
    lone_markers,
    noncurrent,
    abort_days,
});
fields!(LifecycleFilter {
    prefix,
    tags,
    larger,
    smaller,
    form,
});
fields!(Noncurrent { days, keep });
bytes!(FilterForm {
    Outside = 0,
    Single = 1,
    And = 2,
});

impl Wire for Expiry {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Days(days) => {
                out.push(0);
                days.write(out);
            }
            Self::At(moment) => {
                out.push(1);
                moment.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Wire::read(reader).map(Self::Days),
            1 => Wire::read(reader).map(Self::At),
            _ => Err(CodecError::Value),
        }
    }
}

impl Wire for VersionName {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Id(id) => {
                out.push(1);
                id.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u8::read(reader)? {
            0 => Ok(Self::Null),
            1 => Wire::read(reader).map(Self::Id),
            _ => Err(CodecError::Value),
        }
    }
}

fields!(BucketName { project, dataset });
fields!(Checksums { values, composite });
fields!(BlobUse { fresh, shared });
fields!(ProjectRow { name, created } else { log, defaults });

/// One byte says what follows and what is so: 1 for a number of days, 2 for pseudonyms.
impl Wire for LogTerms {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.days.is_some()) | (u8::from(self.pseudonyms) << 1));
        if let Some(days) = self.days {
            days.write(out);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let what = u8::read(reader)?;
        if what > 3 {
            return Err(CodecError::Value);
        }
        let days = (what & 1 == 1).then(|| Wire::read(reader)).transpose()?;
        Ok(Self {
            days,
            pseudonyms: what & 2 == 2,
        })
    }
}

fields!(DatasetRow {
    id,
    bucket,
    created,
    creator,
} else { versioning, defaults, card });
fields!(PrincipalRow {
    id,
    kind,
    acts_for,
    created,
} else { suspended, clearance });
fields!(CredentialRow {
    id,
    principal,
    sealed_secret,
    created,
    expires,
} else { scope });
fields!(KeyScope {
    project,
    dataset,
    version,
    prefix,
    only_reads,
    purpose,
    networks,
});
fields!(GrantsCheck {
    project,
    principal,
    own_below,
    all_below,
    denials,
});
fields!(Grant {
    id,
    project,
    principal,
    role,
    dataset,
    prefix,
    effect,
    purpose,
    permit,
    starts,
    expires,
    approver,
    created,
} else { terms });

/// The byte before the version says what follows: 1 for a version, 2 for partitions.
impl Wire for Terms {
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            version,
            partitions,
            actions,
            networks,
            standing,
            lapses,
            proposer,
        } = self;
        let some = (!partitions.is_empty()).then_some(partitions);
        write_two((version.as_ref(), some), out);
        actions.write(out);
        networks.write(out);
        standing.write(out);
        lapses.write(out);
        proposer.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (version, partitions) = read_two::<_, Vec<_>>(reader)?;
        if partitions.as_ref().is_some_and(Vec::is_empty) {
            return Err(CodecError::Value);
        }
        Ok(Self {
            version,
            partitions: partitions.unwrap_or_default(),
            actions: Wire::read(reader)?,
            networks: Wire::read(reader)?,
            standing: Wire::read(reader)?,
            lapses: Wire::read(reader)?,
            proposer: Wire::read(reader)?,
        })
    }
}

fields!(Act {
    kind,
    project,
    dataset,
    terms,
});
fields!(ApprovalRow {
    id,
    act,
    asker,
    reason,
    asked,
    state,
    due,
    approver,
    settled,
});
fields!(ApprovalStep { to, by, due, now });
fields!(WaitingCheck {
    project,
    asker,
    own_below,
    all_below,
    now,
});
fields!(NoticeRow {
    id,
    to,
    at,
    project,
    dataset,
    text,
});
fields!(IdentityRow {
    issuer,
    subject,
    principal,
    linked,
});
fields!(Uses {
    grants,
    credentials,
});

/// Words and networks as their texts, of which each value has one.
macro_rules! texts {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.to_string().write(out);
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                let text = String::read(reader)?;
                text.parse().map_err(|_not_one| CodecError::Value)
            }
        }
    )*};
}

texts!(Action, Network);
fields!(ObjectMeta {
    content_type,
    content_encoding,
    content_language,
    content_disposition,
    cache_control,
    expires,
    user,
});
fields!(ObjectRow {
    dataset,
    key,
    version,
    bytes,
    etag,
    modified,
    meta,
    checksums,
    part_bytes,
    sealed_table,
} else { versioned, attached });
fields!(Attached { tags } else { facts });
fields!(Facts { lock, key_name });
fields!(Lock { retention, hold });
fields!(Retention { mode, until });
fields!(LockDefaults { retention });
fields!(Origin {
    upload,
    initiator,
    completion,
    parts,
});
fields!(MarkerRow {
    dataset,
    key,
    version,
    versioned,
    modified,
});
fields!(PublicationRow {
    id,
    dataset,
    publisher,
    frozen,
    issue,
});
fields!(Issue {
    number,
    envelope,
    sealed_key,
});
fields!(UploadRow {
    id,
    dataset,
    key,
    initiator,
    initiated,
    meta,
    checksum,
} else { tags, facts });
fields!(PartRow {
    upload,
    number,
    version,
    bytes,
    etag,
    modified,
    checksums,
    sealed_table,
});
