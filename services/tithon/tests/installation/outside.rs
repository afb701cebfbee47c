//! A target that Prometheus scrapes, and a receiver of what the Alertmanager tells.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde_json::Value;

/// Serves `/metrics` and `/hook` until it is dropped.
pub struct Outside {
    told: Arc<Told>,
    /// Its address.
    pub address: String,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Told {
    pressure: AtomicI64,
    alerts: Mutex<Vec<Value>>,
}

impl Outside {
    pub fn start() -> Outside {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = Arc::new(Told::default());
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/hook", post(hook))
            .with_state(Arc::clone(&told));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Outside { told, address, _runtime: runtime }
    }

    /// The value of `lab_pressure` from now on.
    pub fn set_pressure(&self, value: i64) {
        self.told.pressure.store(value, Ordering::Relaxed);
    }

    /// All alerts that were told, the oldest first.
    pub fn notifications(&self) -> Vec<Value> {
        self.told.alerts.lock().unwrap().clone()
    }

    /// `firing` or `resolved`, as told last.
    pub fn last_status(&self) -> Option<String> {
        Some(self.notifications().last()?["status"].as_str()?.to_owned())
    }
}

async fn metrics(State(told): State<Arc<Told>>) -> String {
    format!("# TYPE lab_pressure gauge\nlab_pressure {}\n", told.pressure.load(Ordering::Relaxed))
}

async fn hook(State(told): State<Arc<Told>>, Json(body): Json<Value>) {
    let alerts = body["alerts"].as_array().cloned().unwrap_or_default();
    told.alerts.lock().unwrap().extend(alerts);
}
