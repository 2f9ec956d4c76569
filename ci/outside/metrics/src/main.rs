//! Metrics of two sets of features.

use uni_instruct_metrics::{Matrix, Moments, NEIGHBORS, frechet_distance, kid, prdc};

fn main() -> Result<(), uni_instruct_metrics::Error> {
    let features = |shift: f32| {
        let values = (0..200).map(|i| (0.7 * i as f32).sin() + shift).collect();
        Matrix::new("features", values, 2)
    };
    let (generated, reference) = (features(0.0)?, features(1.0)?);
    let [a, b] = [Moments::of(&generated).gaussian()?, Moments::of(&reference).gaussian()?];
    let distance = frechet_distance(&a, &b)?;
    assert!((distance - 2.0).abs() < 1e-5);
    assert!(0.0 < kid(&generated, &reference)?);
    assert!(prdc(&generated, &reference, NEIGHBORS)?.recall < 1.0);
    println!("metrics: Fréchet distance {distance:.4}");
    Ok(())
}
