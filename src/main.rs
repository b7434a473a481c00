//! The `tfreg` command.

fn main() -> std::process::ExitCode {
    tfreg::cli::main()
}
