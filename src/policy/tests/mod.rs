//! The decisions as a whole: the matrix of roles and actions, a naive oracle, and what must never
//! be allowed.

mod matrix;
mod never;
mod oracle;
mod remembered;
mod rules;
mod terms;
