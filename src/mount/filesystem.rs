//! The kernel's requests.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::MountAsk;
use super::attributes::{Common, TOP, inode, place};
use super::special;
use super::state::State;
use super::waiting::Halt;
use crate::node::{Found, Kind, NodeError, Plain};
use crate::types::limits;

/// How long the kernel may keep names and attributes: they never change.
const FOR_EVER: Duration = Duration::from_hours(24);
/// Entries that a directory's reader is given at once.
const ENTRIES: usize = 1_024;
/// Whole files up to here are fetched when they are opened.
const WHOLE_BYTES: u64 = 8 * 1024 * 1024;

/// A mounted version.
pub(super) struct Filesystem {
    state: Arc<State>,
    runtime: Handle,
    ask: MountAsk,
    common: Common,
}

/// What the kernel is told of a failure.
fn errno(halt: &Halt) -> Errno {
    match halt {
        Halt::Interrupted => Errno::EINTR,
        Halt::Failed(NodeError::Absent) => Errno::ENOENT,
        // Neither a matter of rights nor of a name that is not there: the directory shows it.
        Halt::Failed(NodeError::Erased) => Errno::ENODATA,
        Halt::Failed(NodeError::Refused(_)) => Errno::EACCES,
        Halt::Failed(
            NodeError::Unreachable(_) | NodeError::Credential(_) | NodeError::Integrity(_),
        ) => Errno::EIO,
    }
}

impl Filesystem {
    pub(super) fn new(state: Arc<State>, runtime: Handle, ask: MountAsk) -> Self {
        let common = Common {
            owner: ask.owner,
            reader: ask.reader,
            frozen: state.version.root().frozen,
        };
        Self {
            state,
            runtime,
            ask,
            common,
        }
    }

    /// Does what is asked here and now if nothing has to be fetched for it, else on the runtime.
    fn answer<T: Send + 'static, F: Future<Output = Result<T, NodeError>> + Send + 'static>(
        &self,
        request: &Request,
        work: impl Fn() -> F,
        reply: impl FnOnce(Result<T, Halt>) + Send + 'static,
    ) {
        let at_once = {
            let _inside = self.runtime.enter();
            work().now_or_never()
        };
        if let Some(done) = at_once {
            reply(done.map_err(Halt::Failed));
        } else {
            self.wait(request, work(), reply);
        }
    }

    /// Answers when the work is done, or its asker is to end.
    fn wait<T: Send + 'static>(
        &self,
        request: &Request,
        work: impl Future<Output = Result<T, NodeError>> + Send + 'static,
        reply: impl FnOnce(Result<T, Halt>) + Send + 'static,
    ) {
        let (state, pid) = (Arc::clone(&self.state), request.pid());
        self.runtime
            .spawn(async move { reply(state.waiting.unless_ended(pid, work).await) });
    }

    /// Entries of a directory behind an offset: 0 for the beginning, else that of an entry.
    fn list(
        &self,
        request: &Request,
        (directory, offset): (u64, u64),
        reply: impl FnOnce(Result<(u64, Vec<Found>), Halt>) + Send + 'static,
    ) {
        let state = Arc::clone(&self.state);
        let work = move || {
            let state = Arc::clone(&state);
            async move {
                let (path, above) = directory_of(&state, directory).await?;
                let found = state.version.entries(&path, place(offset), ENTRIES).await?;
                Ok((above, found))
            }
        };
        self.answer(request, work, reply);
    }

    fn special(&self, inode: u64) -> Option<fuser::FileAttr> {
        if inode == special::DIRECTORY {
            return Some(self.common.directory(inode));
        }
        if inode == special::PLAN {
            let bytes = self.state.plan.path().as_os_str().len();
            let bytes = u64::try_from(bytes).unwrap_or_default();
            return Some(self.common.link(inode, bytes));
        }
        let text = special::text(&self.state, inode)?;
        let bytes = u64::try_from(text.len()).unwrap_or_default();
        Some(self.common.file(inode, bytes, self.common.frozen))
    }
}

