//! Which data in which epoch: curves, shares, draws, and how they are written.

use apprentice_core::{
    Batch, Budget, Course, Curve, Draw, Epoch, Plan, Pool, Pools, Regimen, RegimenError, Schedule, regimen::time,
};
use proptest::prelude::*;

const ORIGINAL_ONLY: Regimen = Regimen::OriginalOnly;
const SEQUENTIAL: Regimen = Regimen::Sequential { switch: 0.5, restart: true, reverse: false };
const SIMPLE_MIX: Regimen = Regimen::SimpleMix { switch: 0.5, reverse: false };

const fn blend(curve: Curve) -> Regimen {
    Regimen::Blend { curve, reverse: false }
}

/// Pools of examples of one token each.
fn pools(original: usize, distilled: &[usize]) -> Pools {
    let pool = |(index, &size): (usize, &usize)| Pool::new(format!("pool{index}"), vec![1; size]);
    let distilled = distilled.iter().enumerate().map(pool).collect();
    Pools { original: Pool::new("original", vec![1; original]), distilled }
}

fn plan(regimen: Regimen, epochs: usize, epoch_size: Option<usize>) -> Plan {
    Plan { epochs, epoch_size, ..Plan::new(regimen, pools(3, &[4])) }
}

/// `o0` for original 0, `d2` for number 2 of the first distilled pool, `e2` of the second; epochs apart by `/`.
fn drawn(plan: &Plan) -> String {
    let name = |draw: &Draw| format!("{}{}", ["o", "d", "e"][draw.pool], draw.index);
    let epoch = |epoch: Epoch| epoch.draws.iter().map(name).collect::<Vec<_>>().join(" ");
    plan.draws().unwrap().map(epoch).collect::<Vec<_>>().join(" / ")
}

fn shares(regimen: Regimen, epochs: usize) -> Vec<Option<f64>> {
    (0..epochs).map(|epoch| regimen.share(epoch, epochs)).collect()
}

/// How many of each epoch's draws come from each pool.
fn counts(plan: &Plan) -> Vec<Vec<usize>> {
    plan.outline().unwrap().into_iter().map(|epoch| epoch.drawn).collect()
}

/// To four digits.
fn rounded(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    values.into_iter().map(|value| (value * 1e4).round() / 1e4).collect()
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
    let simple_mix = |switch, reverse| shares(Regimen::SimpleMix { switch, reverse }, 3);
    assert_eq!(simple_mix(0.0, false), some(&[0.0, 0.0, 0.0]));
    assert_eq!(simple_mix(1.0, false), some(&[1.0, 1.0, 0.0]));
    assert_eq!(simple_mix(0.5, true), some(&[0.0, 1.0, 1.0]));
    let curve = Curve::Power { g: 2.0 };
    assert_eq!(shares(blend(curve), 3), some(&[1.0, 0.25, 0.0]));
    assert_eq!(shares(Regimen::Blend { curve, reverse: true }, 3), some(&[0.0, 0.75, 1.0]));
    assert_eq!(shares(blend(curve), 1), some(&[1.0]));
}

#[test]
fn complete_curves() {
    let at = |curve: Curve| rounded((0..5).map(|epoch| curve.at(time(epoch, 5))));
    assert_eq!(at(Curve::Linear), [1.0, 0.75, 0.5, 0.25, 0.0]);
    assert_eq!(at(Curve::Cosine), [1.0, 0.8536, 0.5, 0.1464, 0.0]);
    assert_eq!(at(Curve::Sigmoid { k: 10.0, mid: 0.5 }), [1.0, 0.9299, 0.5, 0.0701, 0.0]);
    assert_eq!(at(Curve::Sigmoid { k: 5.0, mid: 0.25 }), [1.0, 0.6324, 0.2648, 0.0701, 0.0]);
    assert_eq!(at(Curve::Power { g: 2.0 }), [1.0, 0.5625, 0.25, 0.0625, 0.0]);
    assert_eq!(at(Curve::Exponential { k: 5.0 }), [1.0, 0.2817, 0.0759, 0.0169, 0.0]);
    assert_eq!(at(Curve::Constant { c: 0.3 }), [0.3; 5]);
}

