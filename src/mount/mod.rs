//! The mount: a published version as a read-only directory, through FUSE.
//!
//! This is glue: requests of the kernel become questions to `node`, its answers replies. Names and
//! attributes are answered on the spot where the page is in memory, everything else on the runtime.

mod attributes;
mod cached;
mod device;
mod filesystem;
mod handover;
mod mounted;
mod own;
mod plan;
mod point;
mod signals;
mod special;
mod state;
mod waiting;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config, MountOption, Notifier, Session, SessionACL, SessionUnmounter};
use rustix::process::geteuid;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::device::Making;
pub use self::device::unmount;
use self::filesystem::Filesystem;
pub use self::handover::{Opened, Word, hear, say};
pub use self::mounted::fuse_on;
use self::plan::PlanFile;
use self::state::State;
use crate::node::{Contents, DiskCache, Keys, Orders, Reads, Version};
use crate::types::limits;

/// How often what was read is told to the gateway.
const REPORT: Duration = Duration::from_secs(5);
/// How long a mount that ends tries to tell what was read last.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a mount is made.
#[derive(Clone)]
pub struct MountAsk {
    /// Where.
    pub directory: PathBuf,
    /// Whether other accounts than the one that mounts may read it.
    pub allow_other: bool,
    /// Whether the kernel keeps no plaintext: every read comes here.
    pub direct: bool,
    /// Whether the gateway is asked for all bytes, though the store itself might be.
    pub through_gateway: bool,
    /// Bytes of plaintext that are kept.
    pub memory_bytes: usize,
    /// A cache of sealed bytes on the disk.
    pub disk: Option<Arc<DiskCache>>,
    /// 32 random digits, for the directory of the plan.
    pub random: String,
    /// Whom files belong to.
    pub owner: (u32, u32),
    /// The account that may write the plan, if it is not the one that mounts.
    pub plan_writer: Option<u32>,
    /// The one account, beside root, that may enter.
    pub reader: Option<u32>,
}

/// Whether a directory is written as a descriptor (`/dev/fd/N`) on which another has mounted.
#[must_use]
pub fn is_descriptor(directory: &Path) -> bool {
    device::number_of(directory).is_some()
}

/// A supervisor, as its mount has it.
pub struct Supervised {
    line: UnixStream,
    opened: Opened,
    /// Of the mount that died.
    connection: Option<OwnedFd>,
}

impl Supervised {
    /// Whether it goes on with the mount of one that died.
    #[must_use]
    pub const fn resumes(&self) -> bool {
        self.connection.is_some()
    }

    /// Hears what the supervisor has to say first.
    pub fn begin(line: UnixStream) -> io::Result<Self> {
        let (word, with) = hear(&line)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut with = with.into_iter();
        let opened = with.next().map(Opened::of);
        let connection = with.next().filter(|_| word == Word::Resume);
        if connection.is_some() != (word == Word::Resume) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            line,
            opened: opened.ok_or(io::ErrorKind::InvalidData)?,
            connection,
        })
    }
}

