//! README.md and the guide: short, without dead links, with measured figures.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rocket::figment::Figment;
use rocket::figment::providers::{Format as _, Toml};
use rocket_typed_session::store::configured_redis;

use crate::app::Visit;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<(PathBuf, String)> {
    let chapters = fs::read_dir(root().join("src/guide")).unwrap();
    let chapters = chapters.map(|entry| entry.unwrap().path());
    let paths = chapters.chain([root().join("README.md")]);
    let mut documents: Vec<_> = paths
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    documents.sort();
    documents
}

fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    let heading = heading.to_lowercase();
    heading
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    let parts = text.split("```").step_by(2);
    parts.collect()
}

fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let inline = prose.split("](").skip(1);
    let inline = inline.filter_map(|rest| rest.split_once(')'));
    let inline = inline.map(|(target, _)| target.to_owned());
    let defined = prose.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: "));
    let defined = defined.map(|(_, target)| target.to_owned());
    inline.chain(defined).collect()
}

#[test]
fn each_document_is_short() {
    for (path, text) in documents() {
        let most = if path.ends_with("README.md") {
            180
        } else {
            160
        };
        let lines = text.lines().count();
        assert!(lines <= most, "{}: {lines}, write less", path.display());
    }
}

/// Rustdoc checks the links to items and chapters (`crate`, `macro@crate`).
#[test]
fn each_link_leads_to_a_file() {
    let mut seen = 0;
    for (path, text) in documents() {
        for target in targets(&text) {
            let is_elsewhere = ["https://", "crate::", "macro@crate::", "#"];
            if is_elsewhere.iter().any(|start| target.starts_with(start)) {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let file = path.parent().unwrap().join(file);
            assert!(file.exists(), "{}: {target}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Rustdoc checks the chapter, but not its heading.
#[test]
fn each_link_to_a_heading_has_one() {
    let documents = documents();
    let mut seen = 0;
    for (path, text) in &documents {
        for target in targets(text) {
            let chapter = target.strip_prefix("crate::guide::");
            let Some((chapter, heading)) = chapter.and_then(|target| target.split_once('#')) else {
                continue;
            };
            let (_, text) = documents
                .iter()
                .find(|(path, _)| path.file_stem().unwrap() == chapter)
                .unwrap();
            let prose = prose(text);
            let mut headings = prose.lines().filter_map(|line| line.strip_prefix("## "));
            let is_there = headings.any(|line| anchor(line) == heading);
            assert!(is_there, "{}: {target}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn each_chapter_is_in_the_guide_and_in_the_readme() {
    let guide = fs::read_to_string(root().join("src/guide.rs")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (path, text) in documents() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "README" {
            continue;
        }
        assert!(guide.contains(&format!("]({name})")), "{name}: not listed");
        assert!(
            guide.contains(&format!("\n    {name}\n")),
            "{name}: no module"
        );
        assert!(readme.contains(&format!("(src/guide/{name}.md)")), "{name}");
        let compiled = text.contains("```rust\n");
        assert!(compiled || name == "comparison", "{name}: no program");
        assert!(
            !text.contains("```rust,"),
            "{name}: a program that does not run"
        );
    }
}

/// When `benches/run` rewrites the figures, update the guide's comparison.
#[test]
fn each_figure_of_the_comparison_was_measured() {
    let measured = fs::read_to_string(root().join("docs/performance.md")).unwrap();
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    let measured: BTreeSet<&str> = measured.split(|letter| !is_part(letter)).collect();
    let comparison = include_str!("../../src/guide/comparison.md");
    let rows = comparison
        .lines()
        .filter(|line| line.trim_start().starts_with('|'));
    let cells = rows.flat_map(|row| row.split('|').map(str::trim));
    let figures = cells.filter(|cell| !cell.is_empty() && cell.chars().all(is_part));
    let mut seen = 0;
    for figure in figures {
        assert!(measured.contains(figure), "{figure}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn its_line_for_redis_is_read() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block = readme.split("```toml\ndefault.").nth(1).unwrap();
    let line = block.split("```").next().unwrap();
    let figment = Figment::from(rocket::Config::default());
    let figment = figment.merge(Toml::string(&format!("default.{line}")).nested());
    let store = configured_redis::<Visit>(&figment).unwrap();
    assert_eq!(store.address(), "127.0.0.1:6379/0");
}

fn guarantees() -> Vec<(usize, String)> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let readme = readme.replace("\n    ", " ").replace("\n   ", " ");
    let bold = readme.lines().filter_map(|line| {
        let (number, rest) = line.split_once(". **")?;
        let (title, _) = rest.split_once(".**")?;
        Some((number.parse().ok()?, title.to_owned()))
    });
    bold.collect()
}

/// SECURITY.md's table and the groups of `main.rs` say which tests prove the README's guarantees.
#[test]
fn each_guarantee_has_its_tests() {
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let main = include_str!("main.rs");
    let guarantees = guarantees();
    assert_eq!(guarantees.len(), 12);
    for (index, (number, title)) in guarantees.into_iter().enumerate() {
        assert_eq!(number, index + 1);
        let (_, group) = main
            .split_once(&format!("\n// {number}. {title}.\n"))
            .unwrap_or_else(|| panic!("main.rs has no group \"{number}. {title}\""));
        let group = group.split("\n\n").next().unwrap();
        let files = group.lines().filter_map(|line| line.strip_prefix("mod "));
        let files: Vec<_> = files.map(|file| file.trim_end_matches(';')).collect();
        assert!(!files.is_empty(), "{title}");
        let row = format!("| {number} | {title} | `{}` |", files.join("`, `"));
        assert!(security.contains(&row), "SECURITY.md lacks the row\n{row}");
    }
}
