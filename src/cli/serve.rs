//! `tfreg serve`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::{runtime, stop_signal};
use crate::error::Result;
use crate::report::{Reporter, ServeReport};
use crate::serve::{self, Preview};

/// Preview a registry in a directory on this machine
///
/// Serves DIR over plain http on a loopback address, as S3 and a CDN would (content types, 404 for what is absent), and
/// prints the CLI configuration and the required_providers block that make `terraform init` use it. Ctrl-C stops it. Each
/// request is a line on standard error.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What `tfreg publish --to site` has written:
    tfreg serve site

  At another port of 127.0.0.1:
    tfreg serve site --listen 9090

  At any free one:
    tfreg serve site --listen 0")]
pub(super) struct ServeArgs {
    /// The directory that `tfreg publish --to DIR` or `--dry-run DIR` has written
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The loopback address and port to listen on, or only a port of 127.0.0.1; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen)]
    listen: SocketAddr,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse()
        .map_err(|_| "expected an address and a port, such as 127.0.0.1:8080, or only a port".to_owned())
}

pub(super) fn run(args: &ServeArgs, reporter: &Reporter) -> Result<()> {
    let providers = if args.directory.is_dir() { serve::providers(&args.directory)? } else { Vec::new() };
    runtime()?.block_on(async {
        let preview = Preview::bind(&args.directory, args.listen).await?;
        // Installed before the address is announced, so that a reader of the address may stop the preview at once.
        let stop = stop_signal()?;
        reporter.serving(&ServeReport::new(&args.directory, preview.address(), &providers));
        reporter.check_written()?;
        preview.serve(stop, reporter.requests()).await;
        reporter.note("stopped");
        Ok(())
    })
}
