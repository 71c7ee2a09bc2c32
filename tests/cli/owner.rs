//! A data owner on a machine of her own: a directory with her credential and nothing of the vault.

use std::process::Output;

use serde_json::Value;

use crate::beside::{Running, start};
use crate::{Told, Vault, kluis};

/// A vault that serves, and another machine.
pub(crate) struct Far {
    pub(crate) vault: Vault,
    gateway: Option<Running>,
    desk: tempfile::TempDir,
}

pub(crate) const RESTS: [&str; 6] = [
    "--purpose",
    "ehds:scientific-research",
    "--permit",
    "P-7",
    "--expires",
    "2199-12-31",
];

pub(crate) fn words<'a>(line: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    line.split(' ').chain(more.iter().copied()).collect()
}

/// A port that is free now.
pub(crate) fn port() -> u16 {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    taken.local_addr().expect("an address").port()
}

impl Far {
    /// Ana owns the project icu, laura the project lab; rob, stan and otto hold nothing. Each has a
    /// credential on the other machine.
    pub(crate) fn founded() -> Self {
        let vault = Vault::init();
        let listen = format!("listen = \"127.0.0.1:{}\"", port());
        vault.edit("# listen = \"127.0.0.1:9000\"", &listen);
        vault.edit("# listen = \"127.0.0.1:9001\"", "listen = \"127.0.0.1:0\"");
        vault.edit("# file_bytes = \"64MiB\"", "file_bytes = \"16MiB\"");
        let desk = tempfile::tempdir().expect("a directory");
        vault
            .run(&["project", "create", "lab", "--owner", "laura"])
            .expect(0, &[]);
        for person in ["rob", "stan", "otto"] {
            vault
                .run(&["principal", "create", person])
                .expect(0, &["person"]);
        }
        for person in ["ana", "laura", "rob", "stan", "otto"] {
            let file = desk.path().join(format!("{person}.env"));
            let file = file.to_str().expect("a path");
            vault
                .run(&["credential", "create", person, "--output", file])
                .expect(0, &[]);
        }
        let gateway = Some(start(vault.command(&["serve"]), "serving"));
        let far = Self {
            vault,
            gateway,
            desk,
        };
        let defaults = "project defaults icu --label internal --source monitors --basis consent \
                        --days 3650";
        far.by("ana", &words(defaults, &[]))
            .expect(0, &["new datasets of icu are so"]);
        far.by("ana", &["dataset", "create", "icu/ecg"])
            .expect(0, &["icu--ecg"]);
        far
    }

    /// A file there for its owner alone.
    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let file = self.desk.path().join(name);
        std::fs::write(&file, text).expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed");
    }

    /// A command on the other machine.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = kluis();
        command.current_dir(self.desk.path()).args(args);
        command.env("HOME", self.desk.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Told {
        Told::of(&self.command(args).output().expect("it runs"))
    }

    /// A command there in somebody's name.
    pub(crate) fn by(&self, who: &str, args: &[&str]) -> Told {
        let file = format!("{who}.env");
        self.run(&[args, &["--credentials", &file]].concat())
    }

    pub(crate) fn grant(&self, who: &str, to: &str, role: &str, more: &[&str]) -> Told {
        let args = ["grant", "create", "icu", "--to", to, "--role", role];
        let place = ["--dataset", "ecg"];
        self.by(who, &[&args[..], &place, &RESTS, more].concat())
    }

    /// The same question here and there has the same answer, as a table and as JSON.
    fn same(&self, args: &[&str]) {
        for more in [&[][..], &["--json"]] {
            let args = [args, more].concat();
            let here = self.vault.run(&args).expect(0, &[]);
            let there = self.by("ana", &args).expect(0, &[]);
            assert_eq!(here.out, there.out, "{args:?}");
            assert!(!here.out.is_empty(), "{args:?}");
        }
    }
}

