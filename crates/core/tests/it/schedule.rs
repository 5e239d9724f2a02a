use apprentice_core::Schedule;

fn factors(schedule: Schedule, total: usize, warmup: usize) -> Vec<f64> {
    (0..=total).map(|step| schedule.factor(step, total, warmup)).collect()
}

#[test]
fn complete_sequences() {
    assert_eq!(factors(Schedule::Constant, 4, 0), [1.0; 5]);
    assert_eq!(factors(Schedule::Constant, 4, 2), [0.0, 0.5, 1.0, 1.0, 1.0]);
    assert_eq!(factors(Schedule::Linear, 5, 0), [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]);
    assert_eq!(factors(Schedule::Linear, 8, 4), [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]);
}

#[test]
fn odd_lengths() {
    assert_eq!(factors(Schedule::Linear, 0, 0), [0.0]);
    assert_eq!(factors(Schedule::Linear, 3, 3), [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]);
    // A warm-up longer than the run never reaches the full rate.
    assert_eq!(factors(Schedule::Linear, 2, 4), [0.0, 0.25, 0.5]);
    assert_eq!(factors(Schedule::Linear, 1, 0), [1.0, 0.0]);
    assert!(Schedule::Linear.factor(9, 5, 0).abs() < f64::EPSILON);
}

#[test]
fn names() {
    assert_eq!(serde_json::to_string(&Schedule::Linear).unwrap(), r#""linear""#);
    assert_eq!(serde_json::from_str::<Schedule>(r#""constant""#).unwrap(), Schedule::Constant);
}