/// Mounts a version and serves it until `stop` comes or it is unmounted.
pub async fn serve(
    version: Arc<Version>,
    ask: MountAsk,
    supervised: Option<Supervised>,
    stop: impl Future<Output = ()>,
    mounted: impl FnOnce(),
) -> io::Result<()> {
    let (opened, connection, line) = supervised.map_or((None, None, None), |supervised| {
        let connection = supervised.connection;
        (Some(supervised.opened), connection, Some(supervised.line))
    });
    let ours = connection.is_none() && !is_descriptor(&ask.directory);
    let by_name = ours && !geteuid().is_root();
    let state = state(version, &ask)?;
    let state = match opened {
        Some(opened) => state.supervised(opened, connection.is_some())?,
        None => state,
    };
    let state = Arc::new(state);
    let (session, making) = match session(&state, &ask, (line.is_some(), connection.as_ref())) {
        Ok(made) => made,
        Err(error) => {
            if let Some(line) = line.filter(|_| connection.is_some()) {
                say(&line, Word::Lost, &[])?;
            }
            return Err(error);
        }
    };
    if let Some(line) = &line {
        let new = connection.is_none().then(|| session.as_fd());
        say(line, Word::Mounted, new.as_slice())?;
    }
    let notifier = Arc::new(session.notifier());
    let mut unmounter = session;
    let mut unmount = unmounter.unmount_callable();
    let (ended, mut end) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("fuse".into())
        .spawn(move || {
            let result = unmounter.run();
            // Nobody waits any more where the command has ended.
            let _nobody = ended.send(result);
        })?;
    if let Some(making) = making {
        making.done();
    }
    // As far as the account may: without it the kernel asks for 128 KiB at a time.
    let directory = ask.directory.clone();
    if !is_descriptor(&directory) {
        drop(tokio::task::spawn_blocking(move || read_ahead(&directory)));
    }
    mounted();
    let mut renewing = tokio::spawn(renew(Arc::clone(&state), Arc::clone(&notifier)));
    let reporting = tokio::spawn(report(Arc::clone(&state)));
    let planning = tokio::spawn(plan::watch(Arc::clone(&state)));
    let result = tokio::select! {
        result = &mut end => result.unwrap_or(Ok(())),
        () = stop => {
            // Whatever comes of it, what was read is told before this ends.
            let gone = take_down(&ask.directory, by_name.then_some(&mut unmount));
            // What is open keeps the session alive; the directory is gone for everybody else.
            let served = match tokio::time::timeout(FAREWELL, &mut end).await {
                Ok(result) => result.unwrap_or(Ok(())),
                Err(_elapsed) => {
                    // Else it could renew what ends here.
                    renewing.abort();
                    let _aborted = (&mut renewing).await;
                    leave_nothing(&state, &notifier).await;
                    Ok(())
                }
            };
            gone.and(served)
        }
    };
    renewing.abort();
    reporting.abort();
    planning.abort();
    farewell(&state).await;
    drop(thread);
    result
}

/// Unmounts, by what made the mount where that was `fuser`; one on a descriptor is another's.
fn take_down(directory: &Path, own: Option<&mut SessionUnmounter>) -> io::Result<()> {
    match own {
        _ if is_descriptor(directory) => Ok(()),
        Some(own) => own.unmount(),
        None => unmount(directory),
    }
}

/// Ends reading, and lets the kernel forget what it has. Who is inside still keeps a descriptor or
/// a mapping, and nothing behind it: nor can it bring back what the kernel has just forgotten.
async fn leave_nothing(state: &State, notifier: &Arc<Notifier>) {
    state.keys.end("the mount has ended".into());
    state.contents.forget();
    let all = forget(Arc::clone(notifier), state.drop_open(None));
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("the kernel may have pages of what is open still");
    }
}

/// Closes what is open, and tells what was read last.
async fn farewell(state: &State) {
    state.plan.remove();
    state.close_all();
    let told = state.reads.send(&state.version);
    if tokio::time::timeout(FAREWELL, told).await.is_err() {
        tracing::warn!("what was read last is not told");
    }
}

/// What the mount keeps, nothing of it opened yet.
fn state(version: Arc<Version>, ask: &MountAsk) -> io::Result<State> {
    let keys = Arc::new(Keys::new(Arc::clone(&version)));
    let (bytes, disk) = (ask.memory_bytes, ask.disk.clone());
    let contents = Contents::new(Arc::clone(&version), Arc::clone(&keys), bytes, disk);
    let contents = if ask.through_gateway {
        contents.through_gateway()
    } else {
        contents
    };
    // A quarter: what is ahead must not push out what is being read.
    let orders = Orders::new(u64::try_from(bytes / 4).unwrap_or(u64::MAX));
    let plan = PlanFile::new(
        &format!("{}{}", own::PREFIX, ask.random),
        ask.plan_writer.or(ask.reader),
    )?;
    let contents = Arc::new(contents);
    Ok(State::new(version, keys, contents, (orders, plan)))
}