#[test]
fn the_schedule_restarts_at_the_switch_or_not() {
    let sequential = |switch, restart, reverse| Regimen::Sequential { switch, restart, reverse };
    assert_eq!(SEQUENTIAL.stages(6), [0..3, 3..6]);
    assert_eq!(SEQUENTIAL.stages(1), [0..1]);
    assert_eq!(SEQUENTIAL.stages(0), []);
    assert_eq!(sequential(0.0, true, false).stages(4), [0..4]);
    assert_eq!(sequential(0.5, false, false).stages(6), [0..6]);
    assert_eq!(sequential(0.5, true, true).stages(6), [0..3, 3..6]);
    for regimen in [ORIGINAL_ONLY, Regimen::DistilledOnly, SIMPLE_MIX, blend(Curve::Linear), Regimen::All] {
        assert_eq!(regimen.stages(6), [0..6]);
    }
    assert_eq!(SIMPLE_MIX.schedule(Schedule::Linear), Schedule::Constant);
    assert_eq!(SEQUENTIAL.schedule(Schedule::Linear), Schedule::Linear);
}

#[test]
fn complete_draws() {
    assert_eq!(drawn(&plan(ORIGINAL_ONLY, 3, None)), "o1 o0 o2 / o1 o2 o0 / o1 o0 o2");
    assert_eq!(drawn(&plan(Regimen::DistilledOnly, 2, None)), "d2 d3 d1 d0 / d1 d3 d0 d2");
    assert_eq!(drawn(&plan(SEQUENTIAL, 4, None)), "d2 d3 d1 d0 / d1 d3 d0 d2 / o0 o2 o1 / o1 o2 o0");
    assert_eq!(drawn(&plan(SIMPLE_MIX, 4, None)), drawn(&plan(SEQUENTIAL, 4, None)));
    assert_eq!(drawn(&plan(Regimen::All, 2, None)), "d3 o2 d2 o1 o0 d0 d1 / o0 d2 o1 o2 d1 d0 d3");
    assert_eq!(drawn(&plan(ORIGINAL_ONLY, 3, Some(2))), "o2 o0 / o0 o1 / o2 o1");
    assert_eq!(drawn(&plan(Regimen::All, 2, Some(5))), "d3 d1 d0 o1 o0 / d2 o1 d2 d1 o2");
}

#[test]
fn complete_draws_of_reverse_orders_and_blends() {
    let expected = [
        ("sequential:reverse", "o1 o0 o2 / o1 o2 o0 / d0 d1 d2 d3 / d1 d2 d0 d3"),
        ("simple-mix:reverse,switch=0.3", "o1 o0 o2 / d0 d2 d1 d3 / d1 d0 d3 d2 / d0 d2 d1 d3"),
        ("blend:linear", "d2 d0 d1 / d0 o2 d3 / o0 d1 o1 / o1 o2 o0"),
        ("blend:cosine", "d2 d0 d1 / d0 o2 d3 / o0 d1 o1 / o1 o2 o0"),
        ("blend:sigmoid", "d2 d0 d1 / d0 d1 d3 / o0 o2 o1 / o1 o2 o0"),
        ("blend:power", "d2 d0 d1 / o2 o0 d3 / o0 o1 o1 / o0 o1 o2"),
        ("blend:exponential", "d2 d0 d1 / o2 o0 d3 / o0 o1 o1 / o0 o1 o2"),
        ("blend:constant,c=0.4", "o0 o2 d1 / o1 o0 d0 / o1 d2 o2 / o0 o1 d3"),
        ("blend:linear,reverse", "o1 o0 o2 / o0 o1 d1 / d2 d0 o2 / d0 d1 d3"),
    ];
    let found = expected.map(|(regimen, _)| (regimen, drawn(&plan(regimen.parse().unwrap(), 4, None))));
    assert_eq!(found, expected.map(|(regimen, draws)| (regimen, draws.to_owned())));
}

