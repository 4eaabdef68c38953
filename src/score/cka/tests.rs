//! Properties of the similarity, and a second computation straight from the definitions.

use super::*;
use ndarray::array;
use proptest::prelude::*;

/// Rows × columns of moderate numbers, never constant.
fn matrix(rows: usize, columns: usize) -> impl Strategy<Value = Array2<f64>> {
    proptest::collection::vec(-10.0..10.0_f64, rows * columns)
        .prop_map(move |v| Array2::from_shape_vec((rows, columns), v).expect("rows x columns"))
        .prop_filter("constant", |m| Reference::new(m.view()).is_ok())
}

/// Two representations of the same samples, wide and narrow.
fn pair(fewest: usize) -> impl Strategy<Value = (Array2<f64>, Array2<f64>)> {
    (fewest..12_usize, 1..16_usize, 1..16_usize)
        .prop_flat_map(|(n, p, q)| (matrix(n, p), matrix(n, q)))
}

/// An orthogonal matrix: the product of reflections at hyperplanes with the given normals.
fn orthogonal(normals: &Array2<f64>) -> Array2<f64> {
    let mut product = Array2::eye(normals.ncols());
    for normal in normals.rows() {
        let outer = normal
            .insert_axis(Axis(1))
            .dot(&normal.insert_axis(Axis(0)));
        product =
            product.dot(&(Array2::eye(normals.ncols()) - outer * (2.0 / normal.dot(&normal))));
    }
    product
}

fn hsic(k: &Array2<f64>, l: &Array2<f64>) -> f64 {
    let n = k.nrows();
    let h = Array2::<f64>::eye(n) - Array2::from_elem((n, n), 1.0 / n as f64);
    k.dot(&h).dot(l).dot(&h).diag().sum() / (n as f64 - 1.0).powi(2)
}

/// Song et al. 2012, equation 5, term by term.
fn unbiased_hsic(k: &Array2<f64>, l: &Array2<f64>) -> f64 {
    let n = k.nrows() as f64;
    let hollow = |m: &Array2<f64>| m - &Array2::from_diag(&m.diag());
    let (k, l) = (hollow(k), hollow(l));
    let trace = k.dot(&l).diag().sum();
    let sums = k.sum() * l.sum() / ((n - 1.0) * (n - 2.0));
    let rows = 2.0 / (n - 2.0) * k.dot(&l).sum();
    (trace + sums - rows) / (n * (n - 3.0))
}

