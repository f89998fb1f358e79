//! The peers' versions, from the lock files this program was built with.

const CARGO_LOCK: &str = include_str!("../../../Cargo.lock");
const GO_MODS: [&str; 2] = [include_str!("../go/go.mod"), include_str!("../go-kafka/go.mod")];
const POM: &str = include_str!("../java/pom.xml");

/// The locked version of a crate (the newest where there are several).
pub(crate) fn of_crate(name: &str) -> String {
    let found = CARGO_LOCK.split("[[package]]").filter_map(|package| {
        let field = |key: &str| {
            let line = package.lines().find(|line| line.starts_with(key))?;
            Some(line.split('"').nth(1)?.to_owned())
        };
        (field("name = ")? == name).then(|| field("version = ")).flatten()
    });
    found.last().unwrap_or_else(|| "?".to_owned())
}

/// The version of a Go module.
pub(crate) fn of_go_module(path: &str) -> String {
    let line = GO_MODS.iter().flat_map(|text| text.lines()).map(str::trim).find_map(|line| {
        line.trim_start_matches("require ").strip_prefix(path).and_then(|rest| rest.strip_prefix(' '))
    });
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
}

/// A version that stands among the properties of the Java peers' project.
pub(crate) fn of_maven(property: &str) -> String {
    let (open, close) = (format!("<{property}>"), format!("</{property}>"));
    let found = POM.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    found.map_or_else(|| "?".to_owned(), |(version, _)| version.to_owned())
}

/// The Linux kernel, for what needs no library.
pub(crate) fn of_kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "?".to_owned(), |release| format!("Linux {}", release.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_files() {
        assert!(of_crate("tokio").starts_with("1."));
        assert_eq!(of_crate("no-such-crate"), "?");
        assert!(of_go_module("golang.org/x/time").starts_with('v'));
        assert_eq!(of_go_module("golang.org/x/tim"), "?");
        assert!(of_go_module("github.com/twmb/franz-go").starts_with('v'));
        assert!(of_maven("parallel-consumer.version").starts_with("0."));
        assert_eq!(of_maven("no-such"), "?");
    }
}