#[test]
fn several_pools_divide_the_distilled_data() {
    let with = |shares: &[Option<&str>], epochs, epoch_size| {
        let mut plan = Plan { epochs, epoch_size, ..Plan::new(blend(Curve::Linear), pools(10, &[30, 10])) };
        for (pool, share) in plan.pools.distilled.iter_mut().zip(shares) {
            pool.share = share.map(|share| share.parse().unwrap());
        }
        plan
    };
    // By size, three to one.
    let by_size = with(&[None, None], 3, Some(8));
    assert_eq!(counts(&by_size), [[0, 6, 2], [4, 3, 1], [8, 0, 0]]);
    assert_eq!(counts(&with(&[Some("3"), Some("1")], 3, Some(8))), counts(&by_size));
    // Each with its own share over time.
    assert_eq!(counts(&with(&[Some("1..0"), Some("0..1")], 3, Some(8))), [[0, 8, 0], [4, 2, 2], [8, 0, 0]]);
    // An epoch of a blend is as large as the original data.
    assert_eq!(counts(&with(&[Some("1"), Some("1")], 3, None)), [[0, 5, 5], [5, 3, 2], [10, 0, 0]]);
    assert_eq!(drawn(&with(&[Some("1"), Some("1")], 2, Some(4))), "e2 e0 d28 d20 / o8 o5 o3 o2");

    let error = |shares: &[Option<&str>]| with(shares, 3, None).outline().unwrap_err().to_string();
    assert!(error(&[Some("1"), None]).starts_with("pool pool1 has no share and others have one"));
    assert!(error(&[Some("0..1"), Some("0")]).starts_with("in epoch 1 no distilled pool has a share above 0"));
    let mut plan = with(&[Some("1"), Some("1")], 3, None);
    plan.pools.distilled[1].tokens.clear();
    assert_eq!(
        plan.outline().unwrap_err(),
        RegimenError::EmptyPool { regimen: "blend:linear".into(), pool: "pool1".into() }
    );
    plan.pools.distilled[1].share = Some(Course::Constant(0.0));
    assert_eq!(counts(&plan)[0], [0, 10, 0]);
}

#[test]
fn weights_follow_their_course() {
    let mut plan = plan(blend(Curve::Linear), 3, None);
    plan.pools.original.weight = "0.5..1".parse().unwrap();
    plan.pools.distilled[0].weight = "1..0:power".parse().unwrap();
    let weights: Vec<Vec<f64>> = plan.draws().unwrap().map(|epoch| epoch.weights).collect();
    assert_eq!(weights, [[0.5, 1.0], [0.75, 0.25], [1.0, 0.0]]);
    plan.pools.original.weight = Course::Constant(-1.0);
    assert_eq!(plan.outline().unwrap_err().to_string(), "value `-1`: expected numbers from 0 to 1000000");
}

#[test]
fn a_budget_of_steps_is_met_exactly() {
    let steps = |steps, epochs| {
        let budget = Some(Budget::Steps(steps));
        let plan = Plan { epochs, budget, batch: Batch::Sentences(2), ..Plan::new(SEQUENTIAL, pools(3, &[4])) };
        plan.outline().map(|outline| outline.iter().map(|epoch| (epoch.steps, epoch.drawn.clone())).collect::<Vec<_>>())
    };
    // Epochs differ by one step at most; pools are walked through as often as it takes.
    assert_eq!(steps(11, 3).unwrap(), [(3, vec![0, 6]), (4, vec![8, 0]), (4, vec![8, 0])]);
    assert_eq!(
        steps(2, 3).unwrap_err().to_string(),
        "a budget of 2 steps leaves nothing for epoch 1 of 3: expected more, or fewer epochs"
    );
    let of_tokens = Plan { batch: Batch::Tokens(4), budget: Some(Budget::Steps(9)), ..plan(SEQUENTIAL, 3, None) };
    assert_eq!(of_tokens.outline().unwrap_err(), RegimenError::StepsOfTokens { budget: Budget::Steps(9) });
    let two = Plan { budget: Some(Budget::Steps(9)), ..plan(SEQUENTIAL, 3, Some(3)) };
    assert_eq!(two.outline().unwrap_err(), RegimenError::TwoSizes { budget: Budget::Steps(9) });
}

