//! Example command lines that `--help` shows below the flags.

pub(super) const EXIT_CODES: &str =
    "Exit codes: 0 it went well, 1 it failed, 2 the command line or a file that it names cannot be used.";

pub(super) const STANDALONE: &str = "\
Examples:
  tithon standalone --demo
      Two days of made-up data, served with a page at http://127.0.0.1:10902
  tithon standalone --bucket-dir=/var/lib/prometheus
      The finished blocks of a Prometheus, read in place";

pub(super) const STORE: &str = "\
Examples:
  tithon store --data-dir=/var/tithon --objstore.config-file=bucket.yml
  tithon store --data-dir=/var/tithon --objstore.config-file=bucket.yml --min-time=-6w --store.memory-limit=4GB
      Blocks of the last six weeks, and no more memory than that for calls
  tithon store --objstore.config='{type: FILESYSTEM, config: {directory: /var/blocks}}'";

pub(super) const QUERY: &str = "\
Examples:
  tithon query --endpoint=store:10901 --endpoint=sidecar:10901 --query.replica-label=replica
      A page and Prometheus's API at http://127.0.0.1:10902, replicas merged
  tithon query --endpoint=dnssrv+_grpc._tcp.store.example --query.auto-downsampling";

pub(super) const SIDECAR: &str = "\
Examples:
  tithon sidecar --prometheus.url=http://localhost:9090
      The data of a Prometheus for queriers
  tithon sidecar --tsdb.path=/prometheus --objstore.config-file=bucket.yml
      Its finished blocks into a bucket, too; Prometheus must not compact them itself";

pub(super) const RULE: &str = "\
Examples:
  tithon rule --rule-file='rules/*.yml' --query=querier:10902 --alertmanagers.url=http://alertmanager:9093 \\
      --remote-write.config-file=write.yml --label='ruler=\"a\"'
      Rules over a querier, results to any server that takes remote write, alerts to an Alertmanager";

pub(super) const COMPACT: &str = "\
Examples:
  tithon compact --data-dir=/var/tithon --objstore.config-file=bucket.yml --wait
      For as long as it runs; without --wait once
  tithon compact --data-dir=/var/tithon --objstore.config-file=bucket.yml --wait \\
      --retention.resolution-raw=30d --retention.resolution-5m=180d --retention.resolution-1h=0d";

pub(super) const TOOLS: &str = "\
Examples:
  tithon tools bucket ls --objstore.config-file=bucket.yml -o wide
  tithon tools block verify /var/blocks/01HQ3M5B8R8X3V0C9Z7S6T5D4F
  tithon tools completions bash > /etc/bash_completion.d/tithon";
