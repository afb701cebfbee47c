//! All groups: read from files, evaluated at their slots, replaced when the files change. Prometheus `rules/manager.go`, Thanos
//! `pkg/rules/manager.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tithon_index::Labels;
use tithon_runtime::{OwnThread, Shutdown};
use tithon_storeapi::RuleGroup as ToldGroup;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::around::{Around, ManagerOptions};
use crate::group::Group;
use crate::metrics::{LoadedLabels, RuleMetrics};
use crate::{AlertQueue, At, Generator, Queriers, RuleFaults, Storage, Strategy, read_rules};

/// Why rule files are not all in use.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// A pattern is invalid.
    #[error("pattern of rule files {pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Files have faults; the groups that were read from these files before stay in use.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<RuleFaults>),
    /// The thread that evaluates groups cannot be started.
    #[error("no thread to evaluate groups on: {0}")]
    Thread(std::io::Error),
}

/// The groups of a ruler. Clones share them.
#[derive(Clone)]
pub struct Manager {
    around: Arc<Around>,
    groups: Arc<Mutex<Groups>>,
    /// Where groups are evaluated and queriers are spoken to: there is little to do for each rule but to wait for an answer.
    thread: Arc<OwnThread>,
    shutdown: Shutdown,
    reloading: Arc<tokio::sync::Mutex<()>>,
}

type Key = (String, String, Strategy);

/// The groups and faults found in the rule files.
#[derive(Default)]
struct Read {
    groups: BTreeMap<Key, Group>,
    /// Files with faults.
    faulty: BTreeSet<String>,
    faults: Vec<RuleFaults>,
}

#[derive(Default)]
struct Groups {
    running: BTreeMap<Key, Running>,
    /// Whether files were read before: only groups of the first time restore alerts.
    were_read: bool,
}