/// Lets the kernel read ahead of programs in large requests, which root alone may.
fn read_ahead(directory: &Path) {
    let Ok(metadata) = std::fs::metadata(directory) else {
        return;
    };
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let setting = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(error) = std::fs::write(setting, limits::MOUNT_READAHEAD_KIB.to_string()) {
        tracing::debug!(%error, "the kernel's read-ahead stays as it is");
    }
}

/// A session, and what takes it down again while it is not yet served.
type Made<'a> = (Session<Filesystem>, Option<Making<'a>>);

/// A session of its own, on a descriptor that was given, or the one of a mount that died. Under a
/// supervisor all threads share one descriptor: what a dead thread of a cloned one had taken
/// would be lost with it.
fn session<'a>(
    state: &Arc<State>,
    ask: &'a MountAsk,
    (supervised, connection): (bool, Option<&OwnedFd>),
) -> io::Result<Made<'a>> {
    let name = state.name();
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
        MountOption::FSName(name.clone()),
        MountOption::Subtype("kluis".into()),
    ];
    config.acl = if ask.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    config.n_threads = Some(cores.clamp(2, limits::MOUNT_THREADS_MAX));
    config.clone_fd = !supervised;
    let filesystem = Filesystem::new(Arc::clone(state), Handle::current(), ask.clone());
    if let Some(connection) = connection {
        let resumed = device::resumed(filesystem, connection, &config)?;
        return Ok((resumed, None));
    }
    if let Some(number) = device::number_of(&ask.directory) {
        let descriptor = device::inherited(number)?;
        let given = Session::from_fd(filesystem, descriptor, config.acl, config)?;
        return Ok((given, None));
    }
    if geteuid().is_root() {
        let place = (ask.directory.as_path(), name.as_str());
        let (session, making) = device::mounted(filesystem, place, &config)?;
        return Ok((session, Some(making)));
    }
    Ok((Session::new(filesystem, &ask.directory, &config)?, None))
}

/// Renews the lease; of what is refused, one object or all, keys and plaintext are forgotten here
/// and by the kernel.
async fn renew(state: Arc<State>, notifier: Arc<Notifier>) {
    let pause = Duration::from_secs(limits::LEASE_SECONDS / 3);
    let mut refused = false;
    loop {
        tokio::time::sleep(pause).await;
        let gone: HashSet<String> = state
            .keys
            .renew(&state.open_keys())
            .await
            .into_iter()
            .collect();
        if !gone.is_empty() {
            for key in &gone {
                state.error(key, "reading ended: the gateway refuses this object");
            }
            // All chunks: which are whose is not kept, and the rest comes again.
            state.contents.forget();
            drop(tokio::spawn(forget(
                Arc::clone(&notifier),
                state.drop_open(Some(&gone)),
            )));
        }
        let now = state.keys.lease().refusal();
        if let Some(why) = now.as_ref().filter(|_| !refused) {
            state.error("", &format!("reading ended: {why}"));
            state.contents.forget();
            drop(tokio::spawn(forget(
                Arc::clone(&notifier),
                state.drop_open(None),
            )));
        }
        refused = now.is_some();
        let crowded = state.crowded();
        if !crowded.is_empty() {
            drop(tokio::spawn(forget(Arc::clone(&notifier), crowded)));
        }
    }
}

/// Lets the kernel forget what it has of files. It waits for reads that are under way.
async fn forget(notifier: Arc<Notifier>, inodes: HashSet<u64>) {
    let forgotten = tokio::task::spawn_blocking(move || {
        for inode in inodes {
            // One that the kernel forgot already is no error.
            let _gone = notifier.inval_inode(fuser::INodeNo(inode), 0, 0);
        }
    });
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "the kernel forgot not all");
    }
}

async fn report(state: Arc<State>) {
    let _: &Reads = &state.reads;
    loop {
        tokio::time::sleep(REPORT).await;
        state.gather();
        state.reads.send(&state.version).await;
    }
}
