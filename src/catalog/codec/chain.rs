//! How the state of the chain of snapshots is encoded.

use super::CodecError;
use super::rows::fields;
use super::wire::{Reader, Wire};
use crate::catalog::{Attempt, Base, Chain, Link, Since};

fields!(Chain {
    lineage,
    head,
    next,
    upto,
    attempt,
    floor,
    keep_from,
    bases,
    base,
    since,
    unbased,
    doubted,
});
fields!(Link {
    number,
    bytes,
    digest,
    created,
});
fields!(Attempt {
    link,
    upto,
    salt,
    changes,
});
fields!(Base { first, bytes });
fields!(Since { count, bytes });
