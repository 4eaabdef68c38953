//! Which rule tells what an operator gives.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{
    Args, Shape, ShapeResult, arrange, create, einsum, elementwise, fourier, join, linear_algebra,
    pick, product, recurrent, reduce, resample, window,
};

/// How the shapes of what an operator gives follow from its arguments.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// The shape of the argument at this place.
    Like(usize),
    /// The shape to which so many of the first arguments stretch.
    Broadcast(usize),
    /// What remains of the first argument once dimensions are summed: those in the argument at the first place, kept as
    /// ones if that at the second says so.
    Reduced(usize, usize),
    /// One tensor.
    One(fn(&str, &Args) -> ShapeResult),
    /// One tensor, also where no argument is known to be one: made of sizes, or of tensors in a list.
    Made(fn(&str, &Args) -> ShapeResult),
    /// Several tensors.
    Several(fn(&str, &Args) -> Option<Vec<Option<Shape>>>),
    /// A list of tensors.
    List(fn(&str, &Args) -> Option<Vec<Shape>>),
    /// A number, a text, a list of numbers, or nothing.
    NoTensor,
    /// A tensor of as many elements as data say.
    CountedByData,
}

/// The rule for `torch.<name>`, in place or not.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let twin = || name.strip_suffix('_').and_then(|twin| RULES.get(twin));
    RULES.get(name).or_else(twin).copied()
}

static RULES: LazyLock<HashMap<&'static str, Rule>> = LazyLock::new(|| {
    let groups = GROUPS.iter();
    groups
        .flat_map(|(rule, names)| names.split_ascii_whitespace().map(|name| (name, *rule)))
        .collect()
});

use Rule::{Broadcast, CountedByData, Like, List, Made, NoTensor, One, Reduced, Several};

