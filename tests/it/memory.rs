//! Memory stays bounded whatever the size: a large executable is repacked and uploaded as a stream.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::archive::genuine_executable;
use crate::support::child::Running;
use crate::support::programs::skipped;
use crate::support::s3_server::S3Server;
use crate::support::{folder, publish, ran};

const MIB: u64 = 1 << 20;

/// The most memory that a process has had so far, in bytes (`VmHWM`); `None` once it has ended, or where there is no /proc.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn a_large_executable_needs_little_memory() {
    if peak(std::process::id()).is_none() {
        skipped("this system does not tell how much memory a process has used");
        return;
    }
    let root = folder();
    let tarball = root.path().join("terraform-provider-sample_1.2.0_linux_amd64.tar.gz");
    let size = 384 * MIB;
    // The head of a genuine executable, and then bytes that hardly compress.
    let head = genuine_executable("linux-amd64");
    let noise: Vec<u8> =
        (0..MIB).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0]).collect();
    let mut tar =
        tar::Builder::new(GzEncoder::new(std::fs::File::create(&tarball).unwrap(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o755);
    let rest = std::io::Read::take(Repeat(&noise, 0), size - head.len() as u64);
    tar.append_data(&mut header, "terraform-provider-sample", head.as_slice().chain(rest)).unwrap();
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();

    let server = S3Server::start(&["bucket"]);
    for target in ["s3://bucket".to_owned(), root.path().join("site").display().to_string()] {
        let mut command = publish(&target, std::slice::from_ref(&tarball));
        command.args(["--protocol", "6.0"]).envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running::start(&mut command);
        let mut most = 0;
        while child.try_wait().unwrap().is_none() {
            most = most.max(peak(child.id()).unwrap_or(0));
            std::thread::yield_now();
        }
        ran(&child.output()).succeeds();
        println!("{target}: {} MiB at the most", most / MIB);
        assert!(most > MIB && most < 64 * MIB, "{target}: {} MiB", most / MIB);
    }
}

/// Repeats a piece for ever.
struct Repeat<'a>(&'a [u8], usize);

impl std::io::Read for Repeat<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = (&self.0[self.1..]).read(buffer)?;
        self.1 = (self.1 + count) % self.0.len();
        Ok(count)
    }
}
