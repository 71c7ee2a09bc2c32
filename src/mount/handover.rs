//! Between a mount and its supervisor: one byte that says what it is, and the descriptors that go
//! with it. The supervisor holds the connection to the kernel, so that readers wait while a mount
//! that died has its successor, and the list of what was opened, so that the successor can take
//! it out of the kernel's hands when the grant ends.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::types::limits;

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// To the mount: begin; with the list of what was opened.
    Begin,
    /// To the mount: go on; with the list, and the connection.
    Resume,
    /// Of the mount: it stands; with the connection, if it is a new one.
    Mounted,
    /// Of the mount: the connection cannot be gone on with.
    Lost,
}

impl Word {
    const ALL: [(Self, u8); 4] = [
        (Self::Begin, b'b'),
        (Self::Resume, b'r'),
        (Self::Mounted, b'm'),
        (Self::Lost, b'l'),
    ];
}

/// Descriptors that go with a word at most.
const DESCRIPTORS: usize = 2;

/// Says something.
pub fn say(to: impl AsFd, word: Word, with: &[BorrowedFd<'_>]) -> io::Result<()> {
    let byte = Word::ALL.iter().find(|(known, _)| *known == word);
    let byte = byte.map_or(0, |(_, byte)| *byte);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        to,
        &[IoSlice::new(&[byte])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Waits for a word; `None` when the other side has ended or says what is none.
pub fn hear(from: impl AsFd) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let came = recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let mut with = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            with.extend(descriptors);
        }
    }
    let word = Word::ALL.iter().find(|(_, known)| [*known] == byte);
    Ok(word
        .filter(|_| came.bytes == 1)
        .map(|(word, _)| (*word, with)))
}

/// Inodes of what was opened, each once, in a file that is in memory alone.
pub struct Opened(File);

impl Opened {
    /// None yet.
    pub fn create() -> io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        Ok(Self(
            rustix::fs::memfd_create("kluis-opened", flags)?.into(),
        ))
    }

    /// What a supervisor gave.
    #[must_use]
    pub fn of(file: OwnedFd) -> Self {
        Self(file.into())
    }

    /// To be given on.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// All that is in it.
    pub fn all(&self) -> io::Result<Vec<u64>> {
        let bytes = self.0.metadata()?.len().min(limits::MOUNT_OPENED_BYTES_MAX);
        let mut text = vec![0; usize::try_from(bytes).unwrap_or_default()];
        self.0.read_exact_at(&mut text, 0)?;
        let (inodes, _torn) = text.as_chunks::<8>();
        Ok(inodes
            .iter()
            .map(|inode| u64::from_ne_bytes(*inode))
            .collect())
    }

    /// Adds one as the `count`-th, from 0.
    pub fn add(&self, count: usize, inode: u64) -> io::Result<()> {
        let at = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(8);
        self.0.write_all_at(&inode.to_ne_bytes(), at)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn words_come_with_their_descriptors_and_an_end_is_none() {
        let (one, other) = UnixStream::pair().unwrap();
        let list = Opened::create().unwrap();
        for (count, inode) in [7_u64, 1 << 40].into_iter().enumerate() {
            list.add(count, inode).unwrap();
        }
        say(&one, Word::Begin, &[list.as_fd(), one.as_fd()]).unwrap();
        say(&one, Word::Lost, &[]).unwrap();
        let (word, mut with) = hear(&other).unwrap().unwrap();
        assert_eq!((word, with.len()), (Word::Begin, 2));
        let same = Opened::of(with.swap_remove(0));
        assert_eq!(same.all().unwrap(), [7, 1 << 40]);
        drop(with);
        assert_eq!(hear(&other).unwrap().unwrap().0, Word::Lost);
        rustix::io::write(&one, b"?").unwrap();
        assert!(hear(&other).unwrap().is_none());
        drop(one);
        assert!(hear(&other).unwrap().is_none());
    }
}
