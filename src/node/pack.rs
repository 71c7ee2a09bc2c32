//! A pack as it comes: many small files' sealed blobs in one answer, each told apart by its key.

use super::GatewayError;
use crate::seal::layout;
use crate::types::limits;

/// What one blob of a pack may hold.
const SEALED_MAX: u64 = layout::sealed_bytes(limits::PACK_OBJECT_BYTES_MAX);

/// What a whole pack may hold: frames of no sealed bytes do not go on for ever.
const PACK_MAX: u64 = 2 * limits::PACK_BYTES_MAX;

/// Cuts a pack into its frames as it comes. What does not look like one ends the request.
#[derive(Default)]
pub(super) struct Unpacking {
    held: Vec<u8>,
    taken: u64,
}

const NOT_ONE: GatewayError = GatewayError::Refused {
    status: 200,
    code: String::new(),
    title: String::new(),
};

impl Unpacking {
    /// Takes a piece; `each` is given every key and sealed blob that is whole.
    pub(super) fn take(
        &mut self,
        mut piece: &[u8],
        each: &mut (dyn FnMut(&str, &[u8]) + Send),
    ) -> Result<(), GatewayError> {
        let more = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.taken = self.taken.saturating_add(more);
        if self.taken > PACK_MAX {
            return Err(NOT_ONE);
        }
        loop {
            let wanted = self.wanted()?;
            let missing = wanted.saturating_sub(self.held.len());
            let (head, tail) = piece.split_at(missing.min(piece.len()));
            self.held.extend_from_slice(head);
            piece = tail;
            if self.held.len() < wanted {
                return Ok(());
            }
            if let Some((key, sealed)) = self.frame() {
                each(std::str::from_utf8(key).map_err(|_text| NOT_ONE)?, sealed);
                self.held.clear();
            }
        }
    }

    /// Whether it ended where a frame does.
    pub(super) const fn is_whole(&self) -> bool {
        self.held.is_empty()
    }

    /// The lengths, as far as they are here.
    fn lengths(&self) -> (Option<usize>, Option<u64>) {
        let Some((key, rest)) = self.held.split_first_chunk::<2>() else {
            return (None, None);
        };
        let key = usize::from(u16::from_be_bytes(*key));
        let sealed = rest.get(key..).and_then(|rest| rest.first_chunk::<4>());
        (
            Some(key),
            sealed.map(|sealed| u32::from_be_bytes(*sealed).into()),
        )
    }

    /// How many bytes tell the next thing.
    fn wanted(&self) -> Result<usize, GatewayError> {
        match self.lengths() {
            (None, _) => Ok(2),
            (Some(key), _) if key > limits::OBJECT_KEY_BYTES_MAX => Err(NOT_ONE),
            (Some(key), None) => Ok(key.saturating_add(6)),
            (_, Some(sealed)) if sealed > SEALED_MAX => Err(NOT_ONE),
            (Some(key), Some(sealed)) => {
                let sealed = usize::try_from(sealed).map_err(|_large| NOT_ONE)?;
                Ok(key.saturating_add(6).saturating_add(sealed))
            }
        }
    }

    /// The frame, if all of it is here.
    fn frame(&self) -> Option<(&[u8], &[u8])> {
        let (key, sealed) = self.lengths();
        let (key, sealed) = (key?, usize::try_from(sealed?).ok()?);
        let (key, rest) = self.held.get(2..)?.split_at_checked(key)?;
        let sealed_bytes = rest.get(4..)?;
        (sealed_bytes.len() == sealed).then_some((key, sealed_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(of: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, sealed) in of {
            out.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(&u32::try_from(sealed.len()).unwrap().to_be_bytes());
            out.extend_from_slice(sealed);
        }
        out
    }

    proptest! {
        #[test]
        fn a_pack_is_cut_the_same_however_it_comes(
            all in prop::collection::vec(("[a-z/é]{1,20}", prop::collection::vec(any::<u8>(), 0..300)), 0..8),
            cut in 1_usize..90,
        ) {
            let mut unpacking = Unpacking::default();
            let mut got = Vec::new();
            for piece in frames(&all).chunks(cut) {
                unpacking
                    .take(piece, &mut |key, sealed| got.push((key.to_owned(), sealed.to_vec())))
                    .unwrap();
            }
            prop_assert!(unpacking.is_whole());
            prop_assert_eq!(got, all);
        }

        #[test]
        fn what_is_no_pack_holds_little_and_breaks_nothing(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let mut unpacking = Unpacking::default();
            let done = unpacking.take(&bytes, &mut |_, _| ());
            prop_assert!(done.is_err() || unpacking.held.len() <= bytes.len());
        }
    }

    #[test]
    fn a_pack_without_end_is_refused() {
        let frame = frames(&[("k".to_owned(), vec![7; 60_000])]);
        let mut unpacking = Unpacking::default();
        let mut taken = 0;
        while unpacking.take(&frame, &mut |_, _| ()).is_ok() {
            taken += frame.len() as u64;
            assert!(taken <= PACK_MAX, "and not more than so much");
        }
        assert!(taken >= limits::PACK_BYTES_MAX);
    }

    #[test]
    fn lengths_beyond_any_file_are_refused_before_they_are_held() {
        let long_key = [0xff, 0xff];
        let large = [0, 1, b'k', 0xff, 0xff, 0xff, 0xff];
        let not_text = [0, 1, 0xff, 0, 0, 0, 0];
        for bytes in [&long_key[..], &large, &not_text] {
            let mut unpacking = Unpacking::default();
            assert!(unpacking.take(bytes, &mut |_, _| ()).is_err(), "{bytes:?}");
        }
        let mut unpacking = Unpacking::default();
        unpacking.take(&[0, 1, b'k', 0, 0], &mut |_, _| ()).unwrap();
        assert!(!unpacking.is_whole());
    }
}
