//! Tests of the idle limit on busy hosts.

use super::measured::{covers, findings, of, platform, truth};
use analysis::Value;
use experiment::Kind;

// On hosts that another instance keeps busy the limit of this scheduler is the same, and is found within its bracket,
// short and long.
#[test]
fn busy_hosts_change_nothing_here() {
    for (limit_s, seed) in [(240.0, 1), (1_620.0, 2)] {
        let limit = format!("limit_s = {limit_s:.1}");
        let platform = platform("aws-2018", &[("limit_s = 1620.0", &limit)]);
        let found = findings(platform, Kind::Idle, seed, |scope| {
            (scope.idle.pools, scope.idle.confirm_pairs) = (0, 5);
        });
        let busy = of(&found, "idle.busy_host_max_idle_s")[0];
        assert_eq!(truth(busy), limit_s);
        assert!(covers(busy, limit_s), "{busy:?}");
        assert!(busy.n >= 20, "silences on busy hosts: {}", busy.n);
        let (low, high) = busy.ci95.expect("a bracket");
        let width = high.zip(low).map(|(high, low)| high - low);
        assert!(width.is_some_and(|width| width <= 0.03 * limit_s), "{:?}", busy.ci95);
    }
}

// Where each instance has a host to itself nobody else can keep it busy, and where hosts have no names nobody can tell:
// then the answer is that it is not known.
#[test]
fn lonely_and_nameless_hosts_are_unknown() {
    let alone = ("policy = \"bin_pack\"", "policy = \"one_per_host\"");
    let nameless = [
        ("instance_root_id = \"host\"", "instance_root_id = \"nothing\""),
        ("boot_id = \"host\"", "boot_id = \"nothing\""),
        ("ip = \"host\"", "ip = \"instance\""),
    ];
    for changes in [&[alone][..], &nameless] {
        let found = findings(platform("aws-2018", changes), Kind::Idle, 3, |scope| {
            (scope.idle.pools, scope.idle.confirm_pairs) = (0, 5);
        });
        assert_eq!(of(&found, "idle.busy_host_max_idle_s")[0].value, Value::Null);
    }
}