fn by_definition(
    x: &Array2<f64>,
    y: &Array2<f64>,
    hsic: fn(&Array2<f64>, &Array2<f64>) -> f64,
) -> f64 {
    let (k, l) = (x.dot(&x.t()), y.dot(&y.t()));
    hsic(&k, &l) / (hsic(&k, &k) * hsic(&l, &l)).sqrt()
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

proptest! {
    #[test]
    fn equals_the_definition_by_hsic((x, y) in pair(2)) {
        // The definition centres products of what is not centred: of a small rest of large numbers it keeps few digits.
        let varies = |m: &Array2<f64>| {
            let mean = m.mean_axis(Axis(0)).unwrap();
            sum_of_squares(&(m - &mean)) > 1e-3 * sum_of_squares(m)
        };
        prop_assume!(varies(&x) && varies(&y));
        let found = cka(x.view(), y.view()).unwrap();
        let expected = by_definition(&x, &y, hsic);
        prop_assert!(close(found, expected, 1e-9), "{found} is not {expected}");
    }

    #[test]
    fn debiased_equals_the_definition_by_unbiased_hsic((x, y) in pair(6)) {
        // Where almost nothing is left of the self-similarity, both sides divide rounding by rounding.
        let own = |m: &Array2<f64>| {
            let k = m.dot(&m.t());
            unbiased_hsic(&k, &k) / hsic(&k, &k)
        };
        prop_assume!(own(&x) > 1e-4 && own(&y) > 1e-4);
        let found = debiased_cka(x.view(), y.view()).unwrap();
        let expected = by_definition(&x, &y, unbiased_hsic);
        prop_assert!(close(found, expected, 1e-9), "{found} is not {expected}");
        prop_assert!(found <= 1.0 + 1e-12);
    }

    #[test]
    fn a_representation_equals_itself(x in (2..12_usize, 1..16_usize).prop_flat_map(|(n, p)| matrix(n, p))) {
        prop_assert!(close(cka(x.view(), x.view()).unwrap(), 1.0, 1e-12));
    }

    #[test]
    fn rotation_scale_and_offset_change_nothing(
        (x, y, normals, offset) in (2..12_usize, 1..10_usize, 1..10_usize).prop_flat_map(|(n, p, q)| {
            (matrix(n, p), matrix(n, q), matrix(3, q), matrix(2, q))
        }),
        scale in prop_oneof![-1e3..-1e-3, 1e-3..1e3],
    ) {
        prop_assume!(normals.rows().into_iter().all(|normal| normal.dot(&normal) > 1e-3));
        let before = cka(x.view(), y.view()).unwrap();
        let moved: Array2<f64> = y.dot(&orthogonal(&normals)) * scale + offset.row(0);
        let after = cka(x.view(), moved.view()).unwrap();
        prop_assert!(close(before, after, 1e-9), "{before} became {after}");
    }

    #[test]
    fn is_symmetric_and_within_0_and_1((x, y) in pair(2)) {
        let there = cka(x.view(), y.view()).unwrap();
        prop_assert!(close(there, cka(y.view(), x.view()).unwrap(), 1e-12));
        prop_assert!((0.0..=1.0 + 1e-12).contains(&there));
    }

    #[test]
    fn feature_space_equals_gram_space((x, y) in pair(2)) {
        let centred = |space| {
            let x = Prepared::new(x.view(), space, Side::Reference).unwrap();
            let y = Prepared::new(y.view(), space, Side::Candidate).unwrap();
            [x.own, y.own, x.cross(&y)]
        };
        for (features, gram) in centred(Space::Features).into_iter().zip(centred(Space::Gram)) {
            prop_assert!(close(features, gram, 1e-9 * features.abs().max(1.0)));
        }
    }
}

#[test]
fn the_reference_form_equals_the_two_argument_form() {
    let x = array![[1.0, 2.0], [3.0, 5.0], [0.0, 1.0], [2.0, -1.0], [4.0, 0.5]];
    let y = array![[1.0_f32], [0.5], [2.0], [1.0], [-3.0]];
    let reference = Reference::new(x.view()).unwrap();
    assert_eq!(reference.cka(y.view()), cka(x.view(), y.view()));
    assert_eq!(
        reference.debiased_cka(y.view()),
        debiased_cka(x.view(), y.view())
    );
}

#[test]
fn a_large_offset_does_not_drown_the_variation() {
    let x = array![[1.0], [2.0], [4.0], [3.0]];
    let y = array![[2.0], [1.0], [3.0], [5.0]];
    let plain = cka(x.view(), y.view()).unwrap();
    let offset = cka((&x + 1e6).view(), (&y - 1e6).view()).unwrap();
    assert!(close(plain, offset, 1e-9), "{plain} became {offset}");
}

#[test]
fn extreme_magnitudes_neither_overflow_nor_vanish() {
    for magnitude in [1e-300, 1e300] {
        let x = array![[1.0, 0.5], [-1.0, 1.0], [0.25, 0.0]] * magnitude;
        assert!(close(cka(x.view(), x.view()).unwrap(), 1.0, 1e-12));
    }
}

#[test]
fn different_sample_counts_are_refused() {
    let (x, y) = (array![[1.0], [2.0]], array![[1.0], [2.0], [3.0]]);
    let expected = CkaError::RowMismatch {
        reference: 2,
        candidate: 3,
    };
    assert_eq!(cka(x.view(), y.view()), Err(expected));
}

#[test]
fn too_few_samples_are_refused() {
    let one = array![[1.0, 2.0]];
    let expected = CkaError::TooFewSamples {
        found: 1,
        needed: 2,
    };
    assert_eq!(cka(one.view(), one.view()), Err(expected));

    let three = array![[1.0], [2.0], [4.0]];
    let expected = CkaError::TooFewSamples {
        found: 3,
        needed: 4,
    };
    assert_eq!(debiased_cka(three.view(), three.view()), Err(expected));
}

#[test]
fn values_that_are_not_finite_are_located() {
    let good = array![[1.0, 2.0], [3.0, 5.0]];
    let bad = array![[1.0, 2.0], [3.0, f64::INFINITY]];
    let expected = |side| CkaError::NotFinite {
        side,
        sample: 1,
        feature: 1,
        value: f64::INFINITY,
    };
    assert_eq!(cka(good.view(), bad.view()), Err(expected(Side::Candidate)));
    assert_eq!(cka(bad.view(), good.view()), Err(expected(Side::Reference)));
}

#[test]
fn constant_representations_are_errors_not_nan() {
    let varied = Array2::from_shape_fn((1000, 2), |(i, j)| (i * (j + 1)) as f64);
    let expected = Err(CkaError::Constant {
        side: Side::Candidate,
    });
    // The mean of a thousand times 0.1 is not 0.1 in floating point.
    let constant = Array2::from_elem((1000, 3), 0.1_f32);
    assert_eq!(cka(varied.view(), constant.view()), expected);
    let constant = Array2::from_elem((1000, 3), 0.1_f64);
    assert_eq!(cka(varied.view(), constant.view()), expected);
    // One unit in the last place is how f32 arithmetic writes "the same".
    let flicker = Array2::from_shape_fn((1000, 3), |(i, _)| 1.0 + f32::EPSILON * (i % 2) as f32);
    assert_eq!(cka(varied.view(), flicker.view()), expected);
    assert_eq!(
        cka(varied.view(), Array2::<f32>::zeros((1000, 3)).view()),
        expected
    );
    assert_eq!(
        cka(varied.view(), Array2::<f32>::zeros((1000, 0)).view()),
        expected
    );
}

#[test]
fn one_huge_constant_feature_does_not_hide_a_varying_one() {
    let x = array![[1e9_f32, 1.0], [1e9, 2.0], [1e9, 4.0]];
    let y = array![[1.0_f32], [2.0], [4.0]];
    assert!(close(cka(x.view(), y.view()).unwrap(), 1.0, 1e-12));
}

#[test]
fn debiased_refuses_samples_that_share_nothing() {
    let orthogonal = Array2::<f64>::eye(6);
    let expected = CkaError::Unresolved {
        side: Side::Reference,
    };
    assert_eq!(
        debiased_cka(orthogonal.view(), orthogonal.view()),
        Err(expected)
    );
}

#[test]
fn debiased_finds_nothing_in_unrelated_wide_noise() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut noise = || Array2::from_shape_simple_fn((40, 400), || rng.random_range(-1.0..1.0_f64));
    let (x, y) = (noise(), noise());
    // Wide noise is the case the plain estimator is wrong about.
    assert!(cka(x.view(), y.view()).unwrap() > 0.8);
    assert!(debiased_cka(x.view(), y.view()).unwrap().abs() < 0.1);
}

