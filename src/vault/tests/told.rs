//! What nodes tell of what was read.

use super::published::{V1, published};
use super::support::kind;
use crate::ledger::Outcome;
use crate::types::ByteRange;
use crate::vault::{ErrorKind, ReadReport};

#[tokio::test]
async fn what_a_node_tells_stands_in_the_log_as_no_more_than_it_can_be() {
    let world = published().await;
    let job = || world.call(Some("job-1"));
    let tell = async |key: &str, ranges: &[(u64, u64)]| {
        let ranges = ranges.iter().map(|(a, b)| ByteRange::new(*a, *b).unwrap());
        let report = ReadReport {
            key: key.parse().unwrap(),
            ranges: ranges.collect(),
        };
        let told = world.vault.report_reads(&job(), V1, vec![report]).await;
        assert_eq!(kind(told), None, "{key}");
        let completion = world.last_completion();
        (completion.outcome, completion.status, completion.bytes)
    };
    let end = u64::MAX;
    let (good, failed) = (Outcome::Success, Outcome::Failed);
    assert_eq!(tell("a/1", &[(0, 10)]).await, (good, 200, 10));
    assert_eq!(tell("a/1", &[(0, end)]).await, (good, 200, 10));
    assert_eq!(tell("a/1", &[(10, end)]).await, (good, 200, 0));
    assert_eq!(tell("a/1", &[(0, 8); 64]).await, (good, 200, 8));
    assert_eq!(tell("a/2", &[(9, end), (0, 3)]).await, (good, 200, 69_994));
    assert_eq!(tell("a/3", &[(0, end)]).await, (good, 200, 0));
    assert_eq!(tell("a/4", &[(0, end)]).await, (failed, 404, 0));
    // What came into the dataset since is not in the version.
    world.put("olivia", "a/9", b"new").await.unwrap();
    assert_eq!(tell("a/9", &[(0, 3)]).await, (failed, 404, 0));
    let call = job();
    let nothing = world.vault.report_reads(&call, V1, Vec::new()).await;
    assert_eq!(kind(nothing), Some(ErrorKind::InvalidArgument));
    assert!(call.is_recorded());
}