pub(crate) fn id(told: &Told) -> String {
    let line = told.out.lines().nth(1).expect("an id");
    assert_eq!(line.len(), 32, "{line}");
    line.to_owned()
}

#[test]
fn an_owner_grants_approves_reviews_and_withdraws_from_her_own_machine() {
    let far = Far::founded();
    let made = far.grant("ana", "rob", "reader", &[]);
    let made = made.expect(
        0,
        &[
            "rob may read objects and see what is there in icu/ecg, for \"ehds:scientific-research\", \
             on permit \"P-7\", until 2199-12-31",
            "It does not let rob (of a group: its members) write objects, delete objects, copy objects out of their dataset, \
             read the log or decide who may use the data",
        ],
    );
    let reads = id(&made);
    for (who, dataset, why) in [("zoe", "ecg", "principal"), ("rob", "egc", "dataset")] {
        let slip = [
            "grant",
            "create",
            "icu",
            "--to",
            who,
            "--role",
            "reader",
            "--dataset",
            dataset,
        ];
        let told = far.by("ana", &[&slip[..], &RESTS].concat());
        let told = told.expect(1, &[&format!("no such {why}")]);
        assert!(!told.err.contains("may read"), "{}", told.err);
    }
    let asked = far.grant("rob", "rob", "contributor", &["--propose"]);
    let asked = id(&asked.expect(0, &["nothing until an owner approves it"]));
    far.by("ana", &["grant", "list", "icu"])
        .expect(0, &[&reads, &asked, "proposed"]);
    // Who manages no grants sees her own alone.
    let seen = far
        .by("rob", &["grant", "list", "icu"])
        .expect(0, &[&reads]);
    assert!(!seen.out.contains("owner"), "{}", seen.out);
    far.by("ana", &["grant", "approve", "icu", &asked])
        .expect(0, &["rob may read objects", "write objects", "is in force"]);
    far.by("ana", &["grant", "approve", "icu", &asked])
        .expect(1, &["in force already"]);
    far.by("ana", &["grant", "review", "icu", "--confirm", &reads])
        .expect(0, &[&reads, "LAPSES"]);
    for args in [
        &["grant", "list", "icu"][..],
        &["grant", "show", "icu", &reads],
        &["grant", "show", "icu", &asked],
        &["grant", "review", "icu"],
    ] {
        far.same(args);
    }
    far.by("ana", &["grant", "withdraw", "icu", &reads])
        .expect(0, &["is withdrawn"]);
    far.by("ana", &["grant", "show", "icu", &reads])
        .expect(1, &["403 AccessDenied"]);
    let left = far
        .by("ana", &["grant", "list", "icu"])
        .expect(0, &[&asked]);
    assert!(!left.out.contains(&reads));
    // It is she who approved, by her signature, and what was only tried made nothing.
    let log = far.vault.run(&["audit", "tail", "-n", "60", "--json"]).out;
    let records: Vec<Value> = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let made = records.iter().filter(|r| r["operation"] == "CreateGrant");
    let made: Vec<_> = made.collect();
    assert!(made.iter().all(|r| r["auth"]["method"] == "sigv4-header"));
    let tried = |r: &&&Value| r["query"].as_str().unwrap().starts_with("dry_run grant=");
    assert_eq!((made.len(), made.iter().filter(tried).count()), (6, 4));
}

