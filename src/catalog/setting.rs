//! What owners set for a whole dataset.

/// Which setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SettingKind {
    /// Tags of the dataset.
    Tags,
}

/// A setting's value; its kind is the variant's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// Tags in order of name, each name once.
    Tags(Vec<(String, String)>),
}

impl Setting {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> SettingKind {
        match self {
            Self::Tags(_) => SettingKind::Tags,
        }
    }
}
