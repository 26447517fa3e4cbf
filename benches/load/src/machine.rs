use std::fs::read_to_string;
use std::process::Command;

pub(crate) fn describe() -> String {
    let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&cpus, "model name").unwrap_or("a processor without a name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: Option<f64> =
        value(&memory, "MemTotal").and_then(|total| total.strip_suffix(" kB")?.parse().ok());
    let gib = kib.unwrap_or_default() / (1024.0 * 1024.0);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let programs: Vec<String> = [
        ("rustc", "--version"),
        ("redis-server", "--version"),
        ("node", "--version"),
        ("valgrind", "--version"),
    ]
    .into_iter()
    .map(|(program, option)| version(program, option))
    .collect();
    format!(
        "{model}, {cores} cores, {gib:.0} GiB, Linux {}. {}. Load average at the end: {load}.",
        kernel.trim(),
        programs.join(", "),
    )
}

fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

/// `rustc 1.95.0`, however the program prints it.
fn version(program: &str, option: &str) -> String {
    let output = Command::new(program).arg(option).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let said = said.unwrap_or_default();
    let words = said.split(|c: char| c.is_whitespace() || c == '=' || c == '-');
    let is_version = |word: &&str| {
        word.trim_start_matches('v')
            .starts_with(|c: char| c.is_ascii_digit())
    };
    match words.filter(|word| word.contains('.')).find(is_version) {
        Some(version) => format!("{program} {}", version.trim_start_matches('v')),
        None => format!("no {program}"),
    }
}
