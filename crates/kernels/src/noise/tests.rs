//! Known answers of Philox, and moments and split invariance of its random numbers.

use super::*;

/// The known-answer vectors of the Random123 distribution (`kat_vectors`, philox4x32 10).
#[test]
fn philox_gives_the_known_answers() {
    let table = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([0xffff_ffff; 4], [0xffff_ffff; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, expected) in table {
        assert_eq!(philox_4x32_10(counter, key), expected);
    }
}

#[test]
fn a_batch_is_the_concatenation_of_its_parts() -> Result<()> {
    let stream = NoiseStream::new(7, 3);
    let whole = stream.normal_tensor(1 << 33, (5, 2, 3), &Device::Cpu)?;
    let parts = [(0, 2), (2, 3)].map(|(start, rows)| {
        stream.normal_tensor((1 << 33) + start, (rows as usize, 2, 3), &Device::Cpu).unwrap()
    });
    let parts = Tensor::cat(&parts, 0)?;
    assert_eq!(whole.flatten_all()?.to_vec1::<f32>()?, parts.flatten_all()?.to_vec1::<f32>()?);
    let row = &whole.flatten_all()?.to_vec1::<f32>()?[..6];
    let scalar: Vec<f32> = (0..6).map(|i| stream.normal(1 << 33, i) as f32).collect();
    assert_eq!(row, scalar);
    Ok(())
}

#[test]
fn normals_have_the_moments_of_the_normal_distribution() {
    let stream = NoiseStream::new(1, 0);
    let mut numbers = vec![0f32; 400_000];
    stream.fill_normal(0, &mut numbers);
    let moment =
        |k: i32| numbers.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / numbers.len() as f64;
    // Five standard errors of each moment at this sample size.
    for (k, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let tolerance = 5.0 * f64::sqrt(variance / numbers.len() as f64);
        assert!((moment(k) - expected).abs() < tolerance, "moment {k}: {}", moment(k));
    }
}

#[test]
fn streams_seeds_positions_and_elements_differ() {
    let base = NoiseStream::new(1, 1).words(1, 1);
    assert_ne!(base, NoiseStream::new(2, 1).words(1, 1));
    assert_ne!(base, NoiseStream::new(1, 2).words(1, 1));
    assert_ne!(base, NoiseStream::new(1, 1).words(2, 1));
    assert_ne!(base, NoiseStream::new(1, 1).words(1, 2));
}

#[test]
fn uniforms_stay_inside_and_integers_cover_their_range() {
    let stream = NoiseStream::new(5, 9);
    let mut seen = [0usize; 7];
    for position in 0..2000 {
        let u = stream.uniform(position, 1);
        assert!(0.0 < u && u < 1.0);
        seen[stream.below(position, 0, 7) as usize] += 1;
    }
    // 2000 / 7 = 286, standard deviation 15.6.
    assert!(seen.iter().all(|&n| (208..=364).contains(&n)), "{seen:?}");
    assert_eq!(stream.below(0, 0, 0), 0);
}
