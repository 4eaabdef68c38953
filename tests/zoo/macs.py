"""Multiply-accumulates as fvcore counts them: of convolutions, linear layers and matrix products, for one image."""

import logging
from math import prod

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

COUNTED = {"conv", "linear", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum", "attention", "same"}


def shape(value) -> list:
    return value.type().sizes()


def attention_macs(inputs, outputs) -> dict:
    """fvcore does not know scaled_dot_product_attention: the scores, then their product with the values."""
    query, key, value = (shape(v) for v in inputs[:3])
    rows = prod(query[:-1])
    return {"attention": rows * key[-2] * (query[-1] + value[-1])}


def einsum_macs(inputs, outputs) -> dict:
    """fvcore rounds this count to four digits; for two operands it is the product of all index lengths."""
    equation = inputs[0].toIValue().replace(" ", "")
    operands = inputs[1].node().inputs()
    lengths = {}
    for indices, operand in zip(equation.split("->")[0].split(","), operands):
        lengths.update(zip(indices, shape(operand)))
    return {"einsum": prod(lengths.values())}


def same_convolution_macs(inputs, outputs) -> dict:
    """fvcore does not know convolutions whose padding is a word, `same`: each output is a product of weights."""
    return {"same": prod(shape(outputs[0])) * prod(shape(inputs[1])[1:])}


def fvcore_macs(model: nn.Module, image: torch.Tensor) -> tuple:
    """The count, and which operators our own handlers counted."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # The fast path hides the products of attention in one operator.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        analysis = FlopCountAnalysis(model, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        analysis.set_op_handle("aten::scaled_dot_product_attention", attention_macs)
        analysis.set_op_handle("aten::einsum", einsum_macs)
        analysis.set_op_handle("aten::_convolution_mode", same_convolution_macs)
        counts = analysis.by_operator()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    own = sorted({"attention", "einsum", "same"} & counts.keys())
    return int(sum(n for operator, n in counts.items() if operator in COUNTED)), own
