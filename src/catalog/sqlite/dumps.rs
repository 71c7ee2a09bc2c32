//! The one dump that may run, between its pages.

use bytes::Bytes;

use super::dump::Session;
use super::readers::Readers;
use crate::catalog::{CatalogError, Mutation};

/// At most one dump runs.
#[derive(Default)]
pub(super) struct Dumps {
    begun: u64,
    running: Option<Session>,
}

impl Dumps {
    /// One page; a dump that failed is over.
    pub(super) fn page(
        &mut self,
        readers: &Readers,
        cursor: Option<&Bytes>,
        bytes_max: usize,
    ) -> Result<(Vec<Mutation>, Option<Bytes>), CatalogError> {
        let running = self.running.take();
        let mut session = if let Some(cursor) = cursor {
            match running {
                Some(session) if session.cursor() == cursor => session,
                other => {
                    self.running = other;
                    return Err(CatalogError::Failed {
                        reason: "this dump was ended by another".into(),
                    });
                }
            }
        } else {
            drop(running);
            self.begun = self.begun.saturating_add(1);
            Session::begin(self.begun, readers.take()?)?
        };
        let (mutations, more) = session.page(bytes_max)?;
        if more {
            let cursor = session.cursor();
            self.running = Some(session);
            return Ok((mutations, Some(cursor)));
        }
        readers.give_back(session.end()?);
        Ok((mutations, None))
    }
}