/// What is kept of these rows, taken in in pieces of these sizes.
fn kept(x: &Array2<f64>, y: &Array2<f64>, sizes: &[usize]) -> [CoMoments; 3] {
    let mut all = std::array::from_fn::<_, 3, _>(|_| CoMoments::default());
    let mut from = 0;
    for size in sizes {
        let rows = |m: &Array2<f64>, side| {
            Centred::new(m.slice(ndarray::s![from..from + size, ..]), side).unwrap()
        };
        let (x, y) = (rows(x, Side::Reference), rows(y, Side::Candidate));
        let pairs = [(&x, &x), (&x, &y), (&y, &y)];
        for (all, (left, right)) in all.iter_mut().zip(pairs) {
            all.merge(CoMoments::of(left, right));
        }
        from += size;
    }
    all
}

fn cka_of([x, cross, y]: &[CoMoments; 3]) -> Result<f64, CkaError> {
    cka_of_moments(x, cross, y)
}

proptest! {
    #[test]
    fn two_halves_merged_equal_one_pass((x, y) in pair(4), at in 1..3_usize) {
        let n = x.nrows();
        let whole = cka_of(&kept(&x, &y, &[n])).unwrap();
        let halves = cka_of(&kept(&x, &y, &[at, n - at])).unwrap();
        let singly = cka_of(&kept(&x, &y, &vec![1; n])).unwrap();
        prop_assert!(close(whole, halves, 1e-12) && close(whole, singly, 1e-12));
        prop_assert!(close(whole, cka(x.view(), y.view()).unwrap(), 1e-12));
    }

    #[test]
    fn merging_far_from_zero_loses_nothing((x, y) in pair(4), offset in -1e4..1e4_f64) {
        let near = cka_of(&kept(&x, &y, &[x.nrows()])).unwrap();
        let moved = cka_of(&kept(&(&x + offset), &(&y - offset), &vec![1; x.nrows()])).unwrap();
        prop_assert!(close(near, moved, 1e-7), "{near} {moved}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn influences_sum_to_zero_and_tell_what_a_sample_does((x, y) in pair(6)) {
        let moments = kept(&x, &y, &[x.nrows()]);
        let [reference, cross, own] = &moments;
        let single = |m: &Array2<f64>| m.mapv(|v| v as f32);
        let (x32, y32) = (single(&x), single(&y));
        let influence =
            Influence::of([reference, cross, own], x32.view(), y32.view()).unwrap();
        prop_assert!(close(influence.samples.sum(), 0., 1e-4), "{influence:?}");
        // A sample once more, with a weight that is small beside the others: the same centred rows many times, it once.
        let times = 1000;
        let often = vec![1; times];
        let repeat = |m: &Array2<f64>| {
            let views: Vec<_> = often.iter().map(|_| m.view()).collect();
            ndarray::concatenate(Axis(0), &views).unwrap()
        };
        let with = |m: &Array2<f64>| {
            ndarray::concatenate(Axis(0), &[repeat(m).view(), m.slice(ndarray::s![..1, ..])]).unwrap()
        };
        let more = cka(with(&x).view(), with(&y).view()).unwrap();
        let change = (more - influence.cka) * times as f64;
        prop_assert!(
            close(change, influence.samples[0], 1e-2 * (1. + influence.samples[0].abs())),
            "{change} {}", influence.samples[0]
        );
    }
}

#[test]
fn moments_that_were_tampered_with_are_told() {
    let x = array![[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]];
    let [sound, ..] = kept(&x, &x, &[3]);
    assert_eq!(sound.features(), Some((2, 2)));
    let tampered = |from: &str, to: &str| {
        let text = serde_json::to_string(&sound).unwrap();
        assert!(text.contains(from), "{text}");
        serde_json::from_str::<CoMoments>(&text.replacen(from, to, 1))
    };
    assert_eq!(tampered("\"samples\":3", "\"samples\":3").unwrap(), sound);
    assert!(tampered("[2,2]", "[4,1]").map_or(true, |m| m.features().is_none()));
    assert!(tampered("[2,2]", "[2,3]").is_err());
}

#[test]
fn moments_of_a_constant_side_have_no_similarity() {
    let constant = array![[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]];
    let x = array![[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]];
    let of = |x, y| cka_of(&kept(x, y, &[1, 2])).unwrap_err();
    let side = Side::Candidate;
    assert_eq!(of(&x, &constant), CkaError::Constant { side });
    let side = Side::Reference;
    assert_eq!(of(&constant, &x), CkaError::Constant { side });
}
