"""Writes the list of operators that a network may call, src/run/admission/operators.txt, and beside it the names that a value
answers to as methods and that are not on it: src/run/admission/withheld.txt.

    python operators.py            (says what would change; --write changes it)

Of libtorch's own register, those that compute a result from their arguments. Left out are those that reach files,
processes, other machines or the state of this process, those that take what other operators packed on trust, the
backward halves that only libtorch's autograd calls, and its internal ones but for those that exports name.
"""

import argparse
import re
import sys
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parents[2] / "src" / "run" / "admission"

EXCLUDED = re.compile(
    r"""
    # files
    save | from_file
    # other processes and machines
    | rpc_.* | confirmed_by_owner | is_owner | owner | owner_name | local_value | to_here | get_gradients
    # the state of this process
    | seed | initial_seed | Generator | record_stream | backward | grad | retain_grad
    | pin_memory | cudnn_.* | miopen_.* | mps_.* | .*_mps.* | is_vulkan_available
    # memory that is given under another size or by another layout's word
    | set_ | set_data | resize_?.* | sparse_.* | .*_sparse.* | .*_sparse | (to_)?mkldnn.* | hspmm | sspaddmm | smm
    | fbgemm_.* | (ccol|crow|col|row)_indices.* | quantized_(gru|lstm).* | flatten_dense_tensors
    | unflatten_dense_tensors
    # autograd's
    | .*_backward(_.*)? | .*_jvp | .*_overrideable | cummaxmin_backward
    """,
    re.VERBOSE,
)

# Internal ones that networks' exports name all the same.
INTERNAL = """
    __and__ __contains__ __derive_index __getitem__ __iand__ __ilshift__ __interpolate __ior__ __irshift__ __is__
    __isnot__ __ixor__ __lshift__ __not__ __or__ __range_length __round_to_zero_floordiv __rshift__ __upsample
    __upsample_bilinear __upsample_nearest __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d _add_relu _add_relu_
    _addmm_activation _aminmax _assert_tensor_metadata _batch_norm_impl_index _cast_Byte _cast_Char _cast_Double
    _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _conj _conj_physical _convolution _convolution_mode
    _dim_arange _embedding_bag _euclidean_dist _get_tracing_state _infer_size _is_all_true _is_any_true _log_softmax
    _masked_softmax _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
    _native_multi_head_attention _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _no_grad_fill_
    _no_grad_normal_ _no_grad_uniform_ _no_grad_zero_ _pack_padded_sequence _pad_circular _pad_enum
    _pad_packed_sequence _prelu_kernel _reshape_alias _reshape_from_tensor _safe_softmax
    _scaled_dot_product_attention_math _set_item _shape_as_tensor _size_if_not_equal _softmax _stack _tensor_to_list
    _to_copy _transform_bias_rescale_qkv _transformer_encoder_layer_fwd _trilinear _unique _unique2 _unsafe_index
    _unsafe_view _unwrap_optional _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d _weight_norm _weight_norm_interface
""".split()

PRIM = """
    NumToTensor RaiseException TupleUnpack abs data device dtype grad index is_cpu is_cuda is_meta is_mkldnn is_mps
    is_nested is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu itemsize layout max min name nbytes
    rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional IfThenElse isinstance
    EnumName EnumValue TupleIndex ModuleContainerIndex StringIndex
""".split()

# Marks for a profiler, which nobody listens to.
PROFILER = [
    "_call_end_callbacks_on_jit_fut", "_record_function_enter", "_record_function_enter_new", "_record_function_exit",
]


def listed():
    found = set()
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "aten" and name.startswith("_"):
            keep = name in INTERNAL
        elif namespace == "prim":
            keep = name in PRIM
        elif namespace == "profiler":
            keep = name in PROFILER
        else:
            keep = namespace in ("aten", "quantized") and not EXCLUDED.fullmatch(name)
        if keep:
            found.add(f"{namespace}::{name}")
    # Spelled in code, but not in the register: libtorch's compiler knows them.
    return sorted(found | {f"prim::{name}" for name in PRIM})


def withheld(may_be_called):
    """`x.name()` is the operator aten::name where x is no object of a class."""
    schemas = (schema.name.partition("::") for schema in torch._C._jit_get_all_schemas())
    names = {name for namespace, _, name in schemas if namespace == "aten"}
    return sorted(name for name in names if f"aten::{name}" not in may_be_called)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the lists")
    options = parser.parse_args()
    operators = listed()
    changed = False
    for file, new in [("operators.txt", operators), ("withheld.txt", withheld(set(operators)))]:
        path = FOLDER / file
        old = path.read_text().split() if path.exists() else []
        changed |= old != new
        for name in sorted(set(old) ^ set(new)):
            print(file, "+" if name in set(new) else "-", name)
        if options.write:
            path.write_text("".join(f"{name}\n" for name in new))
    return 1 if changed and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
