//! Which changes of the catalog are changes of who may do what.

use super::{Mutation, SettingKind};

impl Mutation {
    /// Whether it changes who may do what, and so [`super::Catalog::generation`].
    #[expect(clippy::too_many_lines, reason = "one arm for each mutation")]
    pub(super) const fn changes_access(&self) -> bool {
        match self {
            Self::SetRoster { kind, entry, .. } => match entry {
                Some(entry) => entry.row.narrows(),
                None => kind.gives(),
            },
            Self::CreateProject(_)
            | Self::SetLogTerms { .. }
            | Self::CreateDataset(_)
            | Self::DeleteDataset(_)
            | Self::CreatePrincipal(_)
            | Self::CreateCredential(_)
            | Self::ScopeCredential { .. }
            | Self::DeleteCredential(_)
            | Self::CreateGrant(_)
            | Self::DeleteGrant(_)
            | Self::SetTerms { .. }
            | Self::SetSuspended { .. }
            | Self::AddMember { .. }
            | Self::RemoveMember { .. }
            | Self::LinkIdentity(_)
            | Self::UnlinkIdentity { .. }
            | Self::SetDefaults { .. }
            | Self::SetCard { .. }
            | Self::SetClearance { .. }
            // Cached with the dataset.
            | Self::SetVersioning { .. }
            | Self::SetObjectLock { .. }
            | Self::SetKeyName { .. }
            | Self::DropPublication { .. }
            | Self::BeginKeyWork(_)
            // Cached too.
            | Self::SetSetting {
                kind: SettingKind::Lifecycle,
                ..
            }
            | Self::RewrapIndex { .. }
            | Self::EndKeyWork { .. }
            | Self::RestoreKeyWork(_) => true,
            Self::PutObject { .. }
            | Self::DeleteObject { .. }
            | Self::CreateUpload(_)
            | Self::PutPart { .. }
            | Self::CompleteUpload { .. }
            | Self::AbortUpload { .. }
            | Self::RestoreBlobs(_)
            | Self::ForgetBlobs(_)
            | Self::RestoreSeq(_)
            | Self::RemoveObject { .. }
            | Self::DeleteVersion { .. }
            | Self::CheckHold(_)
            | Self::CheckLogTerms { .. }
            | Self::CheckGrant { .. }
            | Self::CheckGrants(_)
            | Self::CheckNodeKey(_)
            | Self::SetAttached { .. }
            | Self::SetRetention { .. }
            | Self::SetHold { .. }
            | Self::SetObjectKeyName { .. }
            | Self::SetOrigin { .. }
            | Self::SetUploadTags { .. }
            | Self::SetUploadFacts { .. }
            | Self::SetSetting { .. }
            | Self::RestoreVersion { .. }
            | Self::RestoreMarker(_)
            | Self::SpendToken { .. }
            | Self::AskApproval { .. }
            | Self::CheckWaiting(_)
            | Self::AddNotice(_)
            | Self::StepApproval { .. }
            | Self::NoteUses(_)
            | Self::Freeze(_)
            | Self::Issue { .. }
            | Self::RestorePublication { .. }
            | Self::EraseRows { .. }
            | Self::Rewrap { .. }
            | Self::RewrapPart { .. }
            | Self::ForgetDoomed { .. }
            | Self::RestoreErased { .. }
            | Self::RestoreFrozen { .. } => false,
        }
    }
}
