use apprentice_core::{Draw, Plan, Pool, Pools, Regimen, RegimenError, Schedule};
use proptest::prelude::*;

const ORIGINAL_ONLY: Regimen = Regimen::OriginalOnly;
const SEQUENTIAL: Regimen = Regimen::Sequential { switch: 0.5, restart: true };
const SIMPLE_MIX: Regimen = Regimen::SimpleMix { switch: 0.5 };

fn plan(regimen: Regimen, epochs: usize, epoch_size: Option<usize>) -> Plan {
    Plan { regimen, pools: Pools { original: 3, distilled: 4 }, epochs, epoch_size, seed: 1 }
}

/// `o0` for original 0, `d2` for distilled 2; epochs apart by `/`.
fn drawn(plan: Plan) -> String {
    let name = |draw: &Draw| format!("{}{}", &draw.pool.to_string()[..1], draw.index);
    let epoch = |draws: Vec<Draw>| draws.iter().map(name).collect::<Vec<_>>().join(" ");
    plan.draws().unwrap().map(epoch).collect::<Vec<_>>().join(" / ")
}

fn shares(regimen: Regimen, epochs: usize) -> Vec<Option<f64>> {
    (0..epochs).map(|epoch| regimen.share(epoch, epochs)).collect()
}

#[test]
fn shares_follow_the_design() {
    let some = |shares: &[f64]| shares.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(shares(ORIGINAL_ONLY, 3), some(&[0.0, 0.0, 0.0]));
    assert_eq!(shares(Regimen::DistilledOnly, 3), some(&[1.0, 1.0, 1.0]));
    assert_eq!(shares(Regimen::All, 3), [None; 3]);
    for regimen in [SEQUENTIAL, SIMPLE_MIX] {
        assert_eq!(shares(regimen, 1), some(&[1.0]));
        assert_eq!(shares(regimen, 2), some(&[1.0, 0.0]));
        assert_eq!(shares(regimen, 5), some(&[1.0, 1.0, 0.0, 0.0, 0.0]));
        assert_eq!(shares(regimen, 6), some(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]));
    }
    assert_eq!(shares(Regimen::SimpleMix { switch: 0.0 }, 3), some(&[0.0, 0.0, 0.0]));
    assert_eq!(shares(Regimen::SimpleMix { switch: 1.0 }, 3), some(&[1.0, 1.0, 0.0]));
}

#[test]
fn the_schedule_restarts_at_the_switch_or_not() {
    assert_eq!(SEQUENTIAL.stages(6), [0..3, 3..6]);
    assert_eq!(SEQUENTIAL.stages(1), [0..1]);
    assert_eq!(SEQUENTIAL.stages(0), []);
    assert_eq!(Regimen::Sequential { switch: 0.0, restart: true }.stages(4), [0..4]);
    assert_eq!(Regimen::Sequential { switch: 0.5, restart: false }.stages(6), [0..6]);
    for regimen in [ORIGINAL_ONLY, Regimen::DistilledOnly, SIMPLE_MIX, Regimen::All] {
        assert_eq!(regimen.stages(6), [0..6]);
    }
    assert_eq!(SIMPLE_MIX.schedule(Schedule::Linear), Schedule::Constant);
    assert_eq!(SEQUENTIAL.schedule(Schedule::Linear), Schedule::Linear);
}

#[test]
fn complete_draws() {
    assert_eq!(drawn(plan(ORIGINAL_ONLY, 3, None)), "o1 o0 o2 / o1 o2 o0 / o1 o0 o2");
    assert_eq!(drawn(plan(Regimen::DistilledOnly, 2, None)), "d2 d3 d1 d0 / d1 d3 d0 d2");
    assert_eq!(drawn(plan(SEQUENTIAL, 4, None)), "d2 d3 d1 d0 / d1 d3 d0 d2 / o0 o2 o1 / o1 o2 o0");
    assert_eq!(drawn(plan(SIMPLE_MIX, 4, None)), drawn(plan(SEQUENTIAL, 4, None)));
    assert_eq!(drawn(plan(Regimen::All, 2, None)), "d3 o2 d2 o1 o0 d0 d1 / o0 d2 o1 o2 d1 d0 d3");
    assert_eq!(drawn(plan(ORIGINAL_ONLY, 3, Some(2))), "o2 o0 / o0 o1 / o2 o1");
    assert_eq!(drawn(plan(Regimen::All, 2, Some(5))), "d3 d1 d0 o1 o0 / d2 o1 d2 d1 o2");
}

