//! Flags of Thanos that tune a mechanism Tithon does not have: accepted, said to have no effect, dropped.

/// Names per subcommand, without the dashes. None of these changes an answer.
const NO_EFFECT: &[(&str, &[&str])] = &[
    (
        "store",
        &[
            "auto-gomemlimit.ratio",
            "block-discovery-strategy",
            "chunk-pool-size",
            "debug.estimated-max-chunk-size",
            "debug.estimated-max-series-size",
            "debug.series-batch-size",
            "enable-auto-gomemlimit",
            "index-cache-size",
            "matcher-cache-size",
            "store.enable-index-header-lazy-reader",
            "store.enable-lazy-expanded-postings",
            "store.index-header-lazy-download-strategy",
            "store.index-header-lazy-reader-idle-timeout",
            "store.index-header-posting-offsets-in-mem-sampling",
            "store.posting-group-max-key-series-ratio",
            "tracing.config",
            "tracing.config-file",
        ],
    ),
    (
        "compact",
        &[
            "auto-gomemlimit.ratio",
            "block-discovery-strategy",
            "compact.skip-block-with-out-of-order-chunks",
            "debug.name",
            "enable-auto-gomemlimit",
            "tracing.config",
            "tracing.config-file",
            "web.external-prefix",
            "web.prefix-header",
        ],
    ),
    (
        "query",
        &[
            "auto-gomemlimit.ratio",
            "enable-auto-gomemlimit",
            "grpc.proxy-strategy",
            "query.conn-metric.label",
            "query.disable-fallback",
            "query.lazy-retrieval-max-buffered-responses",
            "query.max-concurrent-select",
            "store.sd-dns-resolver",
            "store.unhealthy-timeout",
            "tracing.config",
            "tracing.config-file",
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
    while let Some(arg) = args.next() {
        let flag = arg.strip_prefix("--").map(|f| f.strip_prefix("no-").unwrap_or(f)).unwrap_or_default();
        let (name, inline) = flag.split_once('=').map_or((flag, false), |(name, _)| (name, true));
        if !names.contains(&name) {
            kept.push(arg);
            continue;
        }
        dropped.push(format!("--{name}"));
        // `--flag value`: the value goes too. Booleans stand alone, and what follows them is another flag.
        if !inline && args.peek().is_some_and(|next| !next.starts_with("--")) {
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
            "tithon store --chunk-pool-size=1GB --no-enable-auto-gomemlimit --index-cache-size 2GB --matcher-cache-size 9 --http-address=:1",
        ));
        assert_eq!(kept, args("tithon store --http-address=:1"));
        assert_eq!(
            dropped,
            ["--chunk-pool-size", "--enable-auto-gomemlimit", "--index-cache-size", "--matcher-cache-size"]
        );
        let (kept, dropped) = drop_without_effect(args("tithon query --chunk-pool-size=1GB"));
        assert_eq!((kept.len(), dropped.len()), (3, 0));
    }
}
