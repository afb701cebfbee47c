//! The measured programs and their command lines.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::error::BenchError;

/// A subject on the command line: `NAME=PROGRAM` or `PROGRAM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubjectArg {
    /// Name in the results.
    pub name: String,
    /// Path of the program; `tithon` is this program itself.
    pub program: PathBuf,
}

impl FromStr for SubjectArg {
    type Err = String;

    fn from_str(text: &str) -> Result<SubjectArg, String> {
        let (name, program) = match text.split_once('=') {
            Some((name, program)) => (name, program),
            None => (text.rsplit('/').next().unwrap_or(text), text),
        };
        if name.is_empty() || program.is_empty() {
            return Err("expected NAME=PROGRAM or PROGRAM".to_owned());
        }
        Ok(SubjectArg { name: name.to_owned(), program: program.into() })
    }
}

/// The kind of a program, which decides its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tithon,
    Thanos,
    Prometheus,
}

/// A measured program.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Name in the results.
    pub name: String,
    /// Path of the program.
    pub program: PathBuf,
    /// Kind of the program.
    pub kind: Kind,
    /// Version that the program prints.
    pub version: String,
}

impl Subject {
    /// All subjects of a command line, or this program itself if there is none. Asks each for its version.
    pub(crate) fn all(args: &[SubjectArg]) -> Result<Vec<Subject>, BenchError> {
        let default = [SubjectArg { name: "tithon".to_owned(), program: "tithon".into() }];
        let args = if args.is_empty() { &default[..] } else { args };
        for (i, arg) in args.iter().enumerate() {
            if args[..i].iter().any(|other| other.name == arg.name) {
                return Err(BenchError::Subject {
                    name: arg.name.clone(),
                    reason: "this name is given twice".into(),
                });
            }
        }
        args.iter().map(Subject::find).collect()
    }

