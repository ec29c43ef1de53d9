//! What the cells saw, a line of JSON each, for `cargo xtask` to make a table of.

use std::{fs::OpenOptions, io::Write, path::Path};

use serde_json::{Value, json};

use super::{
    cell::{Cell, Gap},
    client::{Client, Proof},
};

/// Writes down that a cell is proved, with as many pictures.
pub(super) fn proof(cell: &Cell, pictures: usize) {
    let proof = match cell.client.proof() {
        Proof::Decoded | Proof::DecodedAsBgr => format!("{pictures} pictures, bit by bit"),
        Proof::AccessUnits => format!("{pictures} access units, byte by byte"),
        Proof::Description => "codec, size, rate".to_owned(),
    };
    let mut line = place(cell);
    line["version"] = cell.client.version().into();
    line["proof"] = proof.into();
    write(&line);
}

/// Writes down why cells cannot be.
pub(super) fn gap(gap: &Gap) {
    for cell in Cell::all(gap.client).filter(gap.includes) {
        let mut line = place(&cell);
        line["gap"] = gap.why.into();
        write(&line);
    }
}

fn place(cell: &Cell) -> Value {
    let row = Client::ALL.iter().position(|client| *client == cell.client);
    json!({
        "client": cell.client.to_string(),
        "row": row,
        "transport": cell.transport.to_string(),
        "access": if cell.is_locked { "digest" } else { "open" },
        "family": if cell.host.is_ipv6() { "IPv6" } else { "IPv4" },
    })
}

fn write(line: &Value) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix.jsonl");
    let file = OpenOptions::new().append(true).create(true).open(&path);
    // One write, so that lines of tests in parallel do not mix.
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