#[test]
fn an_owner_describes_publishes_and_reads_the_log_from_her_own_machine() {
    let far = Far::founded();
    let card = "--label internal --source PACS --basis protocol-12 --ends 2198-01-01";
    // What is refused makes nothing.
    let wrong = card.replace("internal", "topsecret");
    let wrong = words("dataset create icu/ct", &words(&wrong, &[])).join(" ");
    far.by("ana", &words(&wrong, &[]))
        .expect(1, &["no such label"]);
    far.by("ana", &["dataset", "show", "icu/ct"])
        .expect(1, &["404 NoSuchDataset"]);
    let made = far.by("ana", &words("dataset create icu/ct", &words(card, &[])));
    made.expect(0, &["icu--ct"]);
    far.by("ana", &["dataset", "set", "icu/ct", "--hold", "case-7"])
        .expect(0, &["case-7", "PACS"]);
    far.by("ana", &["dataset", "set", "icu/ct", "--release"])
        .expect(0, &["PACS"]);
    let publish = ["dataset", "publish", "icu/ct"];
    far.by("ana", &publish).expect(0, &["icu/ct@1"]);
    // Nothing changed: again is the same, until it is asked for.
    let told = far.by("ana", &publish);
    told.expect(
        0,
        &["icu/ct@1", "nothing changed since icu/ct@1", "--again"],
    );
    far.by("ana", &[&publish[..], &["--again"]].concat())
        .expect(0, &["icu/ct@2"]);
    for args in [
        &["dataset", "list", "--project", "icu"][..],
        &["dataset", "show", "icu/ct"],
        &["dataset", "describe", "icu/ecg"],
        &["dataset", "versions", "icu/ct"],
    ] {
        far.same(args);
    }
    let lab = far.by("ana", &["dataset", "list", "--project", "lab"]);
    assert_eq!(lab.expect(0, &[]).out.lines().count(), 1);
    far.by("ana", &["dataset", "create", "icu/ct"])
        .expect(1, &["the dataset is there already"]);
    far.by("ana", &["dataset", "create", "icu/none"])
        .expect(0, &["icu--none"]);
    far.by("ana", &["dataset", "delete", "icu/none"])
        .expect(0, &["icu/none is deleted"]);
    far.by("ana", &["dataset", "show", "icu/none"])
        .expect(1, &["404 NoSuchDataset"]);

    // Where a project has no defaults, who describes a dataset owns it.
    let bare = words(
        "dataset create lab/x --label internal --source s --basis b --ends 2198-01-01",
        &[],
    );
    far.by("laura", &bare).expect(0, &["lab--x"]);
    far.by("laura", &["dataset", "show", "lab/x"])
        .expect(0, &["owner       laura"]);
    far.by("laura", &["dataset", "create", "lab/y"])
        .expect(0, &["lab--y", "takes no data before it is described"]);
}

#[test]
fn an_owner_sees_what_was_done_with_her_data_from_her_own_machine() {
    let far = Far::founded();
    far.by("ana", &["dataset", "create", "icu/ct"])
        .expect(0, &[]);
    far.by("ana", &["dataset", "set", "icu/ct", "--source", "PACS"])
        .expect(0, &["PACS"]);
    far.by("ana", &["dataset", "publish", "icu/ct"])
        .expect(0, &["icu/ct@1"]);
    let log = ["audit", "show", "--project", "icu", "--dataset", "ct"];
    let told = far
        .by("ana", &log)
        .expect(0, &["PublishVersion", "SetDescription"]);
    let published = told
        .out
        .lines()
        .find(|line| line.contains("PublishVersion"));
    let (_, event) = published.unwrap().rsplit_once("event=").unwrap();
    let one = [
        "audit",
        "show",
        event,
        "--project",
        "icu",
        "--dataset",
        "ct",
    ];
    far.same(&one);
    let tail = [
        "audit",
        "tail",
        "--project",
        "icu",
        "--dataset",
        "ct",
        "-n",
        "2",
    ];
    let tail = far.by("ana", &tail).expect(0, &[]);
    assert_eq!(tail.out.lines().count(), 2, "{}", tail.out);
    let absent = "0198f0c27a1e7c3b9d510c6a5d0f2b11";
    far.by("ana", &["audit", "show", absent, "--project", "icu"])
        .expect(1, &["no such event"]);
    far.by("ana", &["audit", "tail"])
        .expect(2, &["project by project", "hint: --project NAME"]);
    far.by("ana", &["audit", "tail", "--project", "icu", "--follow"])
        .expect(2, &["is not followed", "hint: `kluis audit show"]);
}