/// A plan whose examples have lengths from 1 to 9.
fn uneven(regimen: Regimen, epochs: usize, batch: Batch, budget: Option<Budget>) -> Plan {
    let lengths = |n: usize, of: usize| (0..n).map(|i| 1 + (i * 7 + of) % 9).collect();
    let pools = Pools {
        original: Pool::new("original", lengths(13, 0)),
        distilled: vec![Pool::new("a", lengths(11, 3)), Pool::new("b", lengths(5, 5))],
    };
    Plan { epochs, batch, budget, ..Plan::new(regimen, pools) }
}

#[test]
fn batches_of_tokens_hold_what_fits() {
    let plan = uneven(Regimen::All, 1, Batch::Tokens(10), None);
    let epoch = plan.draws().unwrap().next().unwrap();
    let length = |draw: &Draw| plan.pools.all().nth(draw.pool).unwrap().tokens[draw.index];
    let tokens: Vec<usize> = epoch.batches.iter().map(|b| epoch.draws[b.clone()].iter().map(length).sum()).collect();
    assert_eq!(tokens.iter().sum::<usize>(), plan.outline().unwrap()[0].tokens);
    assert!(tokens.iter().all(|tokens| *tokens <= 10), "{tokens:?}");
    // The first of the next batch would not have fitted.
    for (batch, tokens) in epoch.batches[1..].iter().zip(&tokens) {
        assert!(tokens + length(&epoch.draws[batch.start]) > 10);
    }
    // What is longer than a batch is one of its own.
    let small = Plan { batch: Batch::Tokens(4), ..plan };
    let epoch = small.draws().unwrap().next().unwrap();
    assert!(epoch.batches.iter().any(|b| b.len() == 1 && small.pools.original.tokens.len() > 4));
    let covered: Vec<usize> = epoch.batches.iter().flat_map(Clone::clone).collect();
    assert_eq!(covered, (0..epoch.draws.len()).collect::<Vec<_>>());
}

#[test]
fn a_budget_too_small_for_an_epoch_is_named() {
    let error = uneven(SEQUENTIAL, 9, Batch::Sentences(2), Some(Budget::Tokens(9))).outline().unwrap_err();
    assert!(matches!(error, RegimenError::Budget { budget: Budget::Tokens(9), epochs: 9, .. }), "{error}");
}

#[test]
fn another_pool_or_more_epochs_do_not_change_the_draws() {
    let draws = |plan: &Plan| plan.draws().unwrap().map(|epoch| epoch.draws).collect::<Vec<_>>();
    let short = draws(&plan(ORIGINAL_ONLY, 3, None));
    assert_eq!(draws(&plan(ORIGINAL_ONLY, 5, None))[..3], short);
    let alone = Plan { pools: pools(3, &[]), ..plan(ORIGINAL_ONLY, 3, None) };
    assert_eq!(draws(&alone), short);
    assert_ne!(draws(&Plan { seed: 2, ..plan(ORIGINAL_ONLY, 3, None) }), short);
}