#[test]
fn another_pool_or_more_epochs_do_not_change_the_draws() {
    let draws = |plan: Plan| plan.draws().unwrap().collect::<Vec<_>>();
    let short = draws(plan(ORIGINAL_ONLY, 3, None));
    assert_eq!(draws(plan(ORIGINAL_ONLY, 5, None))[..3], short);
    let alone = Plan { pools: Pools { original: 3, distilled: 0 }, ..plan(ORIGINAL_ONLY, 3, None) };
    assert_eq!(draws(alone), short);
    assert_ne!(draws(Plan { seed: 2, ..plan(ORIGINAL_ONLY, 3, None) }), short);
}

#[test]
fn what_a_regimen_lacks_is_named() {
    let pools = Pools { original: 3, distilled: 0 };
    let error = Plan { pools, ..plan(SEQUENTIAL, 4, None) }.draws().unwrap_err();
    assert_eq!(error, RegimenError::EmptyPool { regimen: "sequential", pool: Pool::Distilled });
    assert_eq!(
        error.to_string(),
        "regimen sequential needs distilled data and there is none: give some, or choose another regimen"
    );
    assert_eq!(plan(SEQUENTIAL, 4, Some(0)).lengths(), Err(RegimenError::EmptyEpoch));
    assert!(plan(Regimen::SimpleMix { switch: f64::NAN }, 4, None).draws().is_err());
}

#[test]
fn names_and_files() {
    for regimen in Regimen::DEFAULTS {
        assert_eq!(regimen.to_string().parse::<Regimen>().unwrap(), regimen);
        let json = serde_json::to_string(&regimen).unwrap();
        assert_eq!(serde_json::from_str::<Regimen>(&json).unwrap(), regimen, "{json}");
    }
    assert_eq!(
        "mix".parse::<Regimen>().unwrap_err().to_string(),
        "unknown regimen `mix`: expected original-only, distilled-only, sequential, simple-mix, all"
    );

    let read = |text: &str| toml::from_str::<Regimen>(text).map_err(|e| e.message().to_owned());
    assert_eq!(read("kind = \"sequential\""), Ok(SEQUENTIAL));
    assert_eq!(
        read("kind = \"sequential\"\nswitch = 0.25\nrestart = false"),
        Ok(Regimen::Sequential { switch: 0.25, restart: false })
    );
    assert!(read("kind = \"sequential\"\nswich = 0.25").unwrap_err().contains("unknown field `swich`"));
    assert!(read("kind = \"all\"\nswitch = 0.25").unwrap_err().contains("unknown field `switch`"));
    assert!(read("kind = \"simple-mix\"\nswitch = 1.5").unwrap_err().contains("switch = 1.5: expected a number"));
}

fn regimen() -> impl Strategy<Value = Regimen> {
    prop_oneof![
        Just(ORIGINAL_ONLY),
        Just(Regimen::DistilledOnly),
        Just(Regimen::All),
        (0.0..=1.0, any::<bool>()).prop_map(|(switch, restart)| Regimen::Sequential { switch, restart }),
        (0.0..=1.0).prop_map(|switch| Regimen::SimpleMix { switch }),
    ]
}

proptest! {
    #[test]
    fn a_pool_is_used_up_before_it_is_shuffled_again(
        regimen in regimen(),
        original in 1..20_usize,
        distilled in 1..20_usize,
        epochs in 0..7_usize,
        epoch_size in prop::option::of(1..40_usize),
        seed: u64,
    ) {
        let plan = Plan { regimen, pools: Pools { original, distilled }, epochs, epoch_size, seed };
        let lengths = plan.lengths().unwrap();
        let draws = plan.draws().unwrap();
        prop_assert_eq!(draws.len(), epochs);

        let mut times = [vec![0; original], vec![0; distilled]];
        for (draws, length) in draws.zip(lengths) {
            prop_assert_eq!(draws.len(), length);
            prop_assert_eq!(length, epoch_size.unwrap_or(length));
            for draw in draws {
                times[usize::from(draw.pool == Pool::Distilled)][draw.index] += 1;
            }
            // `all` walks through both as one.
            let decks = if regimen == Regimen::All { vec![times.concat()] } else { times.to_vec() };
            for times in decks {
                prop_assert!(times.iter().max().unwrap() - times.iter().min().unwrap() <= 1, "{times:?}");
            }
        }
        let steps: usize = plan.lengths().unwrap().iter().sum();
        prop_assert_eq!(times.concat().iter().sum::<usize>(), steps);
    }
}
