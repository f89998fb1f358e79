use crate::client::{Client, Name, bytes};
use crate::finding::Finding;

/// Eight times Java's default; more only hides for longer that the broker does not keep up.
const BYTES_MAX: f64 = 256.0 * 1024.0 * 1024.0;

/// A producer's buffer without a bound, or with one that the machine meets first.
pub(super) fn check(client: &Client) -> Option<Finding> {
    let setting = client.get(Name::BufferBytes).or_else(|| client.get(Name::BufferRecords))?;
    let kbytes = setting.written.ends_with("kbytes");
    let size = bytes(&setting.value)? * if kbytes { 1024.0 } else { 1.0 };
    let unbounded = size <= 0.0;
    if !unbounded && (setting.name == Name::BufferRecords || size <= BYTES_MAX) {
        return None;
    }
    let said = if unbounded { "no bound" } else { "more than 256 MiB" };
    Some(Finding::new(
        "kafka/buffer-memory",
        setting.line,
        format!("`{}` is {}: {said}", setting.written, setting.value),
        "while the broker is away or slow the producer gathers records until the process is killed for its \
         memory, and all of them are lost",
        "bound it by what the container can spare (32 MiB is Java's default), and decide what happens when it \
         is full: wait with a limit, refuse, or write to disk",
    ))
}
