//! Provisioned concurrency on a modelled platform: no wait for a start up to its number, and an ordinary start beyond it.

use emulator::{Answer, Call, Creation, Region, Reply, Update, built_in};
use futures::future::join_all;
use model::{MemoryMib, Span, Time};
use probe::{Request, Response};

fn response(reply: &Reply) -> &Response {
    match &reply.answer {
        Answer::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

// Of five requests at once the three for which instances are provisioned meet these, hours after they started, and say
// so; the other two wait for a start. When nothing is provisioned any more, the instances are gone.
#[test]
fn requests_meet_what_is_ready() {
    let mut platform = built_in("aws-2018").expect("built in").expect("valid");
    // Two hours are no lifetime.
    platform.scheduler.lifetime = None;
    let region = Region::new(platform, 1);
    let version = Update {
        runtime: "python2.7".to_owned(),
        memory: MemoryMib(512),
        role: 0,
        mark: "1.1".to_owned(),
        package_mib: 0.0,
    };
    let creation =
        Creation { name: "f".to_owned(), tenant: 0, timeout: Span::from_secs(60), version };
    let main = async {
        region.create(creation).await.expect("room for one function");
        region.provision("f", 3).await.expect("it is there");
        region.provision("g", 3).await.expect_err("it is not there");
        let at = Time::ZERO + Span::from_secs(7_200);
        let call = |at| Call {
            function: "f".to_owned(),
            request: Request { hold_ms: Some(2_000.0), ..Request::default() },
            bytes: 0,
            at,
            limit: Span::from_secs(100),
        };
        let burst = join_all((0..5).map(|_| region.call(call(at)))).await;
        region.provision("f", 0).await.expect("it is there");
        let last = region.call(call(at + Span::from_secs(60))).await;
        (burst, last)
    };
    let (burst, last) = region.run(main).expect("every request ends");
    let cold = |reply: &Reply| reply.report.expect("a report").init_duration_ms > 0.0;
    let mut said: Vec<(&str, bool)> =
        burst.iter().map(|it| (response(it).initialization.as_str(), cold(it))).collect();
    said.sort_unstable();
    let (ready, started) = (("provisioned-concurrency", false), ("on-demand", true));
    assert_eq!(said, [started, started, ready, ready, ready]);
    assert_eq!(response(&last).initialization, "on-demand", "provisioned ones are gone");
}
