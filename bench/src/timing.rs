//! Whether the time of a refusal tells how much of a forged signature was right: Welch's t-test after the method of dudect.
//!
//! Two kinds of forgeries in random order, wrong in the first or in the last digit. A check that stops at the first difference
//! takes longer for the second kind. |t| below 4.5 says that nothing was seen in so many samples; it proves nothing more. The
//! same check with such a comparison is measured beside it, so that a quiet result means something.
use domain::time::Micros;
use sources::signature::{sign_paddle, sign_stripe, verify_paddle, verify_stripe};
use std::hint::black_box;
use std::time::Instant;

const SECRET: &[u8] = b"whsec_of_the_timing_bench";
const AT: i64 = 1_700_000_000;
/// Above it the two kinds differ.
const THRESHOLD: f64 = 4.5;
/// Samples above these shares of all are left out: interruptions drown what is looked for.
const CROPS: [f64; 5] = [0.5, 0.75, 0.9, 0.99, 1.0];

/// Prints a line for each check.
pub(crate) fn run(samples: usize) -> anyhow::Result<()> {
    let body = vec![b'x'; 1_024];
    let now = Micros(AT * 1_000_000);
    let secrets = [SECRET];
    println!("{samples} refusals of each check; |t| from {THRESHOLD} on tells the first wrong digit's place");
    let stripe = forgeries(&sign_stripe(SECRET, AT, &body));
    report("stripe", samples, &stripe, |header| {
        verify_stripe(Some(header), &body, &secrets, 0, now).is_err()
    })?;
    let paddle = forgeries(&sign_paddle(SECRET, AT, &body));
    report("paddle", samples, &paddle, |header| {
        verify_paddle(Some(header), &body, &secrets, 0, now).is_err()
    })?;
    report("control: digit by digit, stops at the first difference", samples, &stripe, |header| {
        !same_digits(header.as_bytes(), black_box(sign_stripe(SECRET, AT, &body)).as_bytes())
    })
}

/// A right header with its signature's first digit changed, and with its last. A number stays a number and a letter a letter:
/// reading hex may take its time by what the sender wrote, which tells nothing.
fn forgeries(right: &str) -> [String; 2] {
    let first = right.len() - 64;
    [first, right.len() - 1].map(|at| {
        let digit = right.as_bytes()[at];
        let zero = if digit.is_ascii_digit() { b'0' } else { b'a' };
        let other = char::from(((digit - zero) ^ 1) + zero);
        format!("{}{other}{}", &right[..at], &right[at + 1..])
    })
}

/// What must not be done, for the control.
fn same_digits(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| black_box(left) == right)
}

fn report(
    name: &str,
    samples: usize,
    forgeries: &[String; 2],
    refuses: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut taken = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    // The first tenth warms caches and the clock up.
    for sample in 0..samples + samples / 10 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let kind = usize::from(random & 1 == 1);
        let header = black_box(forgeries[kind].as_str());
        let start = Instant::now();
        let refused = black_box(refuses(header));
        let nanos = start.elapsed().as_nanos() as f64;
        anyhow::ensure!(refused, "{name}: a forgery was accepted");
        if sample >= samples / 10 {
            taken[kind].push(nanos);
        }
    }
    let mut all = taken.concat();
    all.sort_by(f64::total_cmp);
    let worst = CROPS
        .iter()
        .map(|share| {
            let most = all[((all.len() - 1) as f64 * share) as usize];
            let cropped = taken.each_ref().map(|kind| moments(kind.iter().copied().filter(|x| *x <= most)));
            welch(cropped[0], cropped[1])
        })
        .fold(0.0_f64, |worst, t| if t.abs() > worst.abs() { t } else { worst });
    let verdict = if worst.abs() < THRESHOLD { "nothing seen" } else { "the place shows" };
    println!("{name}: median {} ns, largest |t| {:.2}: {verdict}", all[all.len() / 2], worst.abs());
    Ok(())
}

/// Count, mean and sample variance.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let from_mean = value - mean;
        mean += from_mean / count;
        squares += from_mean * (value - mean);
    }
    (count, mean, squares / (count - 1.0))
}

fn welch(left: (f64, f64, f64), right: (f64, f64, f64)) -> f64 {
    let error = (left.2 / left.0 + right.2 / right.0).sqrt();
    if error > 0.0 { (left.1 - right.1) / error } else { 0.0 }
}
