//! Tables of what congestion control does, kept as plain text under `tests/snapshots`, so that a change in behaviour is a
//! difference that a person can judge.
//!
//! `TAPSTACK_SNAPSHOTS=write cargo test --test simulation` writes them anew. Everything happens in virtual time and is
//! decided by seeds: the same code gives the same figures.

use std::path::Path;

/// The table is that of the snapshot.
#[track_caller]
pub fn assert_snapshot(name: &str, table: &str) {
    assert_kept(&format!("tests/snapshots/{name}.txt"), table);
}

/// The file is the one that is kept.
#[track_caller]
pub fn assert_kept(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("TAPSTACK_SNAPSHOTS").is_some() {
        std::fs::write(&path, table).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = kept.lines().zip(table.lines()).filter(|(kept, new)| kept != new);
    let differing: Vec<String> = differing.map(|(kept, new)| format!("- {kept}\n+ {new}")).collect();
    assert!(
        kept == table,
        "{name} is not what comes out (TAPSTACK_SNAPSHOTS=write takes it over):\n{}\n\nin full:\n{table}",
        differing.join("\n")
    );
}
