//! Takes turns: each round runs all subjects, every second round in reverse order, so that changes in the machine's
//! speed affect all subjects.

use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::proc;
use crate::run::{Failure, Measured, Run, Verdict};

/// Whether the first round is reported separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstRound {
    /// It is discarded, because caches are cold.
    Apart,
    /// It counts like any other round.
    Counts,
}

/// The number of rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Largest number of rounds that count.
    pub most: usize,
    /// Whether a separate first round precedes them.
    pub first: FirstRound,
    /// No round begins later than this after the first one began, but at least one counts.
    pub enough: Duration,
}

/// Runs `measure(subject, round)` for each subject in rounds. A subject that failed is not run again.
pub(crate) fn take_turns(
    subjects: &[String],
    rounds: Rounds,
    mut measure: impl FnMut(usize, usize) -> Result<(Run, Answer), Failure>,
) -> Vec<Measured> {
    let mut all: Vec<Measured> = subjects.iter().map(|subject| Measured::new(subject)).collect();
    let extra = usize::from(rounds.first == FirstRound::Apart);
    let began = Instant::now();
    let (mut watch, mut cpu) = (LoadWatch::start(), 0.0);
    for round in 0..rounds.most + extra {
        if round > extra && began.elapsed() > rounds.enough {
            break;
        }
        if round == extra {
            // The first round also starts the servers.
            (watch, cpu) = (LoadWatch::start(), 0.0);
        }
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut answers: Vec<Option<Answer>> = vec![None; subjects.len()];
        for i in order {
            if all[i].failure.is_some() {
                continue;
            }
            match measure(i, round) {
                Ok((run, answer)) => {
                    answers[i] = Some(answer);
                    cpu += run.cpu;
                    if round < extra {
                        all[i].first = Some(run);
                    } else {
                        all[i].runs.push(run);
                    }
                }
                Err(failure) => all[i].failure = Some(failure),
            }
        }
        judge(&mut all, &answers);
    }
    let load = watch.foreign_load(cpu);
    for run in all.iter_mut().flat_map(|measured| &mut measured.runs) {
        run.foreign_load = run.foreign_load.or(load);
    }
    all
}

/// Compares the answers of a round with the first one.
fn judge(all: &mut [Measured], answers: &[Option<Answer>]) {
    let mut given = answers.iter().enumerate().filter_map(|(i, answer)| Some((i, answer.as_ref()?)));
    let Some((_, reference)) = given.next().filter(|(_, answer)| !matches!(answer, Answer::Nothing)) else {
        return;
    };
    for (i, answer) in given {
        if !matches!(all[i].answer, Verdict::Differs(_)) {
            all[i].answer = verdict(reference, answer);
        }
    }
}

/// Compares an answer with the first subject's.
pub(crate) fn verdict(reference: &Answer, answer: &Answer) -> Verdict {
    reference.difference(answer).map_or(Verdict::Same, Verdict::Differs)
}

/// Measures other work of the machine during a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadWatch {
    began: Instant,
    busy: f64,
    own: f64,
}

impl LoadWatch {
    /// Begins to measure.
    pub(crate) fn start() -> LoadWatch {
        LoadWatch { began: Instant::now(), busy: proc::machine_busy_seconds(), own: proc::own_cpu_seconds() }
    }

    /// Number of CPUs busy with other work than this tool and subjects that used `cpu` seconds. `None` after less than
    /// a tenth of a second, since the kernel counts in hundredths.
    pub(crate) fn foreign_load(&self, cpu: f64) -> Option<f64> {
        let own = proc::own_cpu_seconds() - self.own;
        let foreign = proc::machine_busy_seconds() - self.busy - own - cpu;
        let wall = self.began.elapsed().as_secs_f64();
        (wall >= 0.1).then_some((foreign / wall).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned()]
    }

    fn rounds(most: usize, first: FirstRound) -> Rounds {
        Rounds { most, first, enough: Duration::MAX }
    }

    #[test]
    fn every_other_round_goes_backwards_and_the_first_may_be_apart() {
        let mut order = Vec::new();
        let all = take_turns(&names(), rounds(2, FirstRound::Apart), |subject, round| {
            order.push((round, subject));
            Ok((Run { wall: round as f64, ..Run::default() }, Answer::Values(Vec::new())))
        });
        assert_eq!(order, [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]);
        assert_eq!(all[0].first.map(|run| run.wall), Some(0.0));
        assert_eq!(all[1].median(|run| Some(run.wall)), Some(1.5));
        assert_eq!(all[0].wall_range(), Some((1.0, 2.0)));
        assert_eq!((&all[0].answer, &all[1].answer), (&Verdict::Alone, &Verdict::Same));
    }

    #[test]
    fn slow_cases_have_fewer_rounds() {
        let few = Rounds { enough: Duration::ZERO, ..rounds(9, FirstRound::Apart) };
        let all = take_turns(&names(), few, |_, _| Ok((Run::default(), Answer::Nothing)));
        assert_eq!((all[0].first.is_some(), all[0].runs.len()), (true, 1));
    }

    #[test]
    fn who_fails_leaves_the_others_alone() {
        let all =
            take_turns(&names(), rounds(3, FirstRound::Counts), |subject, round| match (subject, round) {
                (0, 1..) => Err(Failure::Call("no".into())),
                _ => {
                    Ok((Run::default(), Answer::Json(format!("{{\"n\":{}}}", subject * round).into_bytes())))
                }
            });
        assert_eq!((all[0].runs.len(), all[1].runs.len()), (1, 3));
        assert!(all[0].failure.is_some() && all[1].failure.is_none());
    }
}