/// A directory's path, and the inode of the one above it.
async fn directory_of(state: &State, inode_of: u64) -> Result<(Vec<u8>, u64), NodeError> {
    if inode_of == TOP {
        return Ok((Vec::new(), TOP));
    }
    let place = place(inode_of).ok_or(NodeError::Absent)?;
    let found = state.version.at(place).await?;
    if found.kind != Kind::Directory {
        return Err(NodeError::Absent);
    }
    let above = match found.directory.strip_suffix(b"/") {
        None => TOP,
        Some(path) => {
            let cut = path.iter().rposition(|b| *b == b'/');
            let cut = cut.map_or(0, |at| at.saturating_add(1));
            let (directory, name) = path.split_at_checked(cut).ok_or(NodeError::Absent)?;
            inode(state.version.find(directory, name).await?.place)
        }
    };
    Ok((found.path(), above))
}

/// The attributes' kind, as listings have it.
const fn file_type(found: &Found) -> FileType {
    match found.kind {
        Kind::File(_) => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
    }
}

impl fuser::Filesystem for Filesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Each is an improvement where the kernel has it.
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_SPLICE_WRITE,
        ] {
            let _missing = config.add_capabilities(wanted);
        }
        let _limited = config.set_max_readahead(limits::MOUNT_READAHEAD_BYTES);
        let _limited = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        if name.len() > limits::FILE_NAME_BYTES_MAX {
            return reply.error(Errno::ENAMETOOLONG);
        }
        let special = match u64::from(parent) {
            TOP if name == special::NAME => Some(special::DIRECTORY),
            special::DIRECTORY => match special::inode_of(&name) {
                Some(inode) => Some(inode),
                None => return reply.error(Errno::ENOENT),
            },
            _ => None,
        };
        if let Some(attributes) = special.and_then(|inode| self.special(inode)) {
            // Its length changes.
            return reply.entry(&Duration::ZERO, &attributes, Generation(0));
        }
        let state = Arc::clone(&self.state);
        let parent = u64::from(parent);
        let named = String::from_utf8_lossy(&name).into_owned();
        let work = move || {
            let (state, name) = (Arc::clone(&state), name.clone());
            async move {
                let (path, _) = directory_of(&state, parent).await?;
                state.version.find(&path, &name).await
            }
        };
        let (common, state) = (self.common, Arc::clone(&self.state));
        self.answer(request, work, move |found| match found {
            Ok(found) => reply.entry(&FOR_EVER, &common.of(&found), Generation(0)),
            Err(halt) => {
                if let Halt::Failed(error) = &halt
                    && !matches!(error, NodeError::Absent)
                {
                    state.failed(&named, error);
                }
                reply.error(errno(&halt));
            }
        });
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let number = u64::from(ino);
        if number == TOP {
            return reply.attr(&FOR_EVER, &self.common.directory(TOP));
        }
        if let Some(attributes) = self.special(number) {
            return reply.attr(&Duration::ZERO, &attributes);
        }
        let Some(place) = place(number) else {
            return reply.error(Errno::ENOENT);
        };
        let state = Arc::clone(&self.state);
        let work = move || {
            let state = Arc::clone(&state);
            async move { state.version.at(place).await }
        };
        let common = self.common;
        self.answer(request, work, move |found| match found {
            Ok(found) => reply.attr(&FOR_EVER, &common.of(&found)),
            Err(halt) => reply.error(errno(&halt)),
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        let number = u64::from(ino);
        if special::text(&self.state, number).is_some() {
            return reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        }
        let Some(place) = place(number) else {
            return reply.error(Errno::ENOENT);
        };
        let state = Arc::clone(&self.state);
        let direct = self.ask.direct;
        let opening = Arc::clone(&state);
        let opened = async move {
            let found = opening.version.at(place).await;
            let found = found.inspect_err(|error| opening.failed("", error))?;
            if let Kind::File(file) = &found.kind {
                opening.bring_after(place, file.bytes);
            }
            let open = opening.contents.open(&found, 1).await;
            open.inspect_err(|error| opening.failed(&found.key().unwrap_or_default(), error))
        };
        self.wait(request, opened, move |opened| match opened {
            Ok(open) => {
                let whole = State::whole(&open).filter(|range| range.len() <= WHOLE_BYTES);
                let (handle, cached) = state.keep(number, open);
                if let (Some(open), Some(range)) = (state.open(handle), whole) {
                    state.contents.fetch_ahead(&open, range);
                }
                let how = if direct || !cached {
                    FopenFlags::FOPEN_DIRECT_IO
                } else {
                    FopenFlags::FOPEN_KEEP_CACHE
                };
                reply.opened(FileHandle(handle), how);
            }
            Err(halt) => reply.error(errno(&halt)),
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some(text) = special::text(&self.state, u64::from(ino)) {
            let bytes = text.as_bytes();
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
            return reply.data(rest.get(..size).unwrap_or_default());
        }
        let state = Arc::clone(&self.state);
        let (handle, inode) = (u64::from(fh), u64::from(ino));
        let opened = state.open(handle);
        let mut work = Box::pin(async move {
            let open = if let Some(open) = opened {
                open
            } else {
                let adopted = state.adopt(handle, inode).await;
                adopted.inspect_err(|error| state.failed("a file that stayed open", error))?
            };
            let read = state.contents.read(&open, offset, size.into()).await;
            read.inspect_err(|error| state.failed(open.key(), error))
        });
        let answer = move |read: Result<Plain, Halt>| match read {
            Ok(plain) => reply.data(&plain.bytes()),
            Err(halt @ (Halt::Interrupted | Halt::Failed(NodeError::Erased))) => {
                reply.error(errno(&halt));
            }
            Err(Halt::Failed(_told)) => reply.error(Errno::EIO),
        };
        // What is in memory is answered here; the rest goes on elsewhere where this left off.
        let at_once = {
            let _inside = self.runtime.enter();
            work.as_mut().now_or_never()
        };
        match at_once {
            Some(read) => answer(read.map_err(Halt::Failed)),
            None => self.wait(request, work, answer),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        if u64::from(ino) == special::PLAN {
            return reply.data(self.state.plan.path().as_os_str().as_bytes());
        }
        reply.error(Errno::EINVAL);
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.state.close(u64::from(fh));
        reply.ok();
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let how = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
        reply.opened(FileHandle(0), how);
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let number = u64::from(ino);
        if number == special::DIRECTORY {
            let all = special::FILES.iter().filter(|(inode, _)| *inode > offset);
            for (inode, name) in all {
                if reply.add(INodeNo(*inode), *inode, special::kind(*inode), name) {
                    break;
                }
            }
            return reply.ok();
        }
        self.list(request, (number, offset), move |found| match found {
            Ok((above, found)) => {
                let dots = [(number, 1, "."), (above, 2, "..")];
                for (inode, at, name) in dots.into_iter().filter(|(_, at, _)| *at > offset) {
                    if reply.add(INodeNo(inode), at, FileType::Directory, name) {
                        return reply.ok();
                    }
                }
                for found in &found {
                    let number = inode(found.place);
                    let name = OsStr::from_bytes(&found.name);
                    if reply.add(INodeNo(number), number, file_type(found), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(halt) => reply.error(errno(&halt)),
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let number = u64::from(ino);
        let common = self.common;
        let none = Generation(0);
        if number == special::DIRECTORY {
            let all = special::FILES.iter().filter(|(inode, _)| *inode > offset);
            for (inode, name) in all {
                let Some(attributes) = self.special(*inode) else {
                    continue;
                };
                let zero = Duration::ZERO;
                if reply.add(INodeNo(*inode), *inode, name, &zero, &attributes, none) {
                    break;
                }
            }
            return reply.ok();
        }
        self.list(request, (number, offset), move |found| match found {
            Ok((above, found)) => {
                let dots = [(number, 1, "."), (above, 2, "..")];
                for (inode, at, name) in dots.into_iter().filter(|(_, at, _)| *at > offset) {
                    let attributes = common.directory(inode);
                    if reply.add(INodeNo(inode), at, name, &FOR_EVER, &attributes, none) {
                        return reply.ok();
                    }
                }
                for found in &found {
                    let number = inode(found.place);
                    let name = OsStr::from_bytes(&found.name);
                    let attributes = common.of(found);
                    if reply.add(INodeNo(number), number, name, &FOR_EVER, &attributes, none) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(halt) => reply.error(errno(&halt)),
        });
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let version = &self.state.version;
        let totals = version.root().totals;
        let name = u32::try_from(limits::FILE_NAME_BYTES_MAX).unwrap_or(u32::MAX);
        reply.statfs(
            totals.map_or(0, |totals| totals.bytes.div_ceil(4096)),
            0,
            0,
            totals.map_or_else(|| version.entries_count(), |totals| totals.objects),
            0,
            4096,
            name,
            4096,
        );
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let wanted = name.as_bytes().to_vec();
        let known: [&[u8]; 3] = [XATTR_SNAPSHOT, XATTR_OBJECT, XATTR_DIGEST];
        if !known.contains(&wanted.as_slice()) {
            return reply.error(Errno::ENODATA);
        }
        let (state, number) = (Arc::clone(&self.state), u64::from(ino));
        let work = move || {
            let (state, wanted) = (Arc::clone(&state), wanted.clone());
            async move { attribute(&state, number, &wanted).await }
        };
        self.answer(request, work, move |value| match value {
            Ok(value) => give(&value, size, reply),
            Err(Halt::Failed(NodeError::Absent)) => reply.error(Errno::ENODATA),
            Err(halt) => reply.error(errno(&halt)),
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let (state, number) = (Arc::clone(&self.state), u64::from(ino));
        let work = move || {
            let state = Arc::clone(&state);
            async move {
                let mut names = Vec::new();
                for name in [XATTR_SNAPSHOT, XATTR_OBJECT, XATTR_DIGEST] {
                    if attribute(&state, number, name).await.is_ok() {
                        names.extend_from_slice(name);
                        names.push(0);
                    }
                }
                Ok(names)
            }
        };
        self.answer(request, work, move |names| match names {
            Ok(names) => give(&names, size, reply),
            Err(halt) => reply.error(errno(&halt)),
        });
    }
}

/// The version that a file belongs to, with its root's digest.
const XATTR_SNAPSHOT: &[u8] = b"user.kluis.snapshot";
/// The write that made the object.
const XATTR_OBJECT: &[u8] = b"user.kluis.object";
/// What the object's part table hashes to, which names its blobs and their keys.
const XATTR_DIGEST: &[u8] = b"user.kluis.digest";

/// An extended attribute.
async fn attribute(state: &State, number: u64, name: &[u8]) -> Result<Vec<u8>, NodeError> {
    if name == XATTR_SNAPSHOT {
        let digest = data_encoding::HEXLOWER.encode(state.version.digest());
        return Ok(format!("{}:{digest}", state.name()).into_bytes());
    }
    let place = place(number).ok_or(NodeError::Absent)?;
    match state.version.at(place).await?.kind {
        Kind::Directory => Err(NodeError::Absent),
        Kind::File(file) if name == XATTR_OBJECT => Ok(file.version.to_string().into_bytes()),
        Kind::File(file) => Ok(data_encoding::HEXLOWER
            .encode(&file.commitment)
            .into_bytes()),
    }
}

/// Gives a value or its length, as the kernel asks.
fn give(value: &[u8], size: u32, reply: ReplyXattr) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    if size == 0 {
        reply.size(length);
    } else if size < length {
        reply.error(Errno::ERANGE);
    } else {
        reply.data(value);
    }
}
