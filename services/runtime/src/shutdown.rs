//! Signals to all parts of a process: shutdown and reload.

use tokio::sync::watch;

/// The signal to shut down. It is sent once and reaches all clones, including those that wait for it later.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Begins the shutdown; further calls have no effect.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether the shutdown has begun.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the shutdown begins.
    pub async fn wait(&self) {
        // We hold the sender, so the channel cannot close while we wait.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }

    /// A shutdown that begins at SIGINT or SIGTERM. Must be called inside a tokio runtime.
    ///
    /// Fails when the signals cannot be handled.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        use tokio::signal::unix::{SignalKind, signal};
        let shutdown = Shutdown::default();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            trigger.trigger();
        });
        Ok(shutdown)
    }
}

/// The request to read configuration files again, sent by SIGHUP. Without a listener that signal would end the process.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Reload(watch::Sender<u64>);

impl Default for Reload {
    fn default() -> Reload {
        Reload(watch::Sender::new(0))
    }
}

impl Reload {
    /// Requests a reload.
    pub fn trigger(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// A receiver that changes at each request.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Reload requests at SIGHUP. Must be called inside a tokio runtime.
    ///
    /// Fails when the signal cannot be handled.
    pub fn on_signals() -> std::io::Result<Reload> {
        use tokio::signal::unix::{SignalKind, signal};
        let reload = Reload::default();
        let mut hangup = signal(SignalKind::hangup())?;
        let trigger = reload.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                trigger.trigger();
            }
        });
        Ok(reload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn late_listeners_hear_it_too() {
        let shutdown = Shutdown::default();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        shutdown.trigger();
        early.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
    }
}
