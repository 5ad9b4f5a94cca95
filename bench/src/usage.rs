//! CPU time and memory of this process and of others, by the operating system's own accounting.
use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};
use std::time::Duration;

/// User and system time so far.
pub(crate) fn cpu_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}

/// Peak resident memory in MiB, of this program alone: `ru_maxrss` would include that of the process that started it, whose
/// memory a new one shares until it has a program of its own (getrusage(2), proc_pid_status(5)).
pub(crate) fn peak_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024)
}

/// CPU time so far of a process and its direct children (a database has one for each connection), and the sum of what they
/// hold in memory now: what they share counts once for each of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: u64,
}

/// Reads `/proc`. Children that have ended are counted once their parent has waited for them.
pub(crate) fn process(pid: u32) -> Result<Process> {
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK)?.context("CLK_TCK")?;
    let page_bytes = sysconf(SysconfVar::PAGE_SIZE)?.context("PAGE_SIZE")?;
    let (mut ticks, mut pages) = (0_u64, 0_u64);
    let mut found = false;
    for entry in std::fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(line) = std::fs::read_to_string(format!("/proc/{other}/stat")) else { continue };
        // The name may hold spaces and parentheses; the fields after it do not (proc_pid_stat(5)).
        let Some((_, rest)) = line.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        if other != pid && field(4) != Some(u64::from(pid)) {
            continue;
        }
        found |= other == pid;
        // User and system time; of the parent also those of children that it has waited for.
        let last = if other == pid { 17 } else { 15 };
        ticks += (14..=last).filter_map(field).sum::<u64>();
        pages += field(24).unwrap_or_default();
    }
    anyhow::ensure!(found, "process {pid} does not run");
    Ok(Process {
        cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64),
        resident_mib: pages * u64::try_from(page_bytes)? / (1024 * 1024),
    })
}

/// The value at `share` (0..=1) of a sorted list.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
