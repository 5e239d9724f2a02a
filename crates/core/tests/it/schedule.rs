use apprentice_core::{Rates, Schedule, Warmup};

/// To four digits.
fn factors(schedule: Schedule, total: usize, warmup: usize) -> Vec<f64> {
    (0..=total).map(|step| (schedule.factor(step, total, warmup) * 1e4).round() / 1e4).collect()
}

#[test]
fn complete_sequences() {
    assert_eq!(factors(Schedule::Constant, 4, 0), [1.0; 5]);
    assert_eq!(factors(Schedule::Constant, 4, 2), [0.0, 0.5, 1.0, 1.0, 1.0]);
    assert_eq!(factors(Schedule::Linear, 5, 0), [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]);
    assert_eq!(factors(Schedule::Linear, 8, 4), [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]);
    assert_eq!(factors(Schedule::Cosine, 4, 0), [1.0, 0.8536, 0.5, 0.1464, 0.0]);
    assert_eq!(factors(Schedule::Cosine, 6, 2), [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]);
    assert_eq!(factors(Schedule::Polynomial { power: 2.0 }, 4, 0), [1.0, 0.5625, 0.25, 0.0625, 0.0]);
    assert_eq!(factors(Schedule::Polynomial { power: 3.0 }, 6, 2), [0.0, 0.5, 1.0, 0.4219, 0.125, 0.0156, 0.0]);
}

#[test]
fn odd_lengths() {
    assert_eq!(factors(Schedule::Linear, 0, 0), [0.0]);
    assert_eq!(factors(Schedule::Linear, 3, 3), [0.0, 0.3333, 0.6667, 0.0]);
    // A warm-up longer than the run never reaches the full rate.
    assert_eq!(factors(Schedule::Linear, 2, 4), [0.0, 0.25, 0.5]);
    assert_eq!(factors(Schedule::Linear, 1, 0), [1.0, 0.0]);
    for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Polynomial { power: 2.0 }] {
        assert!(schedule.factor(9, 5, 0).abs() < f64::EPSILON, "{schedule}");
    }
}

#[test]
fn every_stage_starts_again() {
    let rates = |stages: &[usize], warmup| {
        let rates = Rates { schedule: Schedule::Linear, warmup, stages: stages.to_vec() };
        (0..stages.iter().sum()).map(|step| rates.factor(step)).collect::<Vec<_>>()
    };
    let (none, quarter) = (Warmup::Steps(0), Warmup::Share(0.25));
    assert_eq!(rates(&[2, 4], none), [1.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
    assert_eq!(rates(&[0, 2], none), [1.0, 0.5]);
    // 0.25 of 2 is 0.5, rounded to 1; of 8 it is 2.
    assert_eq!(rates(&[2, 8], quarter)[..4], [0.0, 1.0, 0.0, 0.5]);
    assert_eq!(rates(&[2, 3], Warmup::Steps(1)), [0.0, 1.0, 0.0, 1.0, 0.5]);
    assert_eq!(rates(&[], none), [0.0; 0]);
    let over = Rates { schedule: Schedule::Constant, warmup: none, stages: vec![2] }.factor(7);
    assert!((over - 1.0).abs() < f64::EPSILON, "{over}");
}

#[test]
fn names() {
    for schedule in Schedule::KINDS {
        assert_eq!(schedule.parse::<Schedule>().unwrap().to_string(), schedule);
    }
    assert_eq!("polynomial:power=3".parse::<Schedule>().unwrap().to_string(), "polynomial:power=3");
    assert_eq!(serde_json::to_string(&Schedule::Linear).unwrap(), r#""linear""#);
    assert_eq!(serde_json::to_string(&Schedule::Polynomial { power: 2.0 }).unwrap(), r#""polynomial:power=2""#);
    assert_eq!(serde_json::from_str::<Schedule>(r#""constant""#).unwrap(), Schedule::Constant);
    let table = r#"{"kind": "polynomial", "power": 3}"#;
    assert_eq!(serde_json::from_str::<Schedule>(table).unwrap(), Schedule::Polynomial { power: 3.0 });
    let error = |text: &str| text.parse::<Schedule>().unwrap_err().to_string();
    assert_eq!(error("step"), "schedule `step`: expected constant, linear, cosine, polynomial");
    assert_eq!(
        error("polynomial:power=0"),
        "schedule `polynomial:power=0`: power = 0: expected a number from 0.001 to 1000"
    );
}
