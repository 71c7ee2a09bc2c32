//! The auditor's command: evidence of the log, handed out and checked.

fn main() -> std::process::ExitCode {
    kluis::auditor::main()
}