#[test]
fn what_a_regimen_lacks_is_named() {
    let error = Plan { pools: pools(3, &[]), ..plan(SEQUENTIAL, 4, None) }.draws().unwrap_err();
    assert_eq!(error, RegimenError::EmptyPool { regimen: "sequential".into(), pool: "distilled".into() });
    assert_eq!(
        error.to_string(),
        "regimen sequential needs distilled data and there is none: give some, or choose another regimen"
    );
    assert_eq!(
        plan(SEQUENTIAL, 4, Some(0)).outline().unwrap_err().to_string(),
        "an epoch size of 0: expected at least 1"
    );
    let nowhere = plan(Regimen::SimpleMix { switch: f64::NAN, reverse: false }, 4, None).draws().unwrap_err();
    assert!(
        nowhere.to_string().starts_with("regimen `simple-mix:switch=NaN,reverse=false`: switch = NaN"),
        "{nowhere}"
    );
}

#[test]
fn short_names() {
    let read = |text: &str| text.parse::<Regimen>().map(|regimen| regimen.to_string()).map_err(|e| e.to_string());
    for name in [
        "original-only",
        "sequential",
        "sequential:switch=0.3,restart=false,reverse",
        "simple-mix:reverse",
        "blend:linear",
        "blend:sigmoid,k=5,reverse",
        "blend:constant,c=0.5",
        "all",
    ] {
        assert_eq!(read(name), Ok(name.to_owned()));
    }
    assert_eq!(read("blend: k = 10 , curve=sigmoid"), Ok("blend:sigmoid".to_owned()));
    for (name, problem) in [
        ("mix", "expected original-only, distilled-only, sequential, simple-mix, blend, all"),
        ("blend", "curve is missing: expected linear, cosine, sigmoid, power, exponential, constant"),
        ("blend:curve=sine", "unknown curve `sine`: expected linear, cosine, sigmoid, power, exponential, constant"),
        ("blend:constant", "c is missing: expected c=NUMBER"),
        ("blend:cosine,k=3", "unknown parameter `k`: expected curve, reverse"),
        ("blend:sigmoid,k=0", "k = 0: expected a number from 0.001 to 1000"),
        ("sequential:switch=soon", "switch is no number"),
        ("sequential:restart=1", "restart is neither true nor false"),
        ("sequential:switch=NaN", "switch = NaN: expected a number from 0 to 1"),
        ("all:reverse", "unknown parameter `reverse`: expected none"),
    ] {
        assert_eq!(read(name), Err(format!("regimen `{}`: {problem}", name.replace("curve=sine", "sine"))));
    }
}

/// Settings as a file has them.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Short {
    regimen: Regimen,
    share: Course,
}

#[test]
fn files() {
    let read = |text: &str| toml::from_str::<Regimen>(text).map_err(|e| e.message().to_owned());
    assert_eq!(read("kind = \"sequential\""), Ok(SEQUENTIAL));
    assert_eq!(
        read("kind = \"sequential\"\nswitch = 0.25\nrestart = false"),
        Ok(Regimen::Sequential { switch: 0.25, restart: false, reverse: false })
    );
    assert_eq!(
        read("kind = \"blend\"\ncurve = \"sigmoid\"\nk = 5\nreverse = true"),
        Ok(Regimen::Blend { curve: Curve::Sigmoid { k: 5.0, mid: 0.5 }, reverse: true })
    );
    assert!(read("kind = \"sequential\"\nswich = 0.25").unwrap_err().contains("unknown parameter `swich`"));
    assert!(read("kind = \"all\"\nswitch = 0.25").unwrap_err().contains("unknown parameter `switch`"));
    assert!(read("kind = \"simple-mix\"\nswitch = 1.5").unwrap_err().contains("switch = 1.5: expected a number"));
    // With every parameter, so that a file means the same when defaults change.
    let written = toml::to_string(&blend(Curve::Sigmoid { k: 10.0, mid: 0.5 })).unwrap();
    assert_eq!(written, "kind = \"blend\"\ncurve = \"sigmoid\"\nk = 10.0\nmid = 0.5\nreverse = false\n");

    let short = "regimen = \"blend:power,g=3\"\nshare = 2";
    let expected = Short { regimen: blend(Curve::Power { g: 3.0 }), share: Course::Constant(2.0) };
    assert_eq!(toml::from_str::<Short>(short), Ok(expected));
    let error = toml::from_str::<Short>("regimen = 3\nshare = 2").unwrap_err();
    assert!(error.message().contains("expected a name such as"), "{error}");
}

