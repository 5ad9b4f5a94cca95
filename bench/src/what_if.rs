//! What other rules would have paid for many sales of one program: `replay --what-if`, on one thread. The log is filled as in
//! `restore`; then the rules in force, and the same with half of every rate, are asked about.
use crate::restore::filled;
use crate::usage;
use anyhow::{Context as _, Result, ensure};
use domain::config::Reward;
use domain::money::RatePpm;
use services::shadow::{self, Rules, WhatIf};
use std::time::Instant;

pub(crate) fn run(brokers: Option<&str>, sales: usize) -> Result<()> {
    let directory = tempfile::tempdir().context("a directory to work in")?;
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let place = many.block_on(filled(brokers, sales, 1, directory.path()))?;
    println!("| rules | commissions | changed | wall s | CPU s | peak MiB |\n|---|---|---|---|---|---|");
    many.block_on(async {
        let in_force = shadow::rules(&place.log, None, &|_, _, _| ()).await?;
        let rules: Rules = in_force
            .into_iter()
            .map(|(program, rules)| {
                (program, rules.into_iter().map(|rule| (rule.rule.clone(), rule)).collect())
            })
            .collect();
        let mut halved = rules.clone();
        for rule in halved.values_mut().flat_map(|rules| rules.values_mut()) {
            if let Reward::Percent(rate) = rule.reward {
                rule.reward = Reward::Percent(RatePpm(rate.0 / 2));
            }
        }
        for (name, rules, changes) in [("in force", rules, false), ("half of each rate", halved, true)] {
            let (cpu, started) = (usage::cpu_time()?, Instant::now());
            let answer = shadow::what_if(&place.log, &WhatIf { rules, since: None }, &|_, _, _| ()).await?;
            let (wall, cpu) = (started.elapsed(), usage::cpu_time()? - cpu);
            let (compared, changed) = (answer.forecast.compared, answer.forecast.changes.len());
            ensure!(changes == (changed > 0), "{changed} of {compared} would change");
            println!(
                "| {name} | {compared} | {changed} | {:.1} | {:.1} | {} |",
                wall.as_secs_f64(),
                cpu.as_secs_f64(),
                usage::peak_mib()?
            );
        }
        Ok(())
    })
}
