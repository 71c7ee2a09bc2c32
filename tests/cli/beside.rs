//! Commands beside a gateway that serves, and beside one another.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Vault;

/// A process that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) {
        let pid = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.expect("kill runs").success());
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a process and waits until it says this text, on standard error or, where that is what it
/// shows people, on standard output.
pub(crate) fn start(mut command: Command, text: &str) -> Running {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    command.stdout(writer.try_clone().expect("its other end"));
    let child = command.stderr(writer).spawn().expect("it starts");
    // Its ends of the pipe are closed here, so that the pipe ends with the process.
    drop(command);
    let running = Running(child);
    let mut lines = BufReader::new(reader).lines();
    let seen = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains(text));
    assert!(seen, "it ended before it said `{text}`");
    // Whoever writes into a closed pipe fails: the rest is read to its end.
    std::thread::spawn(move || lines.map_while(Result::ok).count());
    running
}

#[test]
fn commands_work_while_a_gateway_serves() {
    let vault = Vault::founded();
    vault.edit("# listen = \"127.0.0.1:9000\"", "listen = \"127.0.0.1:0\"");
    vault.edit("# listen = \"127.0.0.1:9001\"", "listen = \"127.0.0.1:0\"");
    // A gateway begins with a file of zeros, which a busy disk takes its time for.
    vault.edit("# file_bytes = \"64MiB\"", "file_bytes = \"16MiB\"");
    let gateway = start(vault.command(&["serve"]), "serving");
    vault
        .run(&["principal", "create", "bob"])
        .expect(0, &["person"]);
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &["icu--ecg"]);
    vault.run(&["audit", "tail"]).expect(0, &["principal=bob"]);
    vault.run(&["doctor"]).expect(0, &["a gateway is serving"]);
    vault
        .run(&["recover", "--dry-run"])
        .expect(3, &["a gateway is running", "hint: stop it first"]);
    vault
        .run(&["serve"])
        .expect(3, &["another gateway is running on this directory"]);
    gateway.stop();
    vault
        .run(&["recover", "--dry-run"])
        .expect(0, &["blobs that are missing        0"]);
}

#[test]
fn a_second_command_waits_for_the_first_and_then_gives_up() {
    let vault = Vault::founded();
    let lock = std::fs::File::open(vault.path("data/journal/admin/lock")).expect("a lock");
    lock.lock().expect("locked");
    vault.run(&["principal", "create", "bob"]).expect(
        3,
        &[
            "another process holds this journal",
            "hint: another command is running",
        ],
    );
    drop(lock);
    let list = vault.run(&["principal", "list"]).expect(0, &["ana"]);
    assert!(!list.out.contains("bob"), "it did nothing");
}

#[test]
fn many_commands_at_once_all_do_their_work() {
    let vault = Vault::founded();
    let names = ["a1", "a2", "a3", "a4", "a5"];
    let children = names.map(|name| {
        let mut command = vault.command(&["principal", "create", name]);
        command.stdout(Stdio::null()).spawn().expect("it starts")
    });
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    vault.run(&["principal", "list"]).expect(0, &names);
    vault
        .run(&["recover", "--dry-run"])
        .expect(0, &["blobs that are missing        0"]);
}

/// A program that is newer than the gateway beside it leaves the catalog as it is: the gateway
/// could not open it again.
#[test]
fn a_catalog_that_is_served_is_not_brought_to_another_schema() {
    let vault = Vault::founded();
    let file = vault.path("data/catalog.sqlite");
    let older = "ALTER TABLE credentials DROP COLUMN scope;
        PRAGMA user_version = 14; UPDATE meta SET schema = 14;";
    let conn = rusqlite::Connection::open(&file).expect("opened");
    conn.execute_batch(older).expect("as it was before");
    drop(conn);
    let lock = vault.path("data/journal/gateway");
    std::fs::create_dir_all(&lock).expect("made");
    let lock = std::fs::File::create(lock.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    vault.run(&["principal", "create", "bob"]).expect(
        2,
        &[
            "a gateway serves the catalog, of schema 14",
            "hint: stop the gateway",
        ],
    );
    let schema = || {
        let conn = rusqlite::Connection::open(&file).expect("opened");
        conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
            .expect("a version")
    };
    assert_eq!(schema(), 14);
    drop(lock);
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    assert_eq!(schema(), 15);
}
