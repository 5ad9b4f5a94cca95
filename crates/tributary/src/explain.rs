//! `explain`: why a commission is what it is.
use crate::cli::Explain;
use crate::parts::{configure_quietly, open_log_read_only};
use crate::up::print_line;
use services::explain::{self, Question};
use std::process::ExitCode;

/// Nothing is known under the id.
const NOT_FOUND: u8 = 1;

/// `explain`. From the log alone: works without Postgres.
pub(crate) async fn explain(args: &Explain) -> anyhow::Result<ExitCode> {
    let config = configure_quietly(&args.place.layers(&[]))?;
    let log = open_log_read_only(&config).await?;
    let question = Question { id: args.id.clone(), body: args.body };
    let found = explain::run(&log, &question).await?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&found)?)?;
    } else if found.is_empty() {
        print_line(
            "no sale, refund, dispute or commission is known under that id; `tributary events find` says what became of a \
             delivery that brought none",
        )?;
    } else {
        let texts: Vec<String> = found.iter().map(explain::Explanation::to_text).collect();
        print_line(texts.join("\n").trim_end())?;
    }
    Ok(if found.is_empty() { ExitCode::from(NOT_FOUND) } else { ExitCode::SUCCESS })
}
