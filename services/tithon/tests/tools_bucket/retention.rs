//! `retention` with rules: what they would free, and that this is what goes.

use serde_json::Value;

use crate::{golden_copy, json, names, refused, told, tool};

const RAW: &str = "01HWXW0A00N2JP40HM8NDAQDMF";

#[test]
fn rules_say_what_they_free_and_free_it() {
    let (bucket, tmp) = (golden_copy(), tempfile::tempdir().unwrap());
    let path = bucket.path();
    let file = tmp.path().join("policy.yml");
    let rules = "- {match: '{cluster=\"eu1\"}', raw: 30d, 5m: 30d, 1h: 30d}\n\
                 - {match: up, raw: 30d, 5m: 30d, 1h: 30d}\n- {match: '{pod=\"app-0\"}', raw: 60d}\n";
    std::fs::write(&file, rules).unwrap();
    let policy = format!("--policy-file={}", file.display());
    let data = format!("--data-dir={}", tmp.path().join("data").display());
    let output = tool("retention", path, &[&policy, "--dry-run", "--output=json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dry: Value = serde_json::from_slice(&output.stdout).unwrap();
    let before = names(path);
    assert_eq!(dry["rules"].as_array().unwrap().len(), 4, "{dry}");
    // The block whose deletion mark is there already is not counted.
    assert_eq!(
        (&dry["rules"][0]["blocks_dropped"], &dry["rules"][0]["blocks_rewritten"]),
        (&2.into(), &0.into()),
        "{dry}"
    );
    assert!(
        dry["rules"][1]["series"].as_u64().unwrap() > 0 && dry["rules"][1]["blocks_dropped"] == 0,
        "{dry}"
    );
    assert_eq!(dry["rules"][3]["series"], 0, "{dry}");
    let table = String::from_utf8(tool("retention", path, &[&policy, "--dry-run"]).stdout).unwrap();
    assert!(table.contains("{__name__=\"up\"}") && table.contains("all other series"), "{table}");
    assert_eq!(names(path), before);
    told("retention", path, &[&policy, &data]);
    let mark = json(&path.join(RAW).join("deletion-mark.json"));
    assert_eq!(mark["details"], "block rewritten");
    let made = path.join(mark["replaced_by"][0].as_str().unwrap());
    let (old, new) = (json(&path.join(RAW).join("meta.json")), json(&made.join("meta.json")));
    assert!(new["stats"]["numSeries"].as_u64() < old["stats"]["numSeries"].as_u64());
    assert_eq!(new["compaction"], old["compaction"]);
    // Nothing is left to do.
    let output = tool("retention", path, &[&policy, "--dry-run", "--output=json"]);
    let dry: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(dry["rules"].as_array().unwrap().iter().all(|rule| rule["series"] == 0), "{dry}");
}

#[test]
fn mistakes_have_a_place() {
    let (bucket, tmp) = (golden_copy(), tempfile::tempdir().unwrap());
    let file = tmp.path().join("policy.yml");
    std::fs::write(&file, "- match: up\n  raw: thirty days\n").unwrap();
    let policy = format!("--policy-file={}", file.display());
    let output = tool("retention", bucket.path(), &[&policy, "--dry-run"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in [file.to_str().unwrap(), "line 2", "column 8", "raw"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(refused("retention", bucket.path(), &["--policy=[{match: up, 2h: 3d}]"]).contains("2h"));
}
