//! Flags of Thanos that tune a mechanism Tithon does not have: accepted, said to have no effect, dropped.

/// Whether a flag takes a value.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    /// `--flag=value` or `--flag value`.
    Value,
    /// `--flag` or `--no-flag`: what follows is another argument.
    Nothing,
}

use Takes::{Nothing, Value};

/// Names per subcommand, without the dashes, and what Thanos's flag takes. They tune caches, pools and transports that do
/// not exist here, or ask for what always happens here.
const NO_EFFECT: &[(&str, &[(&str, Takes)])] = &[
    (
        "store",
        &[
            ("auto-gomemlimit.ratio", Value),
            ("block-discovery-strategy", Value),
            ("chunk-pool-size", Value),
            ("debug.estimated-max-chunk-size", Value),
            ("debug.estimated-max-series-size", Value),
            ("debug.series-batch-size", Value),
            ("enable-auto-gomemlimit", Nothing),
            ("matcher-cache-size", Value),
            ("store.enable-index-header-lazy-reader", Nothing),
            ("store.enable-lazy-expanded-postings", Nothing),
            ("store.index-header-lazy-download-strategy", Value),
            ("store.index-header-posting-offsets-in-mem-sampling", Value),
            ("store.posting-group-max-key-series-ratio", Value),
            ("tracing.config", Value),
            ("tracing.config-file", Value),
        ],
    ),
    (
        "compact",
        &[
            ("auto-gomemlimit.ratio", Value),
            ("block-discovery-strategy", Value),
            ("compact.skip-block-with-out-of-order-chunks", Nothing),
            ("debug.name", Value),
            ("enable-auto-gomemlimit", Nothing),
            ("tracing.config", Value),
            ("tracing.config-file", Value),
            ("web.external-prefix", Value),
            ("web.prefix-header", Value),
        ],
    ),
    (
        "query",
        &[
            ("alert.query-url", Value),
            ("auto-gomemlimit.ratio", Value),
            ("debug.name", Value),
            ("enable-auto-gomemlimit", Nothing),
            ("grpc-compression", Value),
            ("grpc.proxy-strategy", Value),
            ("query.conn-metric.label", Value),
            ("query.disable-fallback", Nothing),
            ("query.lazy-retrieval-max-buffered-responses", Value),
            ("query.max-concurrent-select", Value),
            ("query.promql-engine", Value),
            ("query.telemetry.request-duration-seconds-quantiles", Value),
            ("query.telemetry.request-samples-quantiles", Value),
            ("query.telemetry.request-series-seconds-quantiles", Value),
            ("request.logging-config", Value),
            ("request.logging-config-file", Value),
            ("store.sd-dns-resolver", Value),
            ("tracing.config", Value),
            ("tracing.config-file", Value),
        ],
    ),
];

/// Takes such flags out of `args` (the program's name first); the second list names those that were there.
pub fn drop_without_effect(args: Vec<String>) -> (Vec<String>, Vec<String>) {
    let names = args
        .iter()
        .skip(1)
        .find_map(|arg| NO_EFFECT.iter().find(|(command, _)| command == arg))
        .map_or(&[][..], |(_, names)| names);
    let (mut kept, mut dropped) = (Vec::with_capacity(args.len()), Vec::new());
    let mut args = args.into_iter().peekable();
    let mut only_positional = false;
    while let Some(arg) = args.next() {
        only_positional |= arg == "--";
        let flag = arg.strip_prefix("--").filter(|_| !only_positional).unwrap_or_default();
        let (name, inline) = flag.split_once('=').map_or((flag, false), |(name, _)| (name, true));
        let found = names.iter().find(|(known, takes)| {
            *known == name || (*takes == Nothing && name.strip_prefix("no-") == Some(known))
        });
        let Some((known, takes)) = found else {
            kept.push(arg);
            continue;
        };
        dropped.push(format!("--{known}"));
        if *takes == Value && !inline && args.peek().is_some_and(|next| !next.starts_with('-')) {
            args.next();
        }
    }
    (kept, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flags_of_the_subcommand_go() {
        let args = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        let (kept, dropped) = drop_without_effect(args(
            "tithon store --chunk-pool-size=1GB --no-enable-auto-gomemlimit --matcher-cache-size 9 --http-address=:1",
        ));
        assert_eq!(kept, args("tithon store --http-address=:1"));
        assert_eq!(dropped, ["--chunk-pool-size", "--enable-auto-gomemlimit", "--matcher-cache-size"]);
        for (given, left) in [
            ("tithon compact --enable-auto-gomemlimit -w", "tithon compact -w"),
            ("tithon compact --enable-auto-gomemlimit positional", "tithon compact positional"),
            ("tithon compact --debug.name x -w", "tithon compact -w"),
            ("tithon compact --debug.name -w", "tithon compact -w"),
            ("tithon compact -- --debug.name x", "tithon compact -- --debug.name x"),
            ("tithon query --no-query.disable-fallback --x", "tithon query --x"),
            ("tithon query --no-tracing.config --x", "tithon query --no-tracing.config --x"),
        ] {
            assert_eq!(drop_without_effect(args(given)).0, args(left), "{given}");
        }
        let (kept, dropped) = drop_without_effect(args("tithon query --chunk-pool-size=1GB"));
        assert_eq!((kept.len(), dropped.len()), (3, 0));
    }
}