    fn find(arg: &SubjectArg) -> Result<Subject, BenchError> {
        let refuse = |reason: String| BenchError::Subject { name: arg.name.clone(), reason };
        let program = match arg.program.to_str() {
            Some("tithon") => std::env::current_exe()
                .map_err(|source| BenchError::System { what: "the path of this program", source })?,
            // Subjects may be started in other directories.
            Some(path) if path.contains('/') => std::path::absolute(&arg.program)
                .map_err(|source| BenchError::System { what: "the path of a subject", source })?,
            _ => arg.program.clone(),
        };
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| refuse(format!("{}: {error}", program.display())))?;
        // Depending on their version, Prometheus and Thanos print it to standard output or standard error.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().next().unwrap_or_default().trim();
        let kind = match line.split([' ', ',']).next() {
            Some("tithon") => Kind::Tithon,
            Some("thanos") => Kind::Thanos,
            Some("prometheus") => Kind::Prometheus,
            _ => {
                let reason = format!(
                    "{} --version says neither tithon, thanos nor prometheus: {line:?}",
                    program.display()
                );
                return Err(refuse(reason));
            }
        };
        let version = line.chars().take(120).collect();
        Ok(Subject { name: arg.name.clone(), program, kind, version })
    }

    /// Arguments of `store` over a bucket.
    pub(crate) fn store(&self, config: &Path, data: &Path, grpc: u16, http: u16) -> Option<Vec<String>> {
        self.is_thanos_like().then(|| {
            vec![
                "store".to_owned(),
                "--log.level=warn".to_owned(),
                format!("--objstore.config-file={}", config.display()),
                format!("--data-dir={}", data.display()),
                format!("--grpc-address=127.0.0.1:{grpc}"),
                format!("--http-address=127.0.0.1:{http}"),
            ]
        })
    }

    /// Arguments of `query` over a store.
    pub(crate) fn query(&self, store: u16, grpc: u16, http: u16) -> Option<Vec<String>> {
        self.is_thanos_like().then(|| {
            vec![
                "query".to_owned(),
                "--log.level=warn".to_owned(),
                format!("--endpoint=127.0.0.1:{store}"),
                "--query.replica-label=replica".to_owned(),
                // The label is no replica label, but Prometheus's answers lack it too.
                "--query.replica-label=cluster".to_owned(),
                format!("--grpc-address=127.0.0.1:{grpc}"),
                format!("--http-address=127.0.0.1:{http}"),
            ]
        })
    }

    /// Arguments of store and querier in one process over a bucket.
    pub(crate) fn standalone(&self, config: &Path, data: &Path, grpc: u16, http: u16) -> Option<Vec<String>> {
        (self.kind == Kind::Tithon).then(|| {
            vec![
                "standalone".to_owned(),
                "--log.level=warn".to_owned(),
                format!("--objstore.config-file={}", config.display()),
                format!("--data-dir={}", data.display()),
                format!("--grpc-address=127.0.0.1:{grpc}"),
                format!("--http-address=127.0.0.1:{http}"),
            ]
        })
    }

    /// Arguments for one iteration of the compactor, with the further flags `own`.
    pub(crate) fn compact(&self, config: &Path, data: &Path, http: u16, own: &[&str]) -> Option<Vec<String>> {
        let mut args = vec![
            "compact".to_owned(),
            "--log.level=warn".to_owned(),
            format!("--objstore.config-file={}", config.display()),
            format!("--data-dir={}", data.display()),
            format!("--http-address=127.0.0.1:{http}"),
            "--consistency-delay=0s".to_owned(),
        ];
        args.extend(own.iter().map(|flag| (*flag).to_owned()));
        self.is_thanos_like().then_some(args)
    }

    /// Arguments of `sidecar` beside the Prometheus at port `prometheus`, with the further flags `own`.
    pub(crate) fn sidecar(
        &self,
        prometheus: u16,
        grpc: u16,
        http: u16,
        own: &[String],
    ) -> Option<Vec<String>> {
        let mut args = vec![
            "sidecar".to_owned(),
            "--log.level=warn".to_owned(),
            format!("--prometheus.url=http://127.0.0.1:{prometheus}"),
            format!("--grpc-address=127.0.0.1:{grpc}"),
            format!("--http-address=127.0.0.1:{http}"),
        ];
        args.extend_from_slice(own);
        self.is_thanos_like().then_some(args)
    }

    /// Arguments of `rule` with the rules of a file, over the querier at port `querier`. It keeps results in the folder `data` of
    /// its current directory.
    pub(crate) fn rule(&self, rules: &Path, querier: u16, grpc: u16, http: u16) -> Option<Vec<String>> {
        self.is_thanos_like().then(|| {
            vec![
                "rule".to_owned(),
                "--log.level=warn".to_owned(),
                "--label=ruler=\"one\"".to_owned(),
                "--data-dir=data".to_owned(),
                format!("--rule-file={}", rules.display()),
                format!("--query=127.0.0.1:{querier}"),
                format!("--grpc-address=127.0.0.1:{grpc}"),
                format!("--http-address=127.0.0.1:{http}"),
            ]
        })
    }

    /// Arguments of a Prometheus server over its own blocks, which it neither merges nor deletes.
    pub(crate) fn prometheus(&self, config: &Path, data: &Path, http: u16) -> Option<Vec<String>> {
        (self.kind == Kind::Prometheus).then(|| {
            vec![
                "--log.level=warn".to_owned(),
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{http}"),
                "--storage.tsdb.retention.time=100y".to_owned(),
                "--storage.tsdb.min-block-duration=2h".to_owned(),
                "--storage.tsdb.max-block-duration=2h".to_owned(),
                "--query.max-samples=500000000".to_owned(),
            ]
        })
    }

    fn is_thanos_like(&self) -> bool {
        matches!(self.kind, Kind::Tithon | Kind::Thanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_names() {
        let parse =
            |text: &str| text.parse::<SubjectArg>().map(|s| (s.name, s.program.display().to_string()));
        assert_eq!(parse("tithon"), Ok(("tithon".into(), "tithon".into())));
        assert_eq!(parse("/opt/thanos"), Ok(("thanos".into(), "/opt/thanos".into())));
        assert_eq!(parse("old=/opt/tithon-1"), Ok(("old".into(), "/opt/tithon-1".into())));
        assert!(parse("=x").is_err() && parse("x=").is_err());
    }

    #[test]
    fn programs_that_are_no_subjects_are_refused() {
        let args = |program: &str| [SubjectArg { name: "x".into(), program: program.into() }];
        let message = |program: &str| Subject::all(&args(program)).unwrap_err().to_string();
        assert!(message("/nonexistent/program").contains("No such file"));
        assert!(message("true").contains("says neither tithon"));
        let twice = [args("true"), args("true")].concat();
        assert!(Subject::all(&twice).unwrap_err().to_string().contains("twice"));
    }
}