#[test]
fn nobody_else_does_anything_there() {
    let far = Far::founded();
    let asked = far.grant("ana", "rob", "reader", &[]).expect(0, &[]);
    let reads = id(&asked);
    let asked = far.grant("rob", "rob", "contributor", &["--propose"]);
    let asked = id(&asked.expect(0, &[]));
    let operates = [
        "grant", "create", "icu", "--to", "otto", "--role", "operator",
    ];
    far.by("ana", &[&operates[..], &RESTS].concat())
        .expect(0, &[]);

    let gone = far
        .vault
        .run(&["credential", "create", "ana"])
        .expect(0, &[]);
    let key = crate::value(&gone.out, "AWS_ACCESS_KEY_ID");
    far.write("gone.env", &gone.out);
    far.vault
        .run(&["credential", "revoke", &key])
        .expect(0, &[]);
    let ana = std::fs::read_to_string(far.desk.path().join("ana.env")).unwrap();
    let forged = format!("{ana}AWS_SESSION_TOKEN=AAAA\n");
    far.write("forged.env", &forged);
    let bent = ana.replace("AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_ACCESS_KEY=A");
    far.write("bent.env", &bent);

    let before = far.vault.run(&["grant", "list", "icu", "--json"]).out;
    let described = far.vault.run(&["dataset", "show", "icu/ecg", "--json"]).out;
    let create = ["grant", "create", "icu", "--to", "stan", "--role", "reader"];
    let create = [&create[..], &RESTS].concat();
    let defaults = "project defaults icu --label internal --source s --basis b --days 9";
    let commands: [&[&str]; 10] = [
        &create,
        &["grant", "approve", "icu", &asked],
        &["grant", "withdraw", "icu", &reads],
        &["grant", "review", "icu", "--confirm", &reads],
        &["dataset", "set", "icu/ecg", "--source", "elsewhere"],
        &["dataset", "publish", "icu/ecg"],
        &["dataset", "delete", "icu/ecg"],
        &["dataset", "create", "icu/new"],
        &words(defaults, &[]),
        &["audit", "tail", "--project", "icu", "--dataset", "ecg"],
    ];
    for who in ["stan", "rob", "otto", "laura", "gone", "forged", "bent"] {
        for command in commands {
            let told = far.by(who, command).expect(1, &["the gateway refuses: 40"]);
            assert_eq!(told.out, "", "{who} {command:?}");
        }
    }
    for who in ["gone", "forged", "bent"] {
        far.by(who, &["grant", "list", "icu"]).expect(1, &["40"]);
        far.by(who, &["dataset", "list"]).expect(1, &["40"]);
    }
    let nothing = far.by("laura", &["dataset", "list"]).expect(0, &[]);
    assert_eq!(nothing.out.lines().count(), 1, "{}", nothing.out);
    far.by("laura", &["grant", "show", "icu", &reads])
        .expect(1, &["403"]);
    assert_eq!(
        far.vault.run(&["grant", "list", "icu", "--json"]).out,
        before
    );
    assert_eq!(
        far.vault.run(&["dataset", "show", "icu/ecg", "--json"]).out,
        described
    );
}

