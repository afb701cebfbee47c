//! Standard output of tools, and errors at the end of the program: plain lines on a terminal, log lines elsewhere.

use std::error::Error;
use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;

use tracing::error;

/// The reader of standard output has closed it, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed by its reader")]
struct ClosedByReader;

/// Standard output. If its reader closes it, the tool ends without a failure.
pub struct Stdout(StdoutLock<'static>);

/// Locks standard output for this thread.
pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ClosedByReader),
        _ => error,
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

fn is_left(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|io| io.get_ref().is_some_and(|inner| inner.is::<ClosedByReader>()))
    })
}

/// Reports the error that ends the program, and returns `code`. If only the reader of standard output is gone, returns
/// success.
pub fn fail(error: &(dyn Error + 'static), what: &'static str, code: ExitCode) -> ExitCode {
    if is_left(error) {
        return ExitCode::SUCCESS;
    }
    if io::stderr().is_terminal() {
        complain(&error.to_string());
    } else {
        error!(error, "{what}");
    }
    code
}

/// Prints an error as a line for people, in colour on a terminal.
pub fn complain(text: &str) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, end) = if colours { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // Nothing can be done if standard error is closed.
    let _ = writeln!(io::stderr(), "{red}error:{end} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("standard output: {0}")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_reader_that_left_is_told_from_a_broken_connection() {
        let ours = Outer(named(io::Error::from(io::ErrorKind::BrokenPipe)));
        let other = Outer(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_left(&ours) && !is_left(&other));
    }
}