struct Running {
    group: Arc<Group>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Manager {
    /// A manager without groups. Fails when its thread cannot be started.
    pub fn new(
        options: ManagerOptions,
        queriers: Queriers,
        storage: Storage,
        queue: AlertQueue,
        generator: Generator,
        metrics: RuleMetrics,
        shutdown: Shutdown,
    ) -> Result<Manager, ManagerError> {
        let thread = OwnThread::start("rules").map_err(ManagerError::Thread)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let external = options.external_labels.iter().map(|(name, value)| (text(name), text(value)));
        // Without concurrency within groups, groups do not wait for each other.
        let turns = match options.concurrent_evaluations {
            ..=1 => Semaphore::MAX_PERMITS,
            turns => turns,
        };
        let around = Around {
            external_labels: Arc::new(external.collect()),
            turns: Semaphore::new(turns),
            options,
            queriers,
            storage,
            queue,
            generator,
            metrics,
        };
        Ok(Manager {
            around: Arc::new(around),
            groups: Arc::default(),
            thread: Arc::new(thread),
            shutdown,
            reloading: Arc::default(),
        })
    }

    /// Where results go.
    pub(crate) fn storage(&self) -> &Storage {
        &self.around.storage
    }

    /// The labels of all results.
    pub(crate) fn external_labels(&self) -> Labels {
        self.around.options.external_labels.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all files and replaces groups that changed. The groups of a file with a fault stay as they are; the first time nothing
    /// begins then. Must be called inside a tokio runtime.
    pub async fn reload(&self) -> Result<(), ManagerError> {
        let _one_at_a_time = self.reloading.lock().await;
        let (files, bad_pattern) = self.files();
        let Read { groups, faulty, faults } = self.read(&files);
        let metrics = &self.around.metrics;
        metrics.reload_ok.set(faults.is_empty().into());
        if faults.is_empty() {
            metrics.reload_time.set(At::now().seconds() as f64);
        }
        if faults.is_empty() || self.lock().were_read {
            self.replace(groups, &faulty).await;
        }
        if faults.is_empty() { bad_pattern.map_or(Ok(()), Err) } else { Err(ManagerError::Faults(faults)) }
    }

    /// The files that the patterns name, and a pattern that is none.
    fn files(&self) -> (BTreeSet<PathBuf>, Option<ManagerError>) {
        let (mut files, mut bad) = (BTreeSet::new(), None);
        for pattern in &self.around.options.rule_files {
            match glob::glob(pattern) {
                Ok(found) => files.extend(found.filter_map(Result::ok).filter(|path| path.is_file())),
                Err(error) => {
                    let error = ManagerError::Pattern { pattern: pattern.clone(), reason: error.to_string() };
                    error!(%error, "a pattern of rule files is left out");
                    bad = Some(error);
                }
            }
        }
        (files, bad)
    }

    fn read(&self, files: &BTreeSet<PathBuf>) -> Read {
        let restores = !self.lock().were_read;
        let mut read = Read::default();
        for file in files {
            let name = file.to_string_lossy().into_owned();
            match read_rules(file, &self.around.options.parse) {
                Ok(configs) => read.groups.extend(configs.into_iter().map(|config| {
                    let key = (name.clone(), config.name.clone(), config.strategy);
                    (key, Group::new(config, &self.around, restores))
                })),
                Err(error) => {
                    read.faulty.insert(name);
                    read.faults.push(error);
                }
            }
        }
        read
    }

    /// Groups that are the same go on, as do those of faulty files; others begin with what their older form knew, the rest ends.
    async fn replace(&self, wanted: BTreeMap<Key, Group>, faulty: &BTreeSet<String>) {
        let metrics = &self.around.metrics;
        let (mut old, restores) = {
            let mut groups = self.lock();
            let restores = !std::mem::replace(&mut groups.were_read, true);
            (std::mem::take(&mut groups.running), restores)
        };
        let mut running: BTreeMap<Key, Running> = BTreeMap::new();
        for (key, group) in wanted {
            match old.remove(&key) {
                Some(same) if same.group.is_same(&group) => _ = running.insert(key, same),
                before => {
                    if let Some(before) = before {
                        let before = before.stop().await;
                        group.copy_state(&before);
                    }
                    metrics.begin_group(
                        &group.labels,
                        group.interval.as_secs_f64(),
                        group.config.rules.len(),
                    );
                    running.insert(key, self.start(Arc::new(group), restores));
                }
            }
        }
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            old.into_iter().partition(|(key, _)| faulty.contains(&key.0));
        running.extend(kept);
        metrics.loaded.clear();
        for (key, one) in &running {
            let loaded = LoadedLabels { strategy: key.2.upper(), file: key.0.clone(), group: key.1.clone() };
            metrics.loaded.get_or_create(&loaded).set(one.group.config.rules.len() as i64);
        }
        for gone in gone.into_values() {
            metrics.end_group(&gone.group.labels);
            let (manager, now) = (self.clone(), At::now());
            tokio::spawn(async move {
                let group = gone.stop().await;
                // A group of another name may make the same series now.
                tokio::select! {
                    () = tokio::time::sleep(group.interval * 2) => group.end(&manager.around, now),
                    () = manager.shutdown.wait() => {}
                }
            });
        }
        info!(groups = running.len(), "rules are loaded");
        self.lock().running = running;
    }

    fn start(&self, group: Arc<Group>, restores: bool) -> Running {
        let (stop, stopped) = watch::channel(false);
        let task = self.thread.spawn(run(Arc::clone(&self.around), Arc::clone(&group), restores, stopped));
        Running { group, stop, task }
    }

    /// Ends all evaluation; what is under way is waited for.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut self.lock().running);
        for one in running.values() {
            one.stop.send_replace(true);
        }
        for one in running.into_values() {
            one.stop().await;
        }
    }

    /// All groups as APIs tell them, by file and name.
    pub fn told(&self) -> Vec<ToldGroup> {
        let external = &self.around.options.external_labels;
        self.lock().running.values().map(|running| running.group.told(external)).collect()
    }
}

impl Running {
    async fn stop(self) -> Arc<Group> {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            error!(%error, group = self.group.config.name, "the evaluation of a group died");
        }
        self.group
    }
}

/// Evaluates a group at its slots until it is stopped.
async fn run(around: Arc<Around>, group: Arc<Group>, restores: bool, mut stopped: watch::Receiver<bool>) {
    let mut slot = group.slots.next(group.slots.at_or_before(At::now()));
    let mut evaluations = 0_u64;
    loop {
        let wait = u64::try_from(slot.nanos_since(At::now())).map_or(Duration::ZERO, Duration::from_nanos);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        group.evaluate(&around, slot).await;
        evaluations += 1;
        // The first evaluation may lack what other rules have not made again yet.
        if restores && evaluations == 2 {
            group.restore(&around, At::now()).await;
        }
        let due = group.slots.next(slot);
        if At::now() < due {
            slot = due;
            continue;
        }
        let (next, missed) = group.slots.due(slot, At::now());
        if missed > 0 {
            around.metrics.missed.get_or_create(&group.labels).inc_by(missed);
            around.metrics.iterations.get_or_create(&group.labels).inc_by(missed);
        }
        slot = next;
    }
}