#[test]
fn it_says_whose_word_it_takes() {
    let far = Far::founded();
    let approver = far.grant("ana", "rob", "reader", &["--approver", "ana"]);
    approver.expect(
        2,
        &[
            "`--approver ana` names nobody",
            "hint: leave `--approver` out",
        ],
    );
    let proposer = far.grant("ana", "rob", "reader", &["--proposer", "rob"]);
    proposer.expect(2, &["`--proposer rob` names nobody", "`--propose` asks"]);
    for (args, flag) in [
        (
            &["dataset", "set", "icu/ecg", "--source", "s", "--by", "ana"][..],
            "--by",
        ),
        (
            &["dataset", "publish", "icu/ecg", "--publisher", "ana"],
            "--publisher",
        ),
        (
            &["dataset", "create", "icu/new", "--creator", "ana"],
            "--creator",
        ),
    ] {
        far.by("ana", args).expect(2, &[flag, "names nobody"]);
    }
    // On the host it is the other way round.
    let host = [
        &["grant", "create", "icu", "--to", "rob", "--role", "reader"][..],
        &RESTS,
    ]
    .concat();
    far.vault
        .run(&[&host[..], &["--propose"]].concat())
        .expect(2, &["hint: `--proposer PERSON`"]);
    let publish = ["dataset", "publish", "icu/ecg"];
    // What would be refused is not asked for.
    for line in [&host[..], &publish] {
        let told = far.vault.run(line);
        let told = told.expect(2, &["nobody acts in another's name", "--credentials FILE"]);
        assert!(!told.err.contains("on whose word"), "{}", told.err);
    }
    far.vault
        .edit("# host_approves = false", "host_approves = true");
    far.vault.run(&host).expect(
        2,
        &["`--approver` says on whose word", "--credentials FILE"],
    );
    far.vault
        .run(&publish)
        .expect(2, &["`--publisher` says on whose word"]);
}

#[test]
fn it_says_where_it_acts_and_why_it_cannot() {
    let mut far = Far::founded();
    // Neither a configuration nor somebody who signs.
    let both = [
        "hint: from anywhere: `--credentials FILE`",
        "hint: on the vault's host: `--config",
    ];
    let list = ["grant", "list", "icu"];
    far.run(&list)
        .expect(2, &both)
        .expect(2, &["nobody is signed in"]);
    far.run(&["--config", "other.toml", "grant", "list", "icu"])
        .expect(2, &["other.toml"]);
    let ana = std::fs::read_to_string(far.desk.path().join("ana.env")).unwrap();
    let session = far.desk.path().join(".kluis/session.env");
    std::fs::create_dir(far.desk.path().join(".kluis")).unwrap();
    far.write(
        ".kluis/session.env",
        &format!("{ana}KLUIS_EXPIRES=2001-01-01T00:00:00Z\n"),
    );
    far.run(&list).expect(2, &["the session is over", both[0]]);
    // What is signed in is taken, and so is what the environment has.
    far.write(
        ".kluis/session.env",
        &format!("{ana}KLUIS_EXPIRES=2199-01-01T00:00:00Z\n"),
    );
    far.run(&list).expect(0, &["owner"]);
    far.run(&["whoami"]).expect(0, &["ana"]);
    std::fs::remove_file(&session).unwrap();
    let lines = ana.lines().filter_map(|line| line.split_once('='));
    let told = Told::of(&far.command(&list).envs(lines).output().unwrap());
    told.expect(0, &["owner"]);
    // A machine that is both: its configuration goes before the environment, and after a file.
    let config = far.vault.path("kluis.toml");
    std::fs::copy(config, far.desk.path().join("kluis.toml")).unwrap();
    far.run(&list).expect(2, &[]);
    far.by("ana", &list).expect(0, &["owner"]);

    far.gateway = None;
    far.by("ana", &list)
        .expect(3, &["does not answer", "hint: does it run"]);
    let json = far
        .by("ana", &["grant", "list", "icu", "--json"])
        .expect(3, &[]);
    let told: Value = serde_json::from_str(json.err.trim()).expect("one line of JSON");
    assert_eq!(told["exit"], 3);
    assert!(told["error"].as_str().unwrap().contains("does not answer"));
    assert!(told["hint"].as_str().unwrap().contains("does it run"));
    let usage = far.run(&["grant", "list", "--json"]).expect(2, &[]);
    let told: Value = serde_json::from_str(usage.err.trim()).expect("one line of JSON");
    assert_eq!(told["exit"], 2);
}

