//! What a decision costs: CPU time of this thread, so that a busy machine matters little.
//!
//! Run: `cargo bench --ignore-rust-version --bench decide`. Not here: the vault around it.
#![expect(clippy::print_stdout, reason = "a benchmark speaks to people")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::sync::Arc;

use kluis::policy::{
    Ask, Circumstances, Grant, GrantEffect, Policy, ProjectPolicy, SubjectPolicy, Terms,
};
use kluis::types::{Action, DatasetName, GrantId, PrincipalId, ProjectName, Timestamp};

/// Decisions of one round; the median of the rounds is reported, and the best.
const DECISIONS: u64 = 5_000;
const ROUNDS: usize = 15;

fn main() {
    let policy = Arc::new(Policy::builtin().unwrap());
    let project = ProjectPolicy::new(&policy, &project()).unwrap();
    let view = |grants: &[(&str, &str)]| {
        let rows = (0_u128..)
            .zip(grants)
            .map(|(id, (role, dataset))| grant(id, role, dataset));
        project.subject(&ana(), rows.collect()).unwrap()
    };
    let job = view(&[("job", "ecg")]);
    report("job, 1 grant, read", &job, Action::ObjectRead);
    report("job, 1 grant, write (denied)", &job, Action::ObjectWrite);
    let three = view(&[("reader", "ecg"), ("depositor", "mri"), ("job", "ct")]);
    report(
        "reader, depositor and job, 3 grants, read",
        &three,
        Action::ObjectRead,
    );
    report(
        "owner, 1 grant, read",
        &view(&[("owner", "ecg")]),
        Action::ObjectRead,
    );
    let all: Vec<_> = policy
        .roles()
        .into_iter()
        .map(|role| (role, "ecg"))
        .collect();
    report(
        "all roles, a grant of each, read",
        &view(&all),
        Action::ObjectRead,
    );
    let two = [("reader", "ecg"), ("job", "mri")];
    report(
        "2 grants, alone in the project",
        &view(&two),
        Action::ObjectRead,
    );
    let crowd: Vec<_> = (0..50_000).map(|_| view(&two)).collect();
    let one = crowd.get(777).unwrap();
    report("2 grants, 100,000 in the project", one, Action::ObjectRead);
    let names: Vec<String> = (0..9_999).map(|n| format!("d{n}")).collect();
    let mut many: Vec<_> = names.iter().map(|name| ("reader", name.as_str())).collect();
    many.push(("reader", "ecg"));
    report(
        "10,000 grants of one subject",
        &view(&many),
        Action::ObjectRead,
    );
    with_terms(&policy);
}

/// 10,000 grants of one subject, each with a purpose, a permit, an end, a lapse, actions and
/// networks, half of them for the dataset that is asked about; then right after a change of the
/// policy, when the view is made anew.
fn with_terms(policy: &Arc<Policy>) {
    let grants = || -> Vec<Grant> {
        (0..10_000_u128)
            .map(|id| {
                let dataset = if id % 2 == 0 {
                    "ecg".to_owned()
                } else {
                    format!("d{id}")
                };
                let network = format!("10.{}.{}.0/24", id / 256 % 256, id % 256);
                Grant {
                    purpose: Some(format!("ehds:purpose-{}", id % 100)),
                    terms: Terms {
                        networks: vec![network.parse().unwrap()],
                        actions: vec![Action::ObjectRead],
                        lapses: Some(Timestamp::from_millis(900)),
                        ..Terms::default()
                    },
                    ..grant(id, "reader", &dataset)
                }
            })
            .collect()
    };
    let make = |rows| {
        let project = ProjectPolicy::new(policy, &project()).unwrap();
        project.subject(&ana(), rows).unwrap()
    };
    let view = make(grants());
    for (what, client) in [
        ("10,000 grants with terms, the first fits", "10.0.0.9"),
        ("10,000 grants with terms, the last fits", "10.39.14.9"),
        ("10,000 grants with terms, none fits", "192.0.2.1"),
        ("10,000 grants with terms, one in the middle", "10.20.0.9"),
    ] {
        let when = Circumstances {
            client: Some(client.parse().unwrap()),
            ..Circumstances::default()
        };
        report_when(what, &view, Action::ObjectRead, when);
    }
    let (median, best) = rounds(|| {
        let rows = grants();
        let start = cpu_ns();
        let _view = black_box(make(rows));
        cpu_ns() - start
    });
    println!(
        "10,000 grants with terms, the view made anew after a change: {} µs, once; best {}",
        median / 1_000,
        best / 1_000
    );
    let client = "10.39.14.9".parse().unwrap();
    let when = Circumstances {
        client: Some(client),
        ..Circumstances::default()
    };
    let fresh = Policy::builtin().unwrap();
    let fresh = ProjectPolicy::new(&Arc::new(fresh), &project()).unwrap();
    let view = fresh.subject(&ana(), grants()).unwrap();
    let what = "the same after that change of the policy, the last fits";
    report_when(what, &view, Action::ObjectRead, when);
}

/// The median and the least of the rounds, in nanoseconds.
fn rounds(one: impl FnMut() -> u64) -> (u64, u64) {
    let mut all: Vec<u64> = std::iter::repeat_with(one).take(ROUNDS).collect();
    all.sort_unstable();
    (
        all.get(ROUNDS / 2).copied().unwrap(),
        all.first().copied().unwrap(),
    )
}

fn project() -> ProjectName {
    "icu".parse().unwrap()
}

fn ana() -> PrincipalId {
    "ana".parse().unwrap()
}

fn grant(id: u128, role: &str, dataset: &str) -> Grant {
    Grant {
        id: GrantId::from_bytes(id.to_be_bytes()),
        project: project(),
        principal: ana(),
        role: role.to_owned(),
        dataset: Some(dataset.parse().unwrap()),
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: Some("ehds:scientific-research".to_owned()),
        permit: Some("EXAMPLE-1".to_owned()),
        starts: Timestamp::default(),
        expires: Some(Timestamp::from_millis(1_000)),
        approver: ana(),
        created: Timestamp::default(),
        terms: Terms::default(),
    }
}

fn report(what: &str, view: &SubjectPolicy, action: Action) {
    report_when(what, view, action, Circumstances::default());
}

fn report_when(what: &str, view: &SubjectPolicy, action: Action, when: Circumstances<'_>) {
    let (project, principal) = (project(), ana());
    let dataset: DatasetName = "ecg".parse().unwrap();
    let ask = Ask {
        project: &project,
        principal: &principal,
        dataset: Some(&dataset),
        key: "adults/p-0001/2024/recording.dat",
        action,
        now: Timestamp::from_millis(5),
        when,
    };
    let (median, best) = rounds(|| {
        let start = cpu_ns();
        for _ in 0..DECISIONS {
            let _decision = black_box(view.decide(black_box(&ask)));
        }
        (cpu_ns() - start) / DECISIONS
    });
    let micros = |ns: u64| format!("{}.{}", ns / 1_000, ns % 1_000 / 100);
    println!("{what}: {} µs; best {}", micros(median), micros(best));
}

/// Nanoseconds that this thread has spent on a processor.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}
