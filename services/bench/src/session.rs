//! State shared by all measurements: subjects, folders, rounds and results.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tithon_synthetic::Data;

use crate::cli::MeasureFlags;
use crate::error::BenchError;
use crate::folder::{self, Scratch};
use crate::report::{CaseReport, Report};
use crate::run::{Failure, Measured};
use crate::subject::Subject;
use crate::turns::{FirstRound, Rounds};

/// Time after which a case starts no further round.
const ENOUGH: Duration = Duration::from_secs(40);
const QUICK_ENOUGH: Duration = Duration::from_secs(2);

/// One invocation of the tool.
#[derive(Debug)]
pub(crate) struct Session {
    pub subjects: Vec<Subject>,
    /// A temporary folder of this invocation, removed at its end.
    pub scratch: Scratch,
    /// Longest time of a start, and of one run.
    pub limit: Duration,
    pub seed: u64,
    root: PathBuf,
    cases: Vec<String>,
    rounds: usize,
    enough: Duration,
    scale: f64,
    report: Report,
}

impl Session {
    /// Asks the subjects for their versions and creates the folders.
    pub(crate) fn start(command: &'static str, flags: &MeasureFlags) -> Result<Session, BenchError> {
        if !(flags.scale > 0.0 && flags.scale <= 100.0) {
            return Err(BenchError::Flags(format!(
                "--scale={}: expected more than 0 and at most 100",
                flags.scale
            )));
        }
        let subjects = Subject::all(&flags.subject)?;
        let root = flags.data_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("tithon-bench"));
        fs::create_dir_all(&root).map_err(BenchError::io(&root))?;
        let root = fs::canonicalize(&root).map_err(BenchError::io(&root))?;
        remove_leftovers(&root);
        let scratch = Scratch::create(&root, &format!("run-{}", std::process::id()))?;
        let report = Report::new(command, flags, &subjects);
        Ok(Session {
            subjects,
            scratch,
            limit: flags.limit,
            seed: flags.seed,
            root,
            cases: flags.case.clone(),
            rounds: if flags.quick { usize::from(flags.rounds).min(2) } else { flags.rounds.into() },
            enough: if flags.quick { QUICK_ENOUGH } else { ENOUGH },
            scale: if flags.quick { flags.scale * 0.1 } else { flags.scale },
            report,
        })
    }

    /// Whether a case was asked for.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|text| case.contains(text.as_str()))
    }

    /// The number of series, scaled as the flags say.
    pub(crate) fn scaled(&self, n: usize) -> usize {
        ((n as f64 * self.scale) as usize).max(1)
    }

    /// The folder of generated data, which is generated if it is missing. `name` tells kinds of data apart.
    pub(crate) fn data(&self, name: &str, data: &[Data]) -> Result<PathBuf, BenchError> {
        let series: Vec<String> = data.iter().map(|data| data.series.to_string()).collect();
        let dir = self.root.join(format!("{name}-{}-seed-{}", series.join("-"), self.seed));
        folder::fill(&dir, data)?;
        Ok(dir)
    }

    /// The folder for data derived from other data.
    pub(crate) fn derived(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// How many rounds to run.
    pub(crate) fn rounds(&self, first: FirstRound) -> Rounds {
        Rounds { most: self.rounds, first, enough: self.enough }
    }

    /// The names of all subjects.
    pub(crate) fn names(&self) -> Vec<String> {
        self.subjects.iter().map(|subject| subject.name.clone()).collect()
    }

    /// Adds the results of a case.
    pub(crate) fn add(
        &mut self,
        name: &str,
        what: &str,
        work: Option<f64>,
        measured: Vec<Measured>,
    ) -> Result<(), BenchError> {
        self.report.add(CaseReport { name: name.to_owned(), what: what.to_owned(), samples: work, measured })
    }

    /// Prints the remaining results. Returns whether all answers agreed.
    pub(crate) fn finish(self) -> Result<bool, BenchError> {
        self.report.finish()
    }

    /// Creates an empty folder for a start of subject `i`.
    pub(crate) fn folder(&self, name: &str, i: usize) -> Result<PathBuf, Failure> {
        let path = self.scratch.path().join(format!("{name}-{i}"));
        let made = match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&path),
        };
        made.map_err(|error| Failure::Prepare(format!("{}: {error}", path.display())))?;
        Ok(path)
    }
}

/// Removes the folders of killed invocations.
fn remove_leftovers(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix("run-")).filter(|pid| pid.parse::<u32>().is_ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // If that fails, they only take disk space.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