/// The same command on a terminal, with what is typed there.
fn typed(far: &Far, line: &str, answer: &str) -> Output {
    use std::io::Write as _;
    let mut terminal = std::process::Command::new("script");
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_kluis"));
    terminal.args(["-qec", &line, "/dev/null"]);
    terminal.current_dir(far.desk.path()).env_clear();
    terminal
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh");
    terminal.stdin(std::process::Stdio::piped());
    terminal.stdout(std::process::Stdio::piped());
    let mut child = terminal.spawn().expect("util-linux is there");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(answer.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    output
}

#[test]
fn on_a_terminal_she_sees_what_it_is_and_is_asked() {
    let far = Far::founded();
    let line = format!(
        "grant create icu --to rob --role reader --dataset ecg {} --credentials ana.env",
        RESTS.join(" ")
    );
    let grants = || {
        let told = far.vault.run(&["grant", "list", "icu"]).expect(0, &[]);
        told.out.lines().count()
    };
    let before = grants();
    for answer in ["n\n", "\n", "kluis credential create rob\n"] {
        let told = typed(&far, &line, answer);
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(text.contains("rob may read objects"), "{text}");
        assert!(text.contains("Make this grant? [y/N]"), "{text}");
        assert!(text.contains("nothing was granted"), "{text}");
        assert_eq!((told.status.code(), grants()), (Some(1), before), "{text}");
    }
    assert!(typed(&far, &line, "y\n").status.success());
    assert_eq!(grants(), before + 1);
    let told = typed(&far, &format!("{line} --yes"), "");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && !text.contains("[y/N]"), "{text}");
    let asked = far.grant("ana", "rob", "contributor", &["--propose"]);
    let asked = id(&asked.expect(0, &[]));
    let line = format!("grant approve icu {asked} --credentials ana.env");
    let told = typed(&far, &line, "no\n");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(text.contains("Approve this grant? [y/N]"), "{text}");
    assert_eq!(told.status.code(), Some(1));
    assert!(typed(&far, &line, "yes\n").status.success());
}

#[test]
fn a_credential_is_handed_to_a_machine_as_json() {
    let vault = Vault::init();
    let file = vault.path("second.env");
    let file = file.to_str().expect("a path");
    let create = ["credential", "create", "ana", "--json"];
    let json = |told: &Told| -> Value { serde_json::from_str(&told.out).expect("one value") };
    let made = json(&vault.run(&create).expect(0, &[]));
    assert!(made["access_key_id"].as_str().unwrap().starts_with("KLUS"));
    assert_eq!(made["secret_access_key"].as_str().unwrap().len(), 40);
    assert_eq!(made["endpoint_url"], "http://127.0.0.1:9000");
    // In a file it is for a shell, and no secret is told beside it.
    let told = vault.run(&[&create[..], &["--output", file]].concat());
    let made = json(&told.expect(0, &[]));
    let text = std::fs::read_to_string(file).expect("read");
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    assert_eq!(made["access_key_id"], crate::value(&text, id));
    assert_eq!(made["file"], file);
    assert!(!made.to_string().contains(&crate::value(&text, secret)));
}

/// What stands behind a receiver's address may be its secret; why it takes nothing is none.
#[test]
fn a_trial_of_a_receiver_says_how_it_ended_and_why() {
    let far = Far::founded();
    let file = far.vault.path("hook.secret");
    let file = file.to_str().expect("a path");
    let url = format!("http://127.0.0.1:{}/secret-path", port());
    far.vault
        .run(&["webhook", "set", "icu", "--url", &url, "--output", file])
        .expect(0, &["are sent to"]);
    let told = far.vault.run(&["webhook", "try", "icu"]).expect(
        1,
        &[
            "the receiver did not take it",
            "Connection refused",
            "hint:",
        ],
    );
    assert!(!told.err.contains("secret-path"), "{}", told.err);
}
