//! `tfreg downloads`

use std::time::Instant;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::target::{access, patience};
use super::values;
use super::{Environment, GlobalArgs, runtime, stop_signal};
use crate::error::{Error, Result};
use crate::logs::Since;
use crate::report::{Column, DownloadsView, Format, Reporter};
use crate::store::access::Access;
use crate::workflow::downloads::{Logs, Request, downloads};
use crate::workflow::target::Target;

/// Count the downloads of each version, from access logs
///
/// Reads S3 server access logs and CloudFront standard logs (with tabs, or version 2 as JSON; compressed or not). A GET of a zip
/// that was answered with 200, or with a range from the first byte on (206), is a download. HEAD is none, nor is what the CDN
/// fetched from the bucket: the CDN's own log has the client's request. Days are those of UTC.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Of each version, in the logs of a folder:
    tfreg downloads logs

  Of each day and client in the last 30 days, from the logs' bucket:
    tfreg downloads s3://registry-logs/cdn/ --since 30d --by day,client

  For a spreadsheet:
    tfreg downloads logs --by version,platform --csv > downloads.csv

  What users asked for in vain:
    tfreg downloads logs --format json | jq .missing")]
pub(super) struct DownloadsArgs {
    /// A log file, a folder of them with all of its folders, or s3://BUCKET/PREFIX/
    #[arg(value_name = "LOGS", required = true, value_parser = values::logs)]
    logs: Vec<Logs>,

    /// Count from here on: a date (2026-01-31), a time (2026-01-31T12:00:00Z), or how long ago (30d, 12h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// What is counted separately; several are separated by commas
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', default_value = "version")]
    by: Vec<By>,

    /// Print the counts as CSV, with a header; nothing else is printed on standard output
    #[arg(long)]
    csv: bool,
}

/// A column of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// The versions
    Version,
    /// The platforms
    Platform,
    /// Terraform, OpenTofu, Renovate, other
    Client,
    /// The days, in UTC
    Day,
}

/// Reads a moment, in relation to now.
fn since(text: &str) -> Result<Timestamp, String> {
    values::moment(text, Timestamp::now())
}

pub(super) fn run(
    args: DownloadsArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let started = Instant::now();
    if args.csv && global.format == Format::Json {
        return Err(Error::Usage("--csv and --format json: give one of them".to_owned()));
    }
    let mut by = Vec::new();
    for column in args.by {
        let column = match column {
            By::Version => Column::Version,
            By::Platform => Column::Platform,
            By::Client => Column::Client,
            By::Day => Column::Day,
        };
        if by.contains(&column) {
            return Err(Error::Usage(format!("--by: {column} is named twice")));
        }
        by.push(column);
    }
    let in_bucket = args.logs.iter().find_map(|logs| match logs {
        Logs::Prefix(location) => Some(location.clone()),
        Logs::Path(_) => None,
    });
    let mut access = match in_bucket {
        Some(location) => access(&Target::S3(location), None, environment)?,
        None => Access::default(),
    };
    access.patience = patience(std::time::Duration::from_mins(5), reporter);
    let jobs = global.jobs();
    let request = Request {
        logs: args.logs,
        access,
        since: args.since.map(Since::new),
        files: jobs.repack,
        objects: jobs.reads,
    };
    let tally = runtime()?.block_on(async {
        tokio::select! {
            tally = downloads(request) => tally,
            () = stop_signal()? => Err(Error::Interrupted),
        }
    })?;
    let view = DownloadsView { tally: &tally, by: &by, since: args.since, duration: started.elapsed() };
    if args.csv {
        reporter.downloads_csv(&view)
    } else {
        reporter.downloads(&view);
        Ok(())
    }
}
