use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::chart::{self, Bar, Line};
use crate::growth::{self, Axis};
use crate::results::Results;
use crate::server::{Kind, Route};
use crate::{MOST, ahead, goals, late, machine, profile, tables};

const TEXT: &str = include_str!("report.md");

/// Replaces every `{{name}}` of the text.
pub(crate) fn write(
    results: &Results,
    rounds: usize,
    measured: Duration,
    docs: &Path,
) -> Result<(), Box<dyn Error>> {
    draw(results, &docs.join("performance"))?;
    let mut text = TEXT.to_owned();
    let mut put = |name: &str, with: String| {
        text = text.replace(&format!("{{{{{name}}}}}"), with.trim_end());
    };
    put("machine", machine::describe());
    put("rounds", rounds.to_string());
    put("measured", format!("{measured:?}"));
    put("left-out", left_out(results));
    put("goals", goals::table(results));
    put("ahead", ahead::table(results));
    put("truths", tables::truths(results));
    put("lag", late::lag(results));
    put("faults", late::faults(results));
    put("ratios", tables::ratios(results));
    put("added", tables::added(results));
    put("traffic", tables::traffic(results));
    put("memory", tables::memory(results));
    put("costs", tables::costs(results));
    put("groups", profile::groups(results));
    put("functions-read", profile::functions(results, Route::Read));
    put("functions-set", profile::functions(results, Route::Set));
    put("mimalloc", tables::mimalloc(results));
    put("growth-connections", growth::CONNECTIONS.to_string());
    for axis in Axis::ALL {
        let table = tables::growth(&results.growth, axis);
        put(&format!("growth-{}", axis.name()), table);
    }
    for (name, route) in [
        ("bare", Route::Bare),
        ("read", Route::Read),
        ("count", Route::Count),
        ("count-unguarded", Route::CountUnguarded),
        ("set", Route::Set),
    ] {
        for connections in crate::CONNECTIONS {
            let table = tables::route(results, route, connections);
            put(&format!("{name}-{connections}"), table);
        }
    }
    fs::write(docs.join("performance.md"), text)?;
    Ok(())
}

fn left_out(results: &Results) -> String {
    let names: Vec<&str> = results.left_out.iter().map(|kind| kind.name).collect();
    match &names[..] {
        [] => String::new(),
        _ => format!(
            "Left out, because it could not be built or started here: {}.",
            names.join(", ")
        ),
    }
}

fn draw(results: &Results, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    draw_bars(results, folder)?;
    for axis in Axis::ALL {
        draw_growth(results, axis, folder)?;
    }
    Ok(())
}

fn draw_growth(results: &Results, axis: Axis, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut lines = Vec::new();
    for (index, (kind, route)) in growth::lines().enumerate() {
        let points = axis.amounts(kind).iter().filter_map(|&amount| {
            let cpu = results.growth.cpu((axis, kind, route, amount))?;
            Some((amount as f64, cpu))
        });
        lines.push(Line {
            label: format!("{}, {}", kind.name, route.path()),
            colour: index / 2,
            is_filled: route == Route::Read,
            points: points.collect(),
        });
    }
    // An empty logarithmic axis would never end.
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(());
    }
    let name = axis.name();
    let title = format!("CPU µs per request, by {name}");
    let path = folder.join(format!("growth-{name}.svg"));
    chart::lines(&path, &title, name, &lines)
}

fn draw_bars(results: &Results, folder: &Path) -> Result<(), Box<dyn Error>> {
    let parts = ["server", "Redis"];
    for (file, route) in [
        ("read", Route::Read),
        ("count", Route::Count),
        ("set", Route::Set),
    ] {
        let bars: Vec<Bar> = tables::rows(results, route)
            .map(|kind| cpu(results, kind, route))
            .collect();
        let title = format!("CPU µs per request of {}, {MOST} connections", route.path());
        chart::bars(&folder.join(format!("{file}.svg")), &title, parts, &bars)?;
    }
    let memory = results.memories.iter().map(|memory| Bar {
        label: memory.kind.name.into(),
        parts: [
            memory.server.max(0.0),
            if memory.kind.has_redis {
                memory.redis
            } else {
                0.0
            },
        ],
    });
    let memory: Vec<Bar> = memory.collect();
    chart::bars(
        &folder.join("memory.svg"),
        "Bytes of memory per session",
        parts,
        &memory,
    )
}

fn cpu(results: &Results, kind: Kind, route: Route) -> Bar {
    let median = |of| results.spread(kind, route, MOST, of).median;
    Bar {
        label: kind.name.into(),
        parts: [median(|s| s.server_cpu), median(|s| s.redis_cpu)],
    }
}