#[test]
fn courses() {
    let read = |text: &str| text.parse::<Course>().map(|course| course.to_string()).map_err(|e| e.to_string());
    for name in ["1", "0.25", "1..0", "0.5..2:cosine", "1..0:sigmoid,k=5"] {
        assert_eq!(read(name), Ok(name.to_owned()));
        let json = serde_json::to_string(&name.parse::<Course>().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Course>(&json).unwrap().to_string(), name, "{json}");
    }
    let at = |text: &str| rounded((0..5).map(|i| text.parse::<Course>().unwrap().at(f64::from(i) / 4.0)));
    assert_eq!(at("2..0"), [2.0, 1.5, 1.0, 0.5, 0.0]);
    assert_eq!(at("0..1:cosine"), [0.0, 0.1464, 0.5, 0.8536, 1.0]);
    for (name, problem) in [
        ("much", "expected a number, or two such as 1..0 or 1..0:cosine"),
        ("1..x", "expected a number, or two such as 1..0 or 1..0:cosine"),
        ("1..-1", "expected numbers from 0 to 1000000"),
        ("1..0:constant,c=0.5", "a constant curve goes nowhere: expected a number alone"),
        ("1..0:power,g=0", "g = 0: expected a number from 0.001 to 1000"),
    ] {
        assert_eq!(read(name), Err(format!("value `{name}`: {problem}")));
    }
}

fn curve() -> impl Strategy<Value = Curve> {
    prop_oneof![
        Just(Curve::Linear),
        Just(Curve::Cosine),
        (0.001..1000.0, 0.0..=1.0).prop_map(|(k, mid)| Curve::Sigmoid { k, mid }),
        (0.001..1000.0).prop_map(|g| Curve::Power { g }),
        (0.001..1000.0).prop_map(|k| Curve::Exponential { k }),
        (0.0..=1.0).prop_map(|c| Curve::Constant { c }),
    ]
}

fn regimen() -> impl Strategy<Value = Regimen> {
    prop_oneof![
        Just(ORIGINAL_ONLY),
        Just(Regimen::DistilledOnly),
        Just(Regimen::All),
        (0.0..=1.0, any::<bool>(), any::<bool>()).prop_map(|(switch, restart, reverse)| Regimen::Sequential {
            switch,
            restart,
            reverse
        }),
        (0.0..=1.0, any::<bool>()).prop_map(|(switch, reverse)| Regimen::SimpleMix { switch, reverse }),
        (curve(), any::<bool>()).prop_map(|(curve, reverse)| Regimen::Blend { curve, reverse }),
    ]
}

