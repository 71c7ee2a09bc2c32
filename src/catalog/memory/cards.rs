//! The model's descriptions of datasets, defaults of projects, clearances.

use std::sync::Arc;

use super::super::{Card, CardDefaults, Conflict};
use super::state::{State, must};
use crate::types::{DatasetId, Label, PrincipalId, ProjectName};

impl State {
    pub(super) fn set_defaults(
        &mut self,
        project: &ProjectName,
        defaults: Option<CardDefaults>,
    ) -> Result<(), Conflict> {
        let row = self.projects.get_mut(project).ok_or(Conflict::NoProject)?;
        row.defaults = defaults;
        Ok(())
    }

    pub(super) fn set_card(
        &mut self,
        dataset: &DatasetId,
        was: Option<&Card>,
        card: Card,
    ) -> Result<(), Conflict> {
        let mut rows = self.datasets.values_mut();
        let row = rows.find(|row| row.id == *dataset);
        let row = row.ok_or(Conflict::NoDataset)?;
        must(row.card.as_deref() == was, Conflict::CardChanged)?;
        row.card = Some(Arc::new(card));
        Ok(())
    }

    pub(super) fn set_clearance(
        &mut self,
        principal: &PrincipalId,
        clearance: Option<Label>,
    ) -> Result<(), Conflict> {
        let row = self.principals.get_mut(principal);
        row.ok_or(Conflict::NoPrincipal)?.clearance = clearance;
        Ok(())
    }
}
