//! What a run learns from.

use std::collections::BTreeSet;

use apprentice_core::{Batch, Plan, Pool, Pools, Sentence};

use crate::{Student, StudentError, TrainSettings, tokenize::Window};

/// Labelled sentences under a name.
#[derive(Debug, Clone, Copy)]
pub struct TrainingPool<'a> {
    /// What settings and reports call it.
    pub name: &'a str,
    /// The sentences.
    pub sentences: &'a [Sentence],
    /// What the loss of each sentence is multiplied by, beside the pool's own weight; 1 each if empty.
    pub weights: &'a [f32],
}

impl<'a> TrainingPool<'a> {
    /// The name of the human-labelled sentences.
    pub const ORIGINAL: &'static str = "original";
    /// The name of the sentences labelled by the teacher, where they are one pool.
    pub const DISTILLED: &'static str = "distilled";

    /// A pool whose sentences all weigh 1.
    #[must_use]
    pub const fn new(name: &'a str, sentences: &'a [Sentence]) -> Self {
        Self { name, sentences, weights: &[] }
    }

    fn check(&self) -> Result<(), StudentError> {
        let problem = |problem| Err(StudentError::Pool { name: self.name.to_owned(), problem });
        let (weights, sentences) = (self.weights.len(), self.sentences.len());
        if weights != 0 && weights != sentences {
            return problem(format!("{weights} weights for {sentences} sentences: expected one each, or none"));
        }
        match self.weights.iter().zip(self.sentences).find(|(weight, _)| !(**weight >= 0.0 && weight.is_finite())) {
            Some((weight, sentence)) => {
                problem(format!("sentence {} weighs {weight}: expected a number, 0 or larger", sentence.id()))
            }
            None => Ok(()),
        }
    }
}

/// What a run learns from and is measured on.
#[derive(Debug, Clone, Copy)]
pub struct TrainingData<'a> {
    /// Human-labelled sentences, called [`TrainingPool::ORIGINAL`].
    pub original: TrainingPool<'a>,
    /// Sentences labelled by the teacher, in one pool or several.
    pub distilled: &'a [TrainingPool<'a>],
    /// Scored after every epoch, to keep the best weights; without it the last weights are kept.
    pub dev: Option<&'a [Sentence]>,
}

impl<'a> TrainingData<'a> {
    /// Human-labelled sentences alone.
    #[must_use]
    pub const fn original(sentences: &'a [Sentence]) -> Self {
        Self { original: TrainingPool::new(TrainingPool::ORIGINAL, sentences), distilled: &[], dev: None }
    }

    /// All pools, the original data first.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &TrainingPool<'a>> {
        std::iter::once(&self.original).chain(self.distilled)
    }

    /// Checks names and weights, those of the settings too.
    pub(crate) fn check(&self, settings: &TrainSettings) -> Result<(), StudentError> {
        let mut names = BTreeSet::new();
        for pool in self.pools() {
            pool.check()?;
            if !names.insert(pool.name) {
                let problem = "two pools have this name: expected names of their own".to_owned();
                return Err(StudentError::Pool { name: pool.name.to_owned(), problem });
            }
        }
        let mut set = settings.pools.keys().map(String::as_str);
        set.find(|name| !names.contains(name)).map_or(Ok(()), |name| {
            let known = names.into_iter().collect::<Vec<_>>().join(", ");
            let problem = format!("there is none, but settings for it: the pools are {known}");
            Err(StudentError::Pool { name: name.to_owned(), problem })
        })
    }
}

/// A sentence as the training loop needs it.
pub(crate) struct Example {
    pub(crate) windows: Vec<Window>,
    /// The class of each word.
    pub(crate) classes: Vec<u32>,
    /// What the loss of each word is multiplied by, beside the pool's own weight.
    pub(crate) weights: Vec<f32>,
}

impl Example {
    /// Sub-words of all windows, special tokens included.
    fn tokens(&self) -> usize {
        self.windows.iter().map(|window| window.ids.len()).sum()
    }
}

/// Tokenises the sentences, looks up their classes and weighs their words.
pub(crate) fn examples(
    student: &Student,
    pool: &TrainingPool<'_>,
    settings: &TrainSettings,
    max_length: usize,
) -> Result<Vec<Example>, StudentError> {
    let windows = student.tokenizer.windows(pool.sentences, max_length)?;
    let weights = pool.weights.iter().copied().chain(std::iter::repeat(1.0));
    pool.sentences
        .iter()
        .zip(windows)
        .zip(weights)
        .map(|((sentence, windows), weight)| {
            let classes = student.labels.classes_of(sentence).map_err(|label| StudentError::UnknownType {
                id: sentence.id().to_owned(),
                label: label.to_string(),
                known: student.labels.types().into_iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", "),
            })?;
            let mut weights = vec![weight; classes.len()];
            for (index, entity) in sentence.entities().iter().enumerate().filter(|_| settings.weigh_by_confidence) {
                if let Some(confidence) = sentence.confidence(index) {
                    weights[entity.span.range()].iter_mut().for_each(|word| *word *= confidence.get() as f32);
                }
            }
            Ok(Example { windows, classes, weights })
        })
        .collect()
}

/// The plan of a run on these examples, pool by pool.
pub(crate) fn plan(settings: &TrainSettings, data: &TrainingData<'_>, examples: &[Vec<Example>]) -> Plan {
    let mut pools = data.pools().zip(examples).map(|(pool, examples)| {
        let own = settings.pools.get(pool.name).copied().unwrap_or_default();
        let tokens = examples.iter().map(Example::tokens).collect();
        Pool { share: own.share, weight: own.weight, ..Pool::new(pool.name, tokens) }
    });
    let original = pools.next().unwrap_or_else(|| Pool::new(TrainingPool::ORIGINAL, Vec::new()));
    let pools = Pools { original, distilled: pools.collect() };
    Plan {
        epochs: settings.epochs,
        epoch_size: settings.epoch_size,
        budget: settings.budget(),
        batch: settings.batch_tokens.map_or(Batch::Sentences(settings.batch_size), Batch::Tokens),
        seed: settings.seed,
        ..Plan::new(settings.regimen, pools)
    }
}
