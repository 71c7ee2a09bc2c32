//! Tags of objects.

use std::sync::Arc;

use crate::catalog::{Attached, Mutation, ObjectRow};
use crate::types::{Action, limits};
use crate::vault::Vault;
use crate::vault::ask::{Call, Place, ReadAsk, Seen, Tags};
use crate::vault::error::{ErrorKind, VaultError};

impl Vault {
    /// A write that brings tags asks for the right to set them, too.
    pub(in crate::vault) async fn authorize_tags(
        &self,
        call: &Call,
        place: Place<'_>,
        tags: &[(String, String)],
    ) -> Result<(), VaultError> {
        if tags.is_empty() {
            return Ok(());
        }
        self.authorize(call, place.bucket, Some(place.key), Action::ObjectTag)
            .await
            .map(drop)
    }

    /// An object's tags: part of what a HEAD may tell.
    pub async fn object_tags(&self, call: &Call, place: Place<'_>) -> Result<Seen, VaultError> {
        self.head_object(call, place, ReadAsk::default()).await
    }

    /// Sets an object's tags in the place of those it has; none removes them.
    pub async fn set_object_tags(
        &self,
        call: &Call,
        place: Place<'_>,
        tags: Tags,
    ) -> Result<Arc<ObjectRow>, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectTag)
            .await?;
        let proof = self.authorize_version(call, place, proof).await?;
        let mut intent = Self::intent_of(call, &proof);
        let found = async {
            check_tags(&tags, limits::OBJECT_TAGS_MAX)?;
            self.look(&proof, &ReadAsk::default()).await
        };
        let row = match found.await {
            Ok(seen) => seen.row,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.version = Some(row.version);
        let recorded = self.begin(call, intent).await?;
        let mutation = Mutation::SetAttached {
            dataset: row.dataset,
            key: row.key.clone(),
            version: row.version,
            attached: Attached {
                tags,
                ..Attached::default()
            },
        };
        let result = self.commit(vec![mutation]).await;
        recorded.settle(result.map(|()| row))
    }
}

/// Sees that tags are within their bounds and no name comes twice.
pub(in crate::vault) fn check_tags(
    tags: &[(String, String)],
    most: usize,
) -> Result<(), VaultError> {
    const TOO_MANY: VaultError = VaultError::new(ErrorKind::TooManyTags, "too many tags");
    const BAD: VaultError = VaultError::new(ErrorKind::InvalidTag, "a tag is out of its bounds");
    if tags.len() > most {
        return Err(TOO_MANY);
    }
    for (at, (name, value)) in tags.iter().enumerate() {
        let text = |text: &str, chars_max: usize| {
            text.chars().count() <= chars_max && !text.chars().any(char::is_control)
        };
        let fits = text(name, limits::TAG_NAME_CHARS_MAX)
            && text(value, limits::TAG_VALUE_CHARS_MAX)
            && !name.is_empty();
        let again = tags.iter().take(at).any(|(other, _)| other == name);
        if !fits || again {
            return Err(BAD);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn tags_have_bounds() {
        let kind = |tags: &[(String, String)]| check_tags(tags, 2).err().map(|e| e.kind());
        assert_eq!(kind(&[]), None);
        assert_eq!(kind(&[tag("a", ""), tag("b", "\u{e9}")]), None);
        let many = [tag("a", ""), tag("b", ""), tag("c", "")];
        assert_eq!(kind(&many), Some(ErrorKind::TooManyTags));
        let long = "\u{e9}".repeat(128);
        assert_eq!(kind(&[tag(&long, &long.repeat(2))]), None);
        for (name, value) in [
            (format!("{long}x"), String::new()),
            (String::new(), "x".to_owned()),
            ("a".to_owned(), format!("{}x", long.repeat(2))),
            ("a\n".to_owned(), String::new()),
            ("a".to_owned(), "\u{85}".to_owned()),
        ] {
            let bad = [(name, value)];
            assert_eq!(kind(&bad), Some(ErrorKind::InvalidTag), "{bad:?}");
        }
        let twice = [tag("a", "1"), tag("a", "2")];
        assert_eq!(kind(&twice), Some(ErrorKind::InvalidTag));
    }
}
