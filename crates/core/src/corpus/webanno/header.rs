//! The layers of a file and the column that holds its entities.

use std::io::Read;

use super::Lines;
use crate::corpus::{Column, Failure, LineProblem, ReadOptions};

const FORMAT: &str = "#FORMAT=WebAnno TSV ";
/// Layers that are not about entities start so, all but one.
const BUILT_IN: &str = "de.tudarmstadt.ukp.dkpro.core.api.";
const NAMED_ENTITY: &str = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity";

/// The columns of a file behind the token.
#[derive(Debug, Default)]
pub(super) struct Layers {
    columns: usize,
    spans: Vec<Layer>,
    chosen: Option<usize>,
}

/// A span layer.
#[derive(Debug)]
struct Layer {
    name: String,
    features: Vec<String>,
    /// The column of the first feature.
    column: usize,
}

impl Layers {
    /// Reads the header, up to a blank line.
    pub fn read<R: Read>(lines: &mut Lines<R>, options: &ReadOptions) -> Result<Self, Failure> {
        let mut layers = Self::default();
        match lines.next().transpose()? {
            Some((_, line)) if line.strip_prefix(FORMAT).is_some_and(|version| version.starts_with("3.")) => {}
            line => {
                let found = line.map_or_else(|| "nothing".to_owned(), |(_, line)| crate::corpus::excerpt(line));
                return Err(LineProblem::malformed(found, "`#FORMAT=WebAnno TSV 3.3`, 3.0 or one between").at(1));
            }
        }
        while let Some((number, line)) = lines.next().transpose()? {
            if line.trim().is_empty() {
                break;
            }
            let problem =
                || LineProblem::malformed(crate::corpus::excerpt(line), "a layer (`#T_SP=…`) or a blank line");
            layers.declare(line).ok_or_else(|| problem().at(number))?;
        }
        if options.labels {
            layers.chosen = layers.choose(&options.tag_column).map_err(Failure::Format)?;
        }
        Ok(layers)
    }

    /// How many columns there are behind the token.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The column of the entities.
    pub fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// Takes the line of a layer: its kind, its name and its columns; one without features has a column too.
    fn declare(&mut self, line: &str) -> Option<()> {
        let (kind, layer) = line.strip_prefix("#T_")?.split_once('=')?;
        let (name, features) = layer.split_once('|').unwrap_or((layer, ""));
        let features: Vec<String> = features.split('|').map(str::to_owned).collect();
        let column = self.columns;
        self.columns += features.len();
        match kind {
            "SP" => self.spans.push(Layer { name: name.to_owned(), features, column }),
            "CH" | "RL" => {}
            _ => return None,
        }
        Some(())
    }

    fn choose(&self, column: &Column) -> Result<Option<usize>, String> {
        if let Column::Name(name) = column {
            let lacks = || format!("there is no span layer with a feature `{name}`: {}", self.listed());
            return self.named(name).map(Some).ok_or_else(lacks);
        }
        let named_entity = |layer: &&Layer| layer.name == NAMED_ENTITY || layer.short() == "NamedEntity";
        let own: Vec<&Layer> = self.spans.iter().filter(|layer| !layer.name.starts_with(BUILT_IN)).collect();
        let layer = match (self.spans.iter().find(named_entity), own.as_slice()) {
            (Some(layer), _) => layer,
            (None, [layer]) => *layer,
            (None, []) => return Ok(None),
            (None, _) => return Err(format!("several span layers, and none is NamedEntity: {}", self.listed())),
        };
        let feature = match layer.features.iter().position(|feature| feature == "value") {
            Some(value) => Some(value),
            None if layer.features.len() == 1 && layer.name != NAMED_ENTITY => {
                Some(0).filter(|_| !layer.features[0].is_empty())
            }
            None => None,
        };
        let unclear =
            || format!("it is unclear which feature of layer {} is the type: {}", layer.short(), self.listed());
        feature.map(|feature| Some(layer.column + feature)).ok_or_else(unclear)
    }

    fn named(&self, name: &str) -> Option<usize> {
        let (layer, feature) = name.rsplit_once('.')?;
        let layer = self.spans.iter().find(|known| known.name == layer || known.short() == layer)?;
        layer.features.iter().position(|known| known == feature).map(|place| layer.column + place)
    }

    fn listed(&self) -> String {
        let feature = |layer: &Layer, feature: &String| format!("{}.{feature}", layer.short());
        let names: Vec<String> =
            self.spans.iter().flat_map(|layer| layer.features.iter().map(|f| feature(layer, f))).collect();
        format!("the file has {}; choose one with --tag-column LAYER.feature", names.join(", "))
    }
}

impl Layer {
    fn short(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(_, short)| short)
    }
}