proptest! {
    #[test]
    fn a_curve_falls_from_1_to_0(curve in curve()) {
        let values: Vec<f64> = (0..=100).map(|i| curve.at(f64::from(i) / 100.0)).collect();
        prop_assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{values:?}");
        prop_assert!(values.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12), "{values:?}");
        if !matches!(curve, Curve::Constant { .. }) {
            prop_assert_eq!((values[0], values[100]), (1.0, 0.0));
        }
    }

    #[test]
    fn names_and_files_say_the_same(regimen in regimen()) {
        prop_assert_eq!(regimen.to_string().parse(), Ok(regimen));
        let json = serde_json::to_string(&regimen).unwrap();
        prop_assert_eq!(serde_json::from_str::<Regimen>(&json).unwrap(), regimen);
        prop_assert_eq!(toml::from_str::<Regimen>(&toml::to_string(&regimen).unwrap()).unwrap(), regimen);
    }

    #[test]
    fn no_text_makes_a_name_panic(text in ".{0,40}") {
        let _ = (text.parse::<Regimen>(), text.parse::<Schedule>(), text.parse::<Course>());
    }

    #[test]
    fn a_pool_is_used_up_before_it_is_shuffled_again(
        regimen in regimen(),
        original in 1..20_usize,
        distilled in prop::collection::vec(1..20_usize, 1..4),
        epochs in 0..7_usize,
        epoch_size in prop::option::of(1..40_usize),
        seed: u64,
    ) {
        let plan = Plan { epochs, epoch_size, seed, ..Plan::new(regimen, pools(original, &distilled)) };
        let outline = plan.outline().unwrap();
        let draws = plan.draws().unwrap();
        prop_assert_eq!(draws.len(), epochs);

        let mut times: Vec<Vec<usize>> = plan.pools.all().map(|pool| vec![0; pool.tokens.len()]).collect();
        for (epoch, outline) in draws.zip(&outline) {
            let length = epoch.draws.len();
            prop_assert_eq!(outline.drawn.iter().sum::<usize>(), length);
            prop_assert_eq!(length, epoch_size.unwrap_or(length));
            if let Some(share) = outline.share {
                prop_assert_eq!(length - outline.drawn[0], (share * length as f64).round() as usize);
            }
            for draw in epoch.draws {
                times[draw.pool][draw.index] += 1;
            }
            // `all` walks through all as one.
            let decks = if regimen == Regimen::All { vec![times.concat()] } else { times.clone() };
            for times in decks {
                prop_assert!(times.iter().max().unwrap() - times.iter().min().unwrap() <= 1, "{times:?}");
            }
        }
    }

    #[test]
    fn two_pools_share_to_the_nearest(share in 0.0..=1.0_f64, size in 1..60_usize) {
        let mut plan = Plan { epoch_size: Some(size), ..Plan::new(Regimen::DistilledOnly, pools(0, &[9, 9])) };
        plan.pools.distilled[0].share = Some(Course::Constant(share));
        plan.pools.distilled[1].share = Some(Course::Constant(1.0 - share));
        let drawn = &counts(&plan)[0];
        prop_assert!((drawn[1] as f64 - share * size as f64).abs() <= 0.5 + 1e-9, "{drawn:?}");
    }

    #[test]
    fn budgets_are_kept(
        regimen in regimen(),
        epochs in 1..6_usize,
        amount in 60..400_usize,
        batch in prop_oneof![(1..9_usize).prop_map(Batch::Sentences), (1..30_usize).prop_map(Batch::Tokens)],
    ) {
        let outline = uneven(regimen, epochs, batch, Some(Budget::Tokens(amount))).outline().unwrap();
        let mut spent = 0;
        for (number, epoch) in outline.iter().enumerate() {
            spent += epoch.tokens;
            let due = amount * (number + 1) / epochs;
            prop_assert!(spent <= due && spent + 9 > due, "epoch {number}: {spent} of {due}");
        }
        if matches!(batch, Batch::Sentences(_)) {
            let outline = uneven(regimen, epochs, batch, Some(Budget::Steps(amount))).outline().unwrap();
            prop_assert_eq!(outline.iter().map(|epoch| epoch.steps).sum::<usize>(), amount);
        }
    }

    #[test]
    fn an_epoch_is_the_same_wherever_one_starts(regimen in regimen(), number in 0..5_usize, tokens: bool) {
        let budget = tokens.then_some(Budget::Tokens(300));
        let plan = uneven(regimen, 5, Batch::Tokens(20), budget);
        let all: Vec<Epoch> = plan.draws().unwrap().collect();
        prop_assert_eq!(plan.draws().unwrap().nth(number), all.get(number).cloned());
    }
}
