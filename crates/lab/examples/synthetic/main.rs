//! Writes reports on experiments that never were, to look at: `cargo run -p apprentice-lab --example synthetic -- DIRECTORY`.

mod ledger;

use std::{error::Error, io::Write, path::Path};

use apprentice_core::files::write_atomic;
use apprentice_lab::report::{Report, Settings};
use ledger::{BUDGET, Fate, REGIMENS, Texts, fill, skill};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("expected a directory")?;
    let root = Path::new(&root);
    let done = |point: &apprentice_lab::System, seed| Fate::Done(skill(point, seed));
    let partly = |point: &apprentice_lab::System, seed| match (point.name.as_str(), seed) {
        ("all", 4) => Fate::Failed("the loss is not a number after step 31: a lower learning rate may help"),
        (_, 5) => Fate::Pending,
        _ => Fate::Done(skill(point, seed)),
    };
    let mut texts = Texts::default();
    texts.sizes.extend([("original", 800), ("cot", 400), ("standard", 400)]);
    // What a text may hold that a page must not run.
    let mut hostile = Texts::default();
    hostile.sizes.extend([("original", 60), ("cot", 60), ("standard", 60), ("test", 60), ("dev", 60)]);
    hostile.words.extend([
        "<script>document.title='run'</script>",
        "\"><img/src=x/onerror=document.title='run'>",
        "&amp;",
        "{{title}}",
    ]);
    hostile.types[0].0 = "<svg/onload=document.title='run'>";
    let title = "<script>document.title='run'</script>\\\"><img src=x onerror=document.title='run'>";
    let evil = REGIMENS
        .replace("Which regimen", title)
        .replace("a model, standard", title)
        .replace("\"regimens\"", "\"hostile\"");
    for (name, text, texts, fate) in [
        ("regimens", REGIMENS, &texts, &done as &(dyn Fn(&_, _) -> _ + Sync)),
        ("partly", &REGIMENS.replace("\"regimens\"", "\"partly\""), &texts, &partly),
        ("budget", BUDGET, &texts, &done),
        ("hostile", &evil, &hostile, &done),
    ] {
        let (ledger, grid) = fill(&root.join("ledger"), text, texts, fate);
        let report = Report::of(&ledger, &grid, &Settings::default())?;
        let folder = root.join(name);
        std::fs::create_dir_all(&folder)?;
        let mut files =
            vec![("report.html", report.html()?), ("report.md", report.markdown()), ("report.tex", report.latex())];
        files.push(("report.json", serde_json::to_string_pretty(&report)?));
        files.extend(report.csv());
        for (file, content) in files {
            write_atomic(&folder.join(file), true, |out| out.write_all(content.as_bytes()))?;
        }
    }
    Ok(())
}
