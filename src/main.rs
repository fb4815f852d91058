//! The `tapstack` command.

fn main() -> std::process::ExitCode {
    tapstack::cli::main()
}
