//! What owners set for a whole dataset.

use crate::types::Timestamp;

/// Which setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SettingKind {
    /// Tags of the dataset.
    Tags,
    /// Which web pages may use the dataset from a browser.
    Cors,
    /// What is deleted by its age.
    Lifecycle,
}

/// A setting's value; its kind is the variant's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// Tags in order of name, each name once.
    Tags(Vec<(String, String)>),
    /// Rules, of which the first that fits counts.
    Cors(Vec<CorsRule>),
    /// Rules, which all count.
    Lifecycle(Vec<LifecycleRule>),
}

impl Setting {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> SettingKind {
        match self {
            Self::Tags(_) => SettingKind::Tags,
            Self::Cors(_) => SettingKind::Cors,
            Self::Lifecycle(_) => SettingKind::Lifecycle,
        }
    }
}

/// Which pages may do what from a browser.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CorsRule {
    /// What its owner calls it.
    pub id: Option<String>,
    /// Origins, each with at most one `*`.
    pub origins: Vec<String>,
    /// Methods: `GET`, `PUT`, `POST`, `DELETE`, `HEAD`.
    pub methods: Vec<String>,
    /// Request headers, each with at most one `*`.
    pub headers: Vec<String>,
    /// Response headers that a page may read.
    pub exposed: Vec<String>,
    /// For how many seconds a browser may remember the answer.
    pub max_age: Option<u32>,
}

/// What is deleted when.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LifecycleRule {
    /// Its name, in the log of what it deletes.
    pub id: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// To which objects it applies.
    pub filter: LifecycleFilter,
    /// When a current object is deleted, as a client does who names no version.
    pub expiry: Option<Expiry>,
    /// Whether a delete marker goes that has no older version below it.
    pub lone_markers: bool,
    /// When an older version goes.
    pub noncurrent: Option<Noncurrent>,
    /// How many days after its beginning an upload is given up.
    pub abort_days: Option<u32>,
}

/// To which objects a rule applies: those of which all of this is true.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LifecycleFilter {
    /// Its key begins so.
    pub prefix: String,
    /// It has these tags.
    pub tags: Vec<(String, String)>,
    /// It has more bytes than this.
    pub larger: Option<u64>,
    /// It has fewer bytes than this.
    pub smaller: Option<u64>,
    /// The form in which its owner wrote it, to be told it in that form.
    pub form: FilterForm,
}

/// How a filter was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FilterForm {
    /// As a prefix beside the filter.
    Outside,
    /// As one condition, or none.
    #[default]
    Single,
    /// As several conditions.
    And,
}

/// When a current object is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// So many days after it was written.
    Days(u32),
    /// From this moment on.
    At(Timestamp),
}

/// When an older version goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Noncurrent {
    /// So many days after it was replaced or deleted.
    pub days: u32,
    /// But so many of the newest older versions stay.
    pub keep: Option<u32>,
}
