//! All hostile guests at once, in one sandbox, with healthy ones between them.

use tokio::task::JoinSet;

use super::hostile::{attempt, limited, told, tricks};
use super::*;
use crate::policy::Wildcard;
use crate::testing::{alone, peak_memory};

/// Attempts of the healthy guest, and attempts at each trick.
const HEALTHY: usize = 200;
const ROUNDS: usize = 2;

/// The most memory that the process of this test may have held at its peak, in bytes. Each of sixteen attempts may hold 8 MiB at
/// a time and hands over 4 MiB at most; the compiler and the test itself take the rest.
const PEAK: u64 = 256 << 20;

#[test]
fn healthy_guests_do_not_notice_hostile_ones_and_memory_stays_bounded() {
    alone(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(play());
        let peak = peak_memory();
        assert!(peak < PEAK, "{} MiB at its peak", peak >> 20);
    });
}

/// On one thread and in virtual time: whoever sleeps gives way to those who compute, and none of them to the wall clock.
async fn play() {
    let sandbox = Arc::new(Sandbox::new(Capacity { attempts: 16, memory: 64 << 20 }, Pace::Real).unwrap());
    let mut attempts = JoinSet::new();
    let mut run = |name: String, contained: String, module: &Arc<Module>| {
        let (sandbox, module) = (Arc::clone(&sandbox), Arc::clone(module));
        attempts.spawn(async move { (name, contained, told(&attempt(&sandbox, &module, &limited()).await)) });
    };
    let healthy = Arc::new(sandbox.compile(&guests::done(), "healthy".into()).unwrap());
    let hostile: Vec<_> = tricks()
        .into_iter()
        .filter_map(|trick| {
            let module = sandbox.compile(&guests::hostile(&trick.text), trick.name.clone()).ok()?;
            Some((trick, Arc::new(module)))
        })
        .collect();
    assert!(hostile.len() > 40, "only {} of them run at all", hostile.len());
    let every = ROUNDS * hostile.len();
    for (at, (trick, module)) in hostile.iter().cycle().take(every).enumerate() {
        run(trick.name.clone(), trick.contained.clone(), module);
        for _ in HEALTHY * at / every..HEALTHY * (at + 1) / every {
            run("healthy".into(), "done".into(), &healthy);
        }
    }
    let mut surprises = Vec::new();
    let mut ended = 0;
    while let Some(attempt) = attempts.join_next().await {
        let (name, contained, told) = attempt.expect("an attempt ends, whatever its guest does");
        if !Wildcard::name(&contained).matches(&told) {
            surprises.push(format!("{name}: {told}, not: {contained}"));
        }
        ended += 1;
    }
    assert_eq!((ended, surprises), (HEALTHY + every, vec![]));
}
