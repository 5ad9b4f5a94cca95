//! Several processes of each service share the partitions; they come and go under load.
use crate::clients::Clients;
use crate::crew::{Crew, SHARING};
use anyhow::Result;
use std::time::Duration;
use tokio::time::Instant;

/// How long partitions may stand still when a process comes or goes in order; on a loaded machine, and measured as callers
/// see it, through all services.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// From SIGKILL to the first new frame: a session of 3 s, the rebalance, the take; on a machine that does other things too.
const LONGEST_TAKEOVER: Duration = Duration::from_secs(10);

fn seconds(variable: &str, otherwise: u64) -> Duration {
    Duration::from_secs(std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise))
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_come_and_go_under_load_and_their_partitions_move_with_a_short_pause() -> Result<()> {
    let mut crew = Crew::new("scaling").await?;
    crew.start_each(&["gateway"], 1).await?;
    crew.start_each(&SHARING, 1).await?;
    let clients = Clients::start(crew.doors().await?, Duration::from_millis(20)).await?;
    clients.all_go_on().await?;
    println!("| change | longest that a sale took meanwhile |");
    println!("|---|---|");
    let mut pauses = Vec::new();
    let steady = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("| none, for 2 s | {:?} |", clients.longest(steady, Instant::now()).0);
    for service in SHARING {
        let since = Instant::now();
        crew.start(service)?;
        crew.start(service)?;
        crew.ready().await?;
        let owned = crew.shared(service).await?;
        clients.all_go_on().await?;
        let (longest, program) = clients.longest(since, Instant::now());
        println!("| {service} 1 -> 3 ({owned:?}) | {longest:?} ({program}) |");
        pauses.push(longest);
    }
    for service in SHARING {
        let since = Instant::now();
        // The oldest: its partitions are the ones that had not moved.
        let oldest = crew.labels(service).remove(0);
        let ended = crew.terminate(&oldest).await?;
        let owned = crew.shared(service).await?;
        clients.all_go_on().await?;
        let (longest, program) = clients.longest(since, Instant::now());
        println!("| {service} 3 -> 2 ({owned:?}), ended after {ended:?} | {longest:?} ({program}) |");
        pauses.push(longest);
    }
    let seen = clients.finish().await?;
    seen.print();
    assert!(seen.refused.is_empty(), "{:?}", seen.refused.first());
    crew.is_whole(&seen.orders()).await?;
    for pause in pauses {
        assert!(pause < LONGEST_PAUSE, "{pause:?}");
    }
    crew.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_killed_process_are_served_again_within_seconds() -> Result<()> {
    let mut crew = Crew::new("takeover").await?;
    crew.start_each(&["gateway"], 1).await?;
    crew.start_each(&SHARING, 2).await?;
    let clients = Clients::start(crew.doors().await?, Duration::from_millis(20)).await?;
    let rounds = seconds("TRIBUTARY_TEST_TAKEOVERS", 1).as_secs();
    println!("| killed | from SIGKILL to the last program's first new decision |");
    println!("|---|---|");
    let mut takeovers = Vec::new();
    for _ in 0..rounds {
        for service in ["normalizer", "attribution", "commission"] {
            crew.shared(service).await?;
            clients.all_go_on().await?;
            let victim = crew.labels(service).remove(0);
            crew.kill(&victim).await?;
            let killed = Instant::now();
            clients.all_go_on().await?;
            // The sale that waited longest was the first of a partition that nobody served.
            let (_, program) = clients.longest(killed, Instant::now());
            let took = clients.first_after(killed);
            println!("| {service} | {took:?} ({program}) |");
            takeovers.push(took);
            crew.start(service)?;
            crew.ready().await?;
        }
    }
    let seen = clients.finish().await?;
    seen.print();
    assert!(seen.refused.is_empty(), "{:?}", seen.refused.first());
    crew.is_whole(&seen.orders()).await?;
    for took in takeovers {
        assert!(took < LONGEST_TAKEOVER, "{took:?}");
    }
    crew.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_members_that_join_and_leave_stops_nothing_and_doubles_nothing() -> Result<()> {
    const EVERY: Duration = Duration::from_secs(2);
    const WINDOW: Duration = Duration::from_secs(5);
    let long = seconds("TRIBUTARY_TEST_STORM_SECONDS", 20);
    let mut crew = Crew::new("storm").await?;
    crew.start_each(&["gateway"], 1).await?;
    crew.start_each(&SHARING, 1).await?;
    let clients = Clients::start(crew.doors().await?, Duration::from_millis(20)).await?;
    clients.all_go_on().await?;
    let began = Instant::now();
    let mut ticks = tokio::time::interval_at(began + EVERY, EVERY);
    let (mut changes, mut windows, mut before) = (0, Vec::new(), clients.decided());
    while began.elapsed() < long {
        ticks.tick().await;
        // A second process of each service in turn: joins, and two seconds later leaves while the next one joins.
        let service = SHARING[changes / 2 % SHARING.len()];
        match crew.labels(service).get(1).cloned() {
            None => {
                crew.start(service)?;
            }
            Some(second) => {
                crew.terminate(&second).await?;
            }
        }
        changes += 1;
        if began.elapsed() >= WINDOW * (u32::try_from(windows.len())? + 1) {
            let now = clients.decided();
            windows.push(now - before);
            before = now;
        }
    }
    println!("{changes} changes in {:?}; sales decided in each {WINDOW:?}: {windows:?}", began.elapsed());
    clients.all_go_on().await?;
    let seen = clients.finish().await?;
    seen.print();
    assert!(windows.iter().all(|decided| *decided > 0), "{windows:?}");
    assert!(seen.refused.is_empty(), "{:?}", seen.refused.first());
    crew.is_whole(&seen.orders()).await?;
    crew.end().await
}