#[rustfmt::skip]
const GROUPS: &[(Rule, &str)] = &[
    // One input, element by element.
    (Like(0), "
        abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not
        ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac i0 isfinite isinf isnan isneginf
        isposinf isreal lgamma log log10 log1p log2 logical_not logit mvlgamma nan_to_num neg negative positive rad2deg reciprocal round rsqrt sgn sign signbit sin sinc sinh sqrt square tan tanh trunc
        special_airy_ai special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 special_digamma
        special_entr special_erf special_erfc special_erfcx special_erfinv special_exp2 special_expit special_expm1
        special_gammaln special_i0 special_i0e special_i1 special_i1e special_log1p special_log_ndtr special_logit
        special_modified_bessel_i0 special_modified_bessel_i1 special_modified_bessel_k0 special_modified_bessel_k1
        special_multigammaln special_ndtr special_ndtri special_psi special_round
        special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1 special_sinc special_spherical_bessel_j0
        isin bucketize
    "),
    // Activations and dropout.
    (Like(0), "
        celu dropout elu feature_alpha_dropout feature_dropout alpha_dropout gelu hardshrink hardsigmoid
        hardswish hardtanh leaky_relu log_sigmoid log_softmax mish prelu _prelu_kernel relu relu6 rrelu selu sigmoid
        silu softmax softplus softshrink special_log_softmax special_softmax threshold _log_softmax _masked_softmax
        _safe_softmax _softmax softsign rrelu_with_noise rrelu_with_noise_functional
    "),
    // Normalisation, sums that run along a dimension, and order within one.
    (Like(0), "
        batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm batch_norm_elemt
        quantized_batch_norm renorm cumprod cumsum logcumsumexp argsort msort channel_shuffle native_channel_shuffle
        flip fliplr flipud roll fft_fftshift fft_ifftshift tril triu
    "),
    // The same elements in another element type, place or memory.
    (Like(0), "
        alias alias_copy bfloat16 chalf clone conj conj_physical _conj _conj_physical contiguous copy cpu cuda data
        detach detach_copy double float half lift lift_fresh lift_fresh_copy requires_grad_ resolve_conj resolve_neg
        to to_dense type_as _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short
        _to_copy _autocast_to_full_precision _autocast_to_reduced_precision real imag dequantize int_repr as_tensor
        refine_names rename
        fake_quantize_per_channel_affine fake_quantize_per_tensor_affine fused_moving_avg_obs_fake_quant
        quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic
    "),
    // Elements of their own, in the shape of another tensor.
    (Like(0), "
        bernoulli binomial cauchy empty_like exponential fill full_like geometric log_normal normal_functional
        ones_like poisson rand_like randint_like randn_like random uniform zero zeros_like
    "),
    // Parts written over.
    (Like(0), "
        as_strided_scatter diagonal_scatter fill_diagonal index_add index_copy index_fill index_put index_reduce
        put scatter scatter_add scatter_reduce select_scatter slice_scatter
    "),
    (Like(0), "
        cholesky cholesky_inverse inverse linalg_cholesky linalg_inv linalg_matrix_exp linalg_matrix_power matrix_exp
        matrix_power _weight_norm _transformer_encoder_layer_fwd
    "),
    (Like(1), "expand_as reshape_as searchsorted take view_as"),
    (Like(2), "gather"),
    // Two or three inputs, element by element.
    (Broadcast(2), "
        add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor complex copysign div
        divide eq float_power floor_divide fmax fmin fmod gcd ge greater greater_equal gt heaviside hypot igamma igammac
        isclose lcm ldexp le less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt masked_fill
        maximum minimum mul multiply ne nextafter not_equal polar pow remainder rsub sub subtract true_divide xlogy
        _add_relu __and__ __iand__ __ilshift__ __ior__ __irshift__ __ixor__ __lshift__ __or__ __rshift__ __xor__
        special_chebyshev_polynomial_t special_chebyshev_polynomial_u special_chebyshev_polynomial_v
        special_chebyshev_polynomial_w special_gammainc special_gammaincc special_hermite_polynomial_h
        special_hermite_polynomial_he special_laguerre_polynomial_l special_legendre_polynomial_p
        special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u
        special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w special_xlog1py special_xlogy
        special_zeta
    "),
    (Broadcast(3), "addcdiv addcmul clamp clip lerp"),
    (Broadcast(2), "clamp_min clamp_max masked_scatter polygamma special_polygamma"),
    (One(elementwise::choice), "where"),
    // Reductions.
    (Reduced(1, 2), "
        all amax amin any argmax argmin logsumexp mean nanmean nansum prod special_logsumexp sum frobenius_norm
        nuclear_norm
    "),
    (Reduced(2, 3), "norm linalg_vector_norm linalg_norm"),
    (One(reduce::matrix_norm), "linalg_matrix_norm linalg_cond"),
    (One(reduce::variance), "std var"),
    (Several(reduce::variance_and_mean), "std_mean var_mean"),
    (One(reduce::count), "count_nonzero"),
    (One(reduce::quantile), "quantile nanquantile"),
    (One(reduce::distance), "cosine_similarity pairwise_distance"),
    (Several(reduce::extreme), "max min median nanmedian"),
    (Several(reduce::most_frequent), "mode"),
    (Several(reduce::both_extremes), "aminmax _aminmax"),
    (Several(reduce::kth), "kthvalue"),
    (Several(reduce::top), "topk"),
    (Several(reduce::pair_like_input), "sort cummax cummin native_dropout frexp log_sigmoid_forward
        fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask modf"),
    (Several(reduce::first_like_input), "
        native_batch_norm native_group_norm native_layer_norm _batch_norm_impl_index _native_batch_norm_legit
        _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _weight_norm_interface
    "),
    (One(reduce::scalar), "dist trace _is_all_true _is_any_true dot vdot"),
    (One(reduce::bins), "histc"),
    (One(reduce::differences), "diff"),
    (One(reduce::norm_except_dim), "norm_except_dim"),
    // Rearranging.
    (One(arrange::permute), "permute permute_copy"),
    (One(arrange::transpose), "transpose transpose_copy swapaxes swapdims"),
    (One(arrange::reversed), "t t_copy numpy_T"),
    (One(arrange::last_two_swapped), "mT mH adjoint matrix_H linalg_pinv pinverse"),
    (One(arrange::move_dimensions), "movedim moveaxis"),
    (One(arrange::rot90), "rot90"),
    (One(arrange::flatten), "flatten"),
    (One(arrange::ravel), "ravel"),
    (One(arrange::unflatten), "unflatten"),
    (One(arrange::reshape), "view reshape view_copy _unsafe_view _reshape_alias"),
    (One(arrange::unsqueeze), "unsqueeze unsqueeze_copy"),
    (One(arrange::squeeze), "squeeze squeeze_copy"),
    (One(arrange::at_least), "atleast_1d atleast_2d atleast_3d"),
    (One(arrange::expand), "expand expand_copy broadcast_to"),
    (One(arrange::repeat), "repeat tile"),
    (One(arrange::repeat_interleave), "repeat_interleave"),
    (One(arrange::slice), "slice slice_copy"),
    (One(arrange::narrow), "narrow narrow_copy"),
    (One(arrange::select), "select select_copy"),
    (One(arrange::diagonal), "diagonal diagonal_copy"),
    (One(arrange::matrix_diagonal), "linalg_diagonal"),
    (One(arrange::diag_embed), "diag_embed"),
    (One(arrange::diag), "diag"),
    (One(arrange::unfold), "unfold unfold_copy"),
    (One(arrange::as_strided), "as_strided as_strided_copy"),
    (One(arrange::pad), "
        pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
        replication_pad3d _pad_circular _pad_enum
    "),
    (One(arrange::as_complex), "view_as_complex view_as_complex_copy"),
    (One(arrange::as_real), "view_as_real view_as_real_copy"),
    (One(arrange::halved), "glu"),
    // Joining and splitting.
    (Made(join::cat), "cat concat concatenate"),
    (Made(join::stack), "stack _stack"),
    (Made(join::stack_of_kind), "hstack vstack dstack row_stack column_stack"),
    (List(join::pieces), "
        chunk split split_with_sizes tensor_split unbind unsafe_chunk unsafe_split unsafe_split_with_sizes hsplit
        vsplit dsplit split_copy split_with_sizes_copy unbind_copy
    "),
    (List(join::broadcast_tensors), "broadcast_tensors"),
    (List(create::meshgrid), "meshgrid"),
    (Made(join::cartesian_product), "cartesian_prod"),
    // Picking.
    (One(pick::index), "index _unsafe_index"),
    (One(pick::index_select), "index_select"),
    (One(pick::take_along), "take_along_dim"),
    (One(pick::embedding), "embedding"),
    (One(pick::one_hot), "one_hot"),
    (CountedByData, "
        argwhere masked_select nonzero unique_consecutive unique_dim unique_dim_consecutive _unique _unique2 bincount
    "),
    // Products.
    (One(product::linear), "linear"),
    (One(product::matmul), "matmul mm bmm linalg_matmul mv"),
    (One(product::added), "addmm baddbmm addmv _addmm_activation"),
    (One(product::added_over_batch), "addbmm"),
    (One(product::outer), "outer ger"),
    (One(product::added_outer), "addr"),
    (One(product::inner), "inner"),
    (One(product::bilinear), "bilinear"),
    (One(product::tensordot), "tensordot"),
    (One(product::distances), "cdist _euclidean_dist"),
    (Made(product::chain), "chain_matmul linalg_multi_dot"),
    (One(product::attention), "scaled_dot_product_attention"),
    (Broadcast(2), "cross linalg_cross"),
    (One(product::dot_along), "linalg_vecdot"),
    (Several(product::native_attention), "_native_multi_head_attention"),
    (Made(einsum::shape), "einsum"),
    // Linear algebra.
    (One(linear_algebra::of_batch), "det linalg_det logdet linalg_matrix_rank"),
    (Several(linear_algebra::two_of_batch), "slogdet linalg_slogdet"),
    (One(linear_algebra::singular_values), "linalg_svdvals linalg_eigvalsh linalg_eigvals"),
    (Several(linear_algebra::svd), "linalg_svd svd"),
    (Several(linear_algebra::eigen), "linalg_eigh linalg_eig"),
    (Several(linear_algebra::qr), "linalg_qr qr"),
    (One(linear_algebra::solve), "linalg_solve linalg_solve_triangular"),
    (One(linear_algebra::covariance), "cov corrcoef"),
    // Windows that slide.
    (One(window::convolution), "
        conv1d conv2d conv3d _convolution convolution _convolution_mode conv_transpose1d conv_transpose2d
        conv_transpose3d conv_depthwise3d
    "),
    (One(window::pool), "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d"),
    (Several(window::pool_with_places), "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices"),
    (One(window::adaptive_average), "
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    "),
    (Several(window::adaptive_with_places), "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"),
    (Several(window::fractional), "fractional_max_pool2d fractional_max_pool3d"),
    (One(window::unpool), "max_unpool2d max_unpool3d"),
    (One(window::columns), "im2col"),
    (One(window::from_columns), "col2im"),
    // Other resolutions.
    (One(resample::upsample), "
        upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
        _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    "),
    (One(resample::interpolate), "__interpolate __upsample __upsample_bilinear __upsample_nearest"),
    (One(resample::grid_sample), "grid_sampler grid_sampler_2d grid_sampler_3d"),
    (One(resample::affine_grid), "affine_grid_generator"),
    (One(resample::pixel_shuffle), "pixel_shuffle"),
    (One(resample::pixel_unshuffle), "pixel_unshuffle"),
    // Frequencies.
    (One(fourier::one), "fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft"),
    (One(fourier::two), "fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_hfft2 fft_ihfft2"),
    (One(fourier::many), "fft_fftn fft_ifftn fft_rfftn fft_irfftn fft_hfftn fft_ihfftn"),
    // Layers with a memory.
    (Several(recurrent::lstm), "lstm"),
    (Several(recurrent::one_state), "gru rnn_tanh rnn_relu"),
    (Several(recurrent::lstm_cell), "lstm_cell"),
    (Like(1), "gru_cell rnn_tanh_cell rnn_relu_cell"),
    // Tensors made of sizes.
    (One(create::new_of), "new_empty new_full new_ones new_zeros"),
    (Made(create::sized), "empty full ones rand randn zeros"),
    (Made(create::arange), "arange"),
    (Made(create::steps), "linspace logspace"),
    (Made(create::counted), "randperm hann_window hamming_window blackman_window bartlett_window kaiser_window"),
    (Made(create::randint), "randint"),
    (Made(create::eye), "eye"),
    (Made(create::triangle), "tril_indices triu_indices"),
    (Made(create::frequencies), "fft_fftfreq fft_rfftfreq"),
    (Made(create::literal), "tensor scalar_tensor"),
    (NoTensor, "
        Bool Complex ComplexImplicit Delete Float FloatImplicit Int IntImplicit ScalarImplicit Size __contains__
        __derive_index __getitem__ __is__ __isnot__ __not__ __range_length __round_to_zero_floordiv _assert_tensor_metadata
        _get_tracing_state _infer_size _set_item _size_if_not_equal allclose append bool clear count dense_dim device dict
        dim divmod dtype element_size equal extend find format get get_device insert int is_autocast_cpu_enabled
        is_autocast_enabled is_coalesced is_complex is_conj is_contiguous is_cpu is_cuda is_distributed is_floating_point
        is_grad_enabled is_inference is_leaf is_meta is_mkldnn is_mps is_neg is_nested is_non_overlapping_and_dense
        is_nonzero is_pinned is_quantized is_same_size is_scripting is_set_to is_signed is_sparse is_sparse_csr
        is_strides_like_format is_vulkan is_xla is_xpu isinstance item items itemsize join keys layout len list name nbytes
        numel output_nr ord pop popitem promote_types q_scale q_zero_point qscheme requires_grad result_type retains_grad
        reverse set_grad_enabled setdefault size str storage_offset stride sym_is_contiguous sym_numel sym_size
        sym_storage_offset sym_stride tolist type update values warn can_cast manual_seed sorted startswith endswith
        floordiv NumToTensor RaiseException get_autocast_dtype hash
    "),
];
